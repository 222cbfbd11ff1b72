import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../proto/fleet-error.js';
import { addressFault, dialTarget } from './address.js';

/**
 * An address as grpc-js takes it; see {@link dialTarget}.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_ADDRESS
 */
export function parseAddress(address: string): string {
  const fault = addressFault(address);
  if (fault !== undefined) throw new FleetError(Code.INVALID_ARGUMENT, 'INVALID_ADDRESS', fault);
  return dialTarget(address);
}

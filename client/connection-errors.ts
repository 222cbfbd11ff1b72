import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../proto/fleet-error.js';
import { foreignServerText, shortReason, type CallEnd } from './foreign-server.js';

/** Reason of an error about an address where nobody answers. */
export const COORDINATOR_UNREACHABLE = 'COORDINATOR_UNREACHABLE';
/** Reason of an error about an address where something answers that is no coordinator. */
export const NOT_A_COORDINATOR = 'NOT_A_COORDINATOR';

/** Where the command line takes an address from. */
export const COMMAND_LINE_ADDRESS = '--address or REMUDA_ADDRESS';

/**
 * UNAVAILABLE / COORDINATOR_UNREACHABLE.
 *
 * @param said Where the address was said, so where another one would be.
 */
export function unreachable(address: string, why: string, said: string, cause?: unknown): FleetError {
  const metadata = { address };
  if (why.startsWith('Name resolution failed')) {
    const text = `the host name of ${address} cannot be resolved (${why}); check ${said}, and the network`;
    return new FleetError(Code.UNAVAILABLE, COORDINATOR_UNREACHABLE, text, { metadata, cause });
  }
  const message =
    `no coordinator answers at ${address} (${why}); is it running (systemctl status remuda-coordinator)? Start one with ` +
    `\`remuda-coordinator --listen ${address}\`, or \`remuda dev\` to try it, or name another with ${said}`;
  return new FleetError(Code.UNAVAILABLE, COORDINATOR_UNREACHABLE, message, { metadata, cause });
}

/**
 * UNAVAILABLE / NOT_A_COORDINATOR; undefined if the end may well be a coordinator's.
 *
 * @param said Where the address was said, so where another one would be.
 */
export function notACoordinator(address: string, end: CallEnd, said: string, cause?: unknown): FleetError | undefined {
  const text = foreignServerText(address, end, said);
  if (text === undefined) return undefined;
  return new FleetError(Code.UNAVAILABLE, NOT_A_COORDINATOR, text, { metadata: { address }, cause });
}

/** How a stream or call ended, as {@link unreachable} says it. */
export function endText({ code, message }: CallEnd): string {
  return shortReason(message === '' ? code : message);
}

import { DEFAULT_ADDRESS } from './address.js';

/** How a call or a stream ended: the status code's name, our reason (empty: none), and the sentence. */
export interface CallEnd {
  readonly code: string;
  readonly reason: string;
  readonly message: string;
}

/**
 * Words of grpc-js for a peer that speaks HTTP but no gRPC, or no HTTP/2 at all. The last one is a page whose first bytes were
 * read as the length of a message; no coordinator sends as much.
 */
const NO_GRPC =
  /Received HTTP status code \d+|Call ended without gRPC status|\bProtocol error\b|Received message larger than max/;
/** grpc-js adds to the last connection's error when that was. */
const ERROR_TIME = / \(\d{4}-\d\d-\d\dT[\d:.]+Z\)$/;

/** What grpc-js says about a call, without what helps nobody: its own preamble, the resolver's note, the time. */
export function shortReason(message: string): string {
  return message
    .replace(/^No connection established\. Last error: (Error: )?/, '')
    .replace(/\.? Resolution note: .*$/, '')
    .replace(ERROR_TIME, '');
}

/**
 * A sentence about something at the address that is no coordinator: a web server, a gRPC server of something else. Undefined
 * if the end may well be a coordinator's.
 *
 * @param said Where the address was said, so where another one would be.
 */
export function foreignServerText(
  address: string,
  { code, reason, message }: CallEnd,
  said: string,
): string | undefined {
  // A coordinator gives reasons, and has every method of the contract.
  if (reason !== '' || (code !== 'UNIMPLEMENTED' && !NO_GRPC.test(message))) return undefined;
  return (
    `something else answers at ${address}, no Remuda coordinator (${shortReason(message)}); name the coordinator's gRPC address ` +
    `(default ${DEFAULT_ADDRESS}), not its HTTP one (7071), with ${said}`
  );
}

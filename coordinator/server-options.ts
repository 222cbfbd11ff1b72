import type { ServerOptions } from '@grpc/grpc-js';
import type { ListenAddress } from './listen-address.js';

const MIB = 1_048_576;

/**
 * Options of the coordinator's gRPC server. Its pings come before the 60 s after which common proxies end a connection that says
 * nothing, and find a caller that is gone within that time.
 *
 * @param maxPayloadBytes bytes of one payload or result, at most
 * @param addresses where it listens; the options are for all of them
 */
export function serverOptions(maxPayloadBytes: number, addresses: readonly ListenAddress[]): ServerOptions {
  const keepalive = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 20_000 };
  return {
    // A frame holds one payload and what goes with it; 4 MiB is what callers expect of gRPC.
    'grpc.max_receive_message_length': Math.max(4 * MIB, maxPayloadBytes + MIB),
    'grpc.max_send_message_length': -1,
    // On a Unix socket no network can fall silent.
    ...(addresses.every(({ kind }) => kind === 'unix') ? {} : keepalive),
  };
}

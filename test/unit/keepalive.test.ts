import { describe, expect, it } from 'vitest';
import { channelOptions } from '../../client/channel-options.js';
import { parseListenAddress, type ListenAddress } from '../../coordinator/listen-address.js';
import { serverOptions } from '../../coordinator/server-options.js';

/** Common proxies end a connection that has said nothing for so long. */
const PROXY_IDLE_MS = 60_000;

function addressOf(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if (typeof address === 'string') throw new Error(`${text}: ${address}`);
  return address;
}

function optionsOf(listen: string) {
  return { client: channelOptions(listen), server: serverOptions(1_048_576, [addressOf(listen)]) };
}

describe('a connection that says nothing', () => {
  it.each(['client', 'server'] as const)(
    'should be pinged by the %s, and a dead one noticed, before proxies end it',
    (side) => {
      const options = optionsOf('127.0.0.1:7070')[side];
      const timeMs = options['grpc.keepalive_time_ms'];
      expect(timeMs).toBeGreaterThan(0);
      expect(Number(timeMs) + Number(options['grpc.keepalive_timeout_ms'])).toBeLessThan(PROXY_IDLE_MS);
    },
  );

  it('should not be pinged over a Unix socket, where no network can fall silent', () => {
    const { client, server } = optionsOf('unix:/run/remuda.sock');
    expect(client).not.toHaveProperty(['grpc.keepalive_time_ms']);
    expect(server).not.toHaveProperty(['grpc.keepalive_time_ms']);
  });

  it('should be pinged by a server that listens on both kinds: its options are for all', () => {
    const both = ['unix:/run/remuda.sock', '127.0.0.1:7070'].map(addressOf);
    expect(serverOptions(1_048_576, both)['grpc.keepalive_time_ms']).toBeGreaterThan(0);
  });
});

describe('a channel', () => {
  it('should keep nothing that was written for a repeat of its own: we repeat, and bound what we keep', () => {
    expect(channelOptions('127.0.0.1:7070')['grpc.enable_retries']).toBe(0);
  });

  it('should share no back-off with another one to the same address', () => {
    expect(channelOptions('127.0.0.1:7070')['grpc.use_local_subchannel_pool']).toBe(1);
  });
});

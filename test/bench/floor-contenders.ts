import { join } from 'node:path';
import { WINDOWS, type Contender, type Row } from './contender.js';
import type { Sample, Terms } from './in-flight.js';
import { Peer } from './peer.js';

function grpcRow(how: 'stream' | 'unary', inFlight: number): Row {
  const what = `grpc-js, ${how} echo, 160 bytes`;
  return { name: `${how}-${inFlight}`, what, inFlight, floor: null, table: 'floor' };
}

/** grpc-js alone: raw bytes to another process and back. */
const grpc: Contender = {
  name: 'grpc',
  rows: [grpcRow('stream', 1), grpcRow('stream', 256), grpcRow('unary', 64), grpcRow('unary', 256)],
  open: async ({ warmMs }) => {
    const server = floorPeer('echo-server');
    const client = floorPeer('echo-client');
    await client.ask('open', await server.ask('listen'));
    const measure = ({ name, inFlight }: Row, terms: Terms) => {
      const how = name.startsWith('stream') ? 'stream' : 'unary';
      return client.ask<Sample>('measure', { how, inFlight, terms }, terms.warmMs + terms.measureMs);
    };
    for (const row of grpc.rows) await measure(row, { warmMs: 0, measureMs: warmMs / grpc.rows.length });
    return { measure, [Symbol.asyncDispose]: () => endPeers([client, server]) };
  },
};

/** The pipe of three processes; see floors/pipe-forwarder.ts. */
function pipe(name: string, what: string, hasDatabase: boolean): Contender {
  let opened = 0;
  return {
    name,
    rows: WINDOWS.map((inFlight): Row => ({ name: String(inFlight), what, inFlight, floor: null, table: 'floor' })),
    open: async ({ folder, warmMs }) => {
      const forwarder = floorPeer('pipe-forwarder');
      const worker = floorPeer('pipe-worker');
      const client = floorPeer('pipe-client');
      opened += 1;
      const path = hasDatabase ? join(folder, `${name}-${opened}.db`) : null;
      const address = await forwarder.ask('listen', { path });
      await worker.ask('open', address);
      await client.ask('open', address);
      const measure = ({ inFlight }: Pick<Row, 'inFlight'>, terms: Terms) =>
        client.ask<Sample>('measure', { inFlight, terms }, terms.warmMs + terms.measureMs);
      await measure({ inFlight: 256 }, { warmMs: 0, measureMs: warmMs });
      return { measure, [Symbol.asyncDispose]: () => endPeers([client, worker, forwarder]) };
    },
  };
}

/** The yardstick. */
export const FLOOR_CONTENDERS: readonly Contender[] = [
  grpc,
  pipe('pipe', 'pipe of three processes', false),
  pipe('pipe-sqlite', 'pipe with SQLite, FULL', true),
];

function floorPeer(name: string): Peer {
  return new Peer(new URL(`./floors/${name}.js`, import.meta.url));
}

/** One after the other: who is connected to another goes first, and so loses no connection. */
async function endPeers(peers: readonly Peer[]): Promise<void> {
  for (const peer of peers) await peer[Symbol.asyncDispose]();
}

import { join } from 'node:path';
import type { Contender, Row } from '../contender.js';
import type { Sample } from '../in-flight.js';
import { Peer } from '../peer.js';
import type { LoadArgs } from './load.js';
import type { PoolArgs } from './pool-load.js';

/** How many tasks are in flight, in turn, from submit to result. */
const WINDOWS = [1, 64, 256] as const;
/** What is measured for the warm-up, and how many times as long as for one process: each of many compiles for itself. */
const WARM = 256;
const WARM_TIMES = 4;
/** A burst of processes that load libraries takes its time, whatever is asked for. */
const BURST_MS = 120_000;

/** The names of the two ways to spawn; each is a script beside this file. */
export const SPAWNS = ['spawn-empty', 'spawn-libraries'] as const;

/** How a contender is made: its peer, and what that is opened with, beside the number of workers. */
interface Make {
  readonly peer: string;
  readonly args: (folder: string) => object;
}

/** @param workers How many tasks each of them runs at a time */
export function poolContenders(workers: number): readonly Contender[] {
  const spawned = { 'spawn-empty': 'no library', 'spawn-libraries': 'grpc-js, protobuf-es, pino, commander' };
  const pool = (store: string): Make => ({
    peer: 'pool-load',
    args: (folder) => poolArgs(folder, store === 'memory' ? 'memory:' : `sqlite:${nextFile(folder, 'db')}`),
  });
  return [
    ...SPAWNS.map((name) => {
      const rows = queueRows(`a process per task that loads ${spawned[name]}`);
      return contender(name, workers, rows, { peer: 'spawn-load', args: () => ({ name }) });
    }),
    ...(['memory', 'sqlite'] as const).map((store) => {
      const what = `Remuda, store ${store}:`;
      return contender(`pool-${store}`, workers, [...queueRows(what), ...echoRows(what)], pool(store));
    }),
    contender('piscina', workers, echoRows('piscina, threads'), { peer: 'piscina-load', args: () => ({}) }),
    ...(['process', 'thread'] as const).map((name) => {
      const rows = echoRows(`workerpool, ${name === 'process' ? 'processes' : 'threads'}`);
      return contender(`workerpool-${name}`, workers, rows, { peer: 'workerpool-load', args: () => ({ name }) });
    }),
  ];
}

/** What a pool of a benchmark is opened with, its log included: a pool that is used has one. */
export function poolArgs(folder: string, store: string): Omit<PoolArgs, 'workers'> {
  return { store, logFile: nextFile(folder, 'log') };
}

let files = 0;

function nextFile(folder: string, extension: string): string {
  files += 1;
  return join(folder, `pool-${files}.${extension}`);
}

/** Rows named after the operations of load.ts. */
function queueRows(what: string): Row[] {
  return ['start', 'wait', 'handover'].map((name) => ({
    name,
    what,
    inFlight: name === 'start' ? 1 : null,
    floor: null,
    table: `pool-${name}`,
  }));
}

function echoRows(what: string): Row[] {
  return WINDOWS.map((inFlight) => ({ name: `echo-${inFlight}`, what, inFlight, floor: null, table: 'pool-echo' }));
}

function contender(name: string, workers: number, rows: readonly Row[], { peer, args }: Make): Contender {
  return {
    name,
    rows,
    open: async ({ folder, warmMs }) => {
      const load = new Peer(new URL(`./${peer}.js`, import.meta.url));
      await load.ask('open', { workers, ...args(folder) });
      if (!peer.startsWith('spawn')) {
        const terms = { warmMs: 0, measureMs: warmMs * WARM_TIMES };
        const warm: LoadArgs = { slots: workers, inFlight: WARM, terms };
        await load.ask('echo', warm, terms.measureMs);
      }
      return {
        measure: (row, terms) => {
          const [operation = ''] = row.name.split('-');
          const asked: LoadArgs = { slots: workers, inFlight: row.inFlight ?? 1, terms };
          return load.ask<Sample>(operation, asked, terms.warmMs + terms.measureMs + BURST_MS);
        },
        [Symbol.asyncDispose]: () => closePeer(load),
      };
    },
  };
}

/** In good order: what the host program has started ends with its pool. */
export async function closePeer(load: Peer): Promise<void> {
  await using _ = load;
  await load.ask('close');
}

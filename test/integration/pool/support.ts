import { once } from 'node:events';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll } from 'vitest';
export { isAlive } from '../../support/programs.js';
import type {
  createWorkerPool as CreateWorkerPool,
  PoolMetrics,
  PoolEventName,
  PoolEvents,
  WorkerPool,
  WorkerPoolOptions,
} from '../../../coordinator/pool/index.js';

/** The compiled one: a thread can only be started from a JavaScript file. */
export const POOL = fileURLToPath(new URL('../../../dist/coordinator/pool/index.js', import.meta.url));
export const { createWorkerPool } = (await import(POOL)) as { createWorkerPool: typeof CreateWorkerPool };

const WAIT_MS = 20_000;
/** A handlers file's text. */
export const HANDLERS = `
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from 'node:child_process';
const hoard = [];
export default {
  echo: async (payload) => payload,
  pid: async () => process.pid,
  cwd: async () => process.cwd(),
  sleep: async ({ ms }, { signal }) => { await delay(ms, undefined, { signal }); return process.pid; },
  stubborn: async ({ ms }) => { await delay(ms); return process.pid; },
  block: async ({ ms }) => { const end = Date.now() + ms; while (Date.now() < end); return process.pid; },
  fail: async ({ message }) => { throw new Error(message); },
  exit: async ({ status }) => process.exit(status),
  crash: async () => { process.kill(process.pid, 'SIGKILL'); await delay(60_000); },
  crashOnce: async ({ attempt }, ctx) => { if (ctx.attempt === 1) process.kill(process.pid, 'SIGKILL'); return ctx.attempt; },
  stop: async () => { process.kill(process.pid, 'SIGSTOP'); return process.pid; },
  hoard: async ({ mib }) => { hoard.push(Buffer.alloc(mib * 1_048_576, 1)); return process.pid; },
  print: async ({ lines }) => { for (let line = 0; line < lines; line += 1) console.log('line ' + line); return 'printed'; },
  fork: async () => spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' }).pid,
};
`;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Runs after the test, the newest first. */
export function onCleanup(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

/** A directory of the test's own. */
export function temporaryDirectory(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'pool-test-')));
  onCleanup(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A file in a directory of the test's own. */
export function writeFixture(name: string, text: string): string {
  const path = join(temporaryDirectory(), name);
  writeFileSync(path, text);
  return path;
}

/** A pool of one worker (each costs a start) with a set of handlers, shut down after the test; and its log. */
export async function openPool(options: WorkerPoolOptions = {}) {
  const directory = temporaryDirectory();
  const handlers = join(directory, 'handlers.mjs');
  const logFile = join(directory, 'pool.log');
  writeFileSync(handlers, HANDLERS);
  const program = options.worker === undefined ? { handlers } : {};
  const pool = await createWorkerPool({ poolSize: 1, logFile, ...program, ...options });
  onCleanup(() => pool.shutdown(false));
  return { pool, directory, log: () => readFileSync(logFile, 'utf8') };
}

/** A pool of one worker for all tests of a `describe` that leave it as it was: its start costs more than most of them. */
export function sharedPool(): { readonly pool: WorkerPool } {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'pool-test-')));
  let pool: WorkerPool | undefined;
  beforeAll(async () => {
    const handlers = join(directory, 'handlers.mjs');
    writeFileSync(handlers, HANDLERS);
    pool = await createWorkerPool({ poolSize: 1, logFile: join(directory, 'pool.log'), handlers });
  });
  afterAll(async () => {
    await pool?.shutdown(false);
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    get pool() {
      if (pool === undefined) throw new Error('the pool is there when the tests run');
      return pool;
    },
  };
}

/** What the counters of a pool's tasks have gained from now on, each time it is asked. */
export function countsFromNow(pool: WorkerPool): () => PoolMetrics['tasks'] {
  const before = pool.getPoolMetrics().tasks;
  return () => {
    const counts = Object.entries(pool.getPoolMetrics().tasks) as [keyof PoolMetrics['tasks'], number][];
    return Object.fromEntries(counts.map(([name, count]) => [name, count - before[name]])) as PoolMetrics['tasks'];
  };
}

/** The first event, from now on, that fits. */
export async function eventOf<Name extends PoolEventName>(
  pool: WorkerPool,
  name: Name,
  fits: (event: PoolEvents[Name][0]) => boolean = () => true,
): Promise<PoolEvents[Name][0]> {
  const signal = AbortSignal.timeout(WAIT_MS);
  for (;;) {
    const [event] = (await once(pool, name, { signal })) as PoolEvents[Name];
    if (fits(event)) return event;
  }
}

/** All events of a name from now on. */
export function eventsOf<Name extends PoolEventName>(pool: WorkerPool, name: Name): PoolEvents[Name][0][] {
  const events: PoolEvents[Name][0][] = [];
  const listen = (event: PoolEvents[Name][0]): void => void events.push(event);
  (pool as { on(name: string, listener: (event: PoolEvents[Name][0]) => void): void }).on(name, listen);
  return events;
}

/** What a call throws. */
export async function failure(call: Promise<unknown>): Promise<Error & { reason?: string }> {
  try {
    await call;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was expected to fail');
}

/** Waits until a look gives something, at every turn of a short timer: for what no event tells of. */
export async function eventually<T>(what: string, look: () => T | undefined | false): Promise<T> {
  const end = AbortSignal.timeout(WAIT_MS);
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (end.aborted) throw new Error(`waited ${WAIT_MS} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

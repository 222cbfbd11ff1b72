import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Random } from './core/config.js';
import type { Now } from './core/inputs.js';

/** Time and the event loop, as the engine sees them. The simulation has one of its own. */
export interface Runtime {
  now(): Now;
  /** Runs once, after `delayMs`. Returns a function that forgets it. */
  after(delayMs: number, run: () => void): () => void;
  /** Runs once, after everything that has arrived in this turn of the loop has been read. */
  defer(run: () => void): void;
}

/** The system's clocks and Node's loop. The monotonic clock counts from the start of the process. */
export const systemRuntime: Runtime = {
  now: () => ({ monoMs: performance.now(), wallMs: Date.now() }),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
  defer: (run) => {
    setImmediate(run);
  },
};

const LEASE_ID_BYTES = 8;
/** A call of the system's generator costs more than the few bytes that one lease id takes of it. */
const POOL_BYTES = 512 * LEASE_ID_BYTES;

let pool = Buffer.alloc(0);
let poolAt = 0;

/** Lease ids fence hostile frames too, so they come from the system's generator; jitter need not. */
export const systemRandom: Random = {
  next: () => Math.random(),
  leaseId: () => {
    if (poolAt === pool.byteLength) {
      pool = randomBytes(POOL_BYTES);
      poolAt = 0;
    }
    poolAt += LEASE_ID_BYTES;
    return pool.toString('hex', poolAt - LEASE_ID_BYTES, poolAt);
  },
};

/** The host program with a pool of Remuda. */
import { createWorkerPool, type WorkerPool, type WorkerPoolOptions } from '../../../coordinator/pool/index.js';
import { servePeer } from '../serve-peer.js';
import { strikeWorkers, type FaultPlan } from './faults.js';
import { loadOperations } from './load.js';
import { trackMemory } from './memory-track.js';
import { childrenOf } from './process-table.js';
import { measureReuse } from './reuse.js';

/** What a pool is opened with, beside the handlers. */
export interface PoolArgs extends Pick<WorkerPoolOptions, 'store' | 'heartbeatInterval' | 'maxRestartAttempts'> {
  readonly workers: number;
  readonly logFile: string;
}

let pool: WorkerPool;

async function open({ workers, ...options }: PoolArgs): Promise<void> {
  pool = await createWorkerPool({
    ...options,
    handlers: new URL('./handlers.js', import.meta.url),
    poolSize: workers,
    maxWorkers: workers,
  });
}

servePeer({
  open,
  close: () => pool.shutdown(true),
  ...loadOperations((type, payload) => pool.submitTask({ type, payload })),
  reuse: (args: Parameters<typeof measureReuse>[1]) => measureReuse(pool, args),
  strike: (plan: FaultPlan) => strikeWorkers(pool, plan),
  memory: (args: Parameters<typeof trackMemory>[1]) => trackMemory(pool, args),
  /** Child processes that this one has, in whatever state. */
  children: () => childrenOf(process.pid).length,
});

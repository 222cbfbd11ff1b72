/**
 * `remuda/pool`: warm worker processes for a program that spawns a process per task today.
 *
 * ```js
 * const { createWorkerPool } = require('remuda/pool'); // and import
 *
 * const pool = await createWorkerPool({ handlers: './task-handlers.mjs', poolSize: 20 });
 * const result = await pool.submitTask({ type: 'analysis', payload: { path: 'src' } });
 * await pool.shutdown(true);
 * ```
 */
export { createWorkerPool } from './create-worker-pool.js';
export type { WorkerPoolOptions } from './pool-options.js';
export type { PoolTask, ScaleResult, ShutdownOptions, WorkerPool } from './worker-pool.js';
export type { AttemptEvent, PoolEventName, PoolEvents, WorkerExit } from './pool-events.js';
export type { PoolHealth, PoolMetrics, WorkerStatus } from './pool-metrics.js';
export { TaskFailedError, isTaskFailedError } from '../../client/task-failed-error.js';
export { FleetError, isFleetError } from '../../proto/fleet-error.js';

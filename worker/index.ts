/**
 * Write a worker:
 *
 * ```ts
 * import { createWorker } from 'remuda/worker';
 *
 * const worker = createWorker({ address: '127.0.0.1:7070', slots: 4, workerId: 'host-1/resize' });
 * worker.registerTaskHandler('image.resize', async (payload: { path: string }, ctx) => {
 *   const bytes = await resize(payload.path, { signal: ctx.signal });
 *   return { bytes };
 * });
 * await worker.start();
 * process.once('SIGTERM', () => void worker.stop());
 * ```
 */
import { FleetWorker } from './fleet-worker.js';
import { compileWorkerOptions, type WorkerOptions } from './worker-options.js';

/**
 * Makes a worker inside your own program. Register handlers, then start() it.
 *
 * @throws TypeError that names every option that is out of its bounds
 */
export function createWorker(options: WorkerOptions): FleetWorker {
  return new FleetWorker(compileWorkerOptions(options));
}

export { WorkerProcess, type WorkerProcessConfig } from './worker-process.js';
export type { WorkerOptions } from './worker-options.js';
export type { FleetWorker, StopOptions, WorkerEvent, WorkerEventName } from './fleet-worker.js';
export {
  TaskAbortedError,
  type AbortCause,
  type Handlers,
  type TaskContext,
  type TaskHandler,
  type TaskHandlerOptions,
} from './task-handler.js';
export type { OnStuck, SessionMode } from './session-options.js';
export type { LeaveCause, SessionEvent, SessionExit } from './session-messages.js';

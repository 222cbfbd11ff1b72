import { shareFigures } from './pool-figures.js';
import { PoolHost } from './pool-host.js';
import { compilePoolOptions, type WorkerPoolOptions } from './pool-options.js';
import { openPrivateDirectory, type PrivateDirectory } from './private-directory.js';
import { processClockMs } from './process-clock.js';
import type { WorkerPool } from './worker-pool.js';

/** The pools that this process has open, by number: their workers are told apart by it. */
const open = new Map<number, PrivateDirectory>();

/** Also when the program ends without shutdown(): the workers notice by themselves. One listener for all pools. */
function removeDirectories(): void {
  for (const directory of open.values()) directory.remove();
}

/**
 * Starts a pool of warm worker processes: a coordinator in a thread of this process, the workers, and a client. Resolves when
 * `poolSize` workers take tasks.
 *
 * ```js
 * const { createWorkerPool } = require('remuda/pool'); // and import
 *
 * const pool = await createWorkerPool({ handlers: './task-handlers.mjs', poolSize: 20 });
 * const result = await pool.submitTask({ type: 'analysis', payload: { path: 'src' } });
 * await pool.shutdown(true);
 * ```
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_OPTIONS with every fault in one message; FAILED_PRECONDITION /
 *   WORKER_START_FAILED with the error of the worker that could not start, WORKER_START_TIMEOUT, COORDINATOR_START_FAILED (the
 *   store or the port cannot be used), NO_PRIVATE_DIRECTORY; UNAVAILABLE / POOL_FAILED if its thread
 *   dies. Nothing of the pool is left then
 */
export async function createWorkerPool(options: WorkerPoolOptions = {}): Promise<WorkerPool> {
  const cwd = process.cwd();
  const compiled = compilePoolOptions(options, { cwd, execArgv: process.execArgv });
  const directory = openPrivateDirectory();
  const number = firstFree();
  if (open.size === 0) process.on('exit', removeDirectories);
  open.set(number, directory);
  const host = new PoolHost({
    setup: {
      options: compiled,
      prefix: number === 1 ? 'pool' : `pool-${number}`,
      socketPath: directory.socketPath,
      env: { ...process.env },
      cwd,
      figures: shareFigures(compiled.maxWorkers),
    },
    directory,
    nowMs: processClockMs,
    warn: (message) => process.emitWarning(message, 'RemudaPoolWarning'),
    onOver: () => {
      open.delete(number);
      if (open.size === 0) process.removeListener('exit', removeDirectories);
    },
  });
  return host.start();
}

function firstFree(): number {
  let number = 1;
  while (open.has(number)) number += 1;
  return number;
}

import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';

/** The pool takes no tasks any more, because it was shut down. */
export function poolShutDown(): FleetError {
  return new FleetError(
    Code.UNAVAILABLE,
    'POOL_SHUT_DOWN',
    'the pool has been shut down; make a new one for new tasks',
  );
}

/** A task had not ended when its pool was shut down. */
export function taskGivenBack(taskId: string, store: string): FleetError {
  const fate =
    store === 'memory:'
      ? 'it is gone with the pool, whose store is memory:'
      : `it is kept in ${store}, if the store had it already, and runs in the next pool that opens it`;
  const message = `the pool was shut down before task ${taskId} had ended: ${fate}`;
  return new FleetError(Code.UNAVAILABLE, 'POOL_SHUT_DOWN', message, { metadata: { task_id: taskId } });
}

/** The signal of submitTask() was aborted. */
export function taskGivenUp(taskId: string): FleetError {
  const message = `task ${taskId} was given up by the signal of submitTask(), and is being cancelled`;
  return new FleetError(Code.CANCELLED, 'WAIT_ABORTED', message, { metadata: { task_id: taskId } });
}

/** The pool itself is at fault, or its store. */
export function poolFailed(cause: string): FleetError {
  return new FleetError(Code.UNAVAILABLE, 'POOL_FAILED', `the pool has failed and is over: ${cause}; make a new one`);
}

/** createWorkerPool() could not start what it was asked for. */
export function poolStartFailed(reason: PoolStartFailure, message: string): FleetError {
  return new FleetError(Code.FAILED_PRECONDITION, reason, `createWorkerPool: ${message}`);
}

/** Why a pool does not start: a worker ended, workers were not welcomed in time, or the coordinator could not start. */
export type PoolStartFailure = 'WORKER_START_FAILED' | 'WORKER_START_TIMEOUT' | 'COORDINATOR_START_FAILED';

/** No worker of the pool handles the type, and none ever will. */
export function noHandler(type: string, known: readonly string[]): FleetError {
  const message = `no worker of the pool handles type "${type.slice(0, 127)}"; they handle ${known.slice(0, 32).join(', ')}: register it in the workers' file, or mend its name`;
  return new FleetError(Code.NOT_FOUND, 'NO_HANDLER', message, { metadata: { type: type.slice(0, 127) } });
}

import type { FleetError } from '../../proto/fleet-error.js';
import type { PoolHealth } from './pool-metrics.js';

/** An attempt of a task, as events name it. */
export interface AttemptEvent {
  readonly taskId: string;
  readonly type: string;
  /** Counted from 1; 0: the task ended before any. */
  readonly attempt: number;
  /** Who ran it; empty if nobody did. */
  readonly workerId: string;
}

/** How a worker process ended. */
export interface WorkerExit {
  readonly workerId: string;
  /** Undefined: it could not be started at all. */
  readonly pid: number | undefined;
  /** Its exit status; null if a signal ended it, or it never started. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The pool wanted it: a scale-down, a replacement (also of a process with a stuck handler), the shutdown. */
  readonly expected: boolean;
  /** Why, for people. */
  readonly reason: string;
}

/** The events of a pool, with what a listener is given. A key is an event's name; its value the listener's arguments. */
export interface PoolEvents {
  /** A worker was lost while its process still exists; it is killed and replaced. */
  readonly 'zombie-detected': [{ readonly workerId: string; readonly pid: number | undefined }];
  /** A worker process failed: it could not start, crashed, or ended without having been asked to. */
  readonly 'worker-error': [{ readonly workerId: string; readonly error: Error }];
  /**
   * An attempt failed. `retried`: the task runs again; false once for each task that is given up: it is a dead letter, or its
   * deadline has passed (`attempt` 0: before it had run).
   */
  readonly 'task-failed': [AttemptEvent & { readonly error: FleetError; readonly retried: boolean }];
  readonly 'pool-scaled-up': [{ readonly count: number; readonly newSize: number }];
  readonly 'pool-scaled-down': [{ readonly count: number; readonly newSize: number }];
  /** A worker process takes tasks, for the first time. */
  readonly 'worker-ready': [{ readonly workerId: string; readonly pid: number | undefined }];
  /** A worker process has ended, for whatever reason. */
  readonly 'worker-exit': [WorkerExit];
  /** A worker whose process had ended takes tasks again. `restarts`: how often it was started again, all in all. */
  readonly 'worker-restarted': [
    { readonly workerId: string; readonly pid: number | undefined; readonly restarts: number },
  ];
  /** A worker's process is not started again: it has failed too often, or a restart cannot help. The pool is smaller by one. */
  readonly 'worker-given-up': [{ readonly workerId: string; readonly restarts: number; readonly error: Error }];
  /** A task has SUCCEEDED. `durationMs`: of the attempt that did it, from the handler's entry to its end. */
  readonly 'task-completed': [AttemptEvent & { readonly durationMs: number }];
  /** A task is a dead letter: it waits for a person (`pool.client.requeue`, `pool.client.delete`). */
  readonly 'task-dead-lettered': [{ readonly taskId: string; readonly type: string; readonly error: FleetError }];
  readonly 'health-changed': [PoolHealth & { readonly previous: PoolHealth['status'] }];
}

/** The names of a pool's events. */
export type PoolEventName = keyof PoolEvents;

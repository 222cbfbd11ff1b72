import type { EventEmitter } from 'node:events';
import type { Client } from '../../client/client.js';
import type { RetryOptions } from '../../client/submit-options.js';
import type { PoolEvents } from './pool-events.js';
import type { PoolMetrics, WorkerStatus } from './pool-metrics.js';

/** One task of a pool. Fields that are not listed here are ignored, with a line in the log. */
export interface PoolTask {
  /** Which handler runs it. */
  readonly type: string;
  /** Any JSON value, or a Uint8Array for bytes. Default null. */
  readonly payload?: unknown;
  /** 0 to 100, larger first. Default 10. */
  readonly priority?: number;
  /**
   * How long one attempt may run, in milliseconds, 1 to 86,400,000; then its `signal` is aborted. A handler that returns all the same
   * has succeeded; one that has not settled 10 s later costs its process, and the attempt has failed. Default: `taskTimeout` of
   * the pool.
   */
  readonly timeout?: number;
  /** When the whole task is given up: a Date, or milliseconds since 1970. Default: never. */
  readonly deadline?: Date | number;
  /** How many attempts may fail, 1 to 100; 1 also means: at most one start. Default 3. */
  readonly maxAttempts?: number;
  /** The waits between attempts, and what is not retried. */
  readonly retry?: RetryOptions;
  /** UUID; the same id with the same content is the same task. Default: a new one. */
  readonly taskId?: string;
  /** For your own use; handed to the handler. At most 32 entries. Default: none. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Gives the task up: it is cancelled, and the promise rejects with CANCELLED / WAIT_ABORTED. */
  readonly signal?: AbortSignal;
}

/** What a change of size has come to. */
export interface ScaleResult {
  /** By how many workers the pool has really changed; 0: not at all. */
  readonly count: number;
  /** How many it has to keep now. */
  readonly newSize: number;
}

/** Options of {@link WorkerPool.shutdown}. */
export interface ShutdownOptions {
  /** How long what runs may take, in milliseconds, 0 to 86,400,000; then it is as if `graceful` were false. Default: no bound. */
  readonly timeout?: number;
}

/**
 * Warm worker processes on this machine, and the coordinator that feeds them; made by {@link createWorkerPool}. An open pool
 * keeps the process alive until {@link shutdown}.
 *
 * Its events are {@link PoolEvents}. A listener that throws does so as an uncaught exception of its own: the pool goes on.
 */
export interface WorkerPool extends EventEmitter<PoolEvents>, AsyncDisposable {
  /** A client of the pool's coordinator, for everything else: dead letters, watches, delayed tasks. */
  readonly client: Client;
  /** Where the coordinator listens, `unix:PATH`: for `remuda --address` and grpcurl. */
  readonly address: string;
  /** Where the figures are served, `http://127.0.0.1:PORT`; undefined without `httpPort`. */
  readonly httpUrl: string | undefined;

  /**
   * Runs a task and resolves with its result when it has SUCCEEDED. An attempt that fails is retried: see `maxAttempts`.
   *
   * @throws TaskFailedError if the task ended otherwise; FleetError INVALID_ARGUMENT / INVALID_TASK, PAYLOAD_TOO_LARGE,
   *   PAYLOAD_NOT_JSON; NOT_FOUND / NO_HANDLER if no worker handles the type; RESOURCE_EXHAUSTED / QUEUE_FULL, STORE_FULL,
   *   TOO_MANY_WAITING; ALREADY_EXISTS / TASK_ID_TAKEN; CANCELLED / WAIT_ABORTED, or NOT_SENT, after an abort of `signal`; UNAVAILABLE / POOL_SHUT_DOWN, and POOL_FAILED after
   *   a fault of the pool itself
   */
  submitTask<Result = unknown>(task: PoolTask): Promise<Result>;

  /** The figures of now: never behind what this program has been told by a promise or an event of this pool. */
  getPoolMetrics(): PoolMetrics;

  /** Each worker, as of the same moment as {@link getPoolMetrics}. */
  getAllWorkersStatus(): WorkerStatus[];

  /**
   * Adds workers, as many as `maxWorkers` allows. Resolves when they take tasks, after the event `pool-scaled-up`.
   *
   * @throws FleetError INVALID_ARGUMENT / INVALID_COUNT if `count` is no positive integer, and nothing else
   */
  scaleUp(count: number): Promise<ScaleResult>;

  /**
   * Takes workers out, down to `minWorkers`, idle ones first; what runs goes on to its end. Resolves when they have ended, after
   * the event `pool-scaled-down`.
   *
   * @throws FleetError INVALID_ARGUMENT / INVALID_COUNT if `count` is no positive integer, and nothing else
   */
  scaleDown(count: number): Promise<ScaleResult>;

  /**
   * Ends the pool: no new tasks, and none that waits is begun. `graceful` waits for what runs; otherwise handlers are aborted, and their processes killed when
   * they have not settled after 2 s. Tasks that have not ended then go back to the queue with a `sqlite:` store, where the next
   * pool finds them; with `memory:` they are gone. Either way their promises reject with UNAVAILABLE / POOL_SHUT_DOWN. Resolves when
   * every process has ended and nothing of the pool keeps this one alive. A repeat returns the same promise; it may make the end
   * come sooner.
   *
   * @param graceful Default true, and anything but `false` means it: `process.on('SIGTERM', (signal) => pool.shutdown(signal))`
   */
  shutdown(graceful?: boolean, options?: ShutdownOptions): Promise<void>;
}

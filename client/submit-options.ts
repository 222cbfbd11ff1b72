import type { OnAbandon } from './stream-call.js';

/** What happens after an attempt that failed. */
export interface RetryOptions {
  /** How many attempts may fail, 1 to 100. 1 also means: at most one start. Default 3. */
  readonly maxAttempts?: number;
  /** Back-off before the first retry in milliseconds, 1 to 3,600,000; the wait is drawn evenly from 0 to it. Default 200. */
  readonly initialBackoffMs?: number;
  /** The back-off doubles up to this, in milliseconds, 1 to 86,400,000. Default 30,000. */
  readonly maxBackoffMs?: number;
  /** Failure reasons after which no other attempt is made. At most 32, UPPER_SNAKE_CASE. Default: none. */
  readonly nonRetryableReasons?: readonly string[];
}

/** How a task is to be run. Everything has a default. */
export interface TaskOptions {
  /** UUID; the same id with the same content is the same task. Default: a new one (version 7). */
  readonly taskId?: string;
  /** 0 to 100, larger first. Default 10. */
  readonly priority?: number;
  /** Labels that a worker must have, with these values. At most 16. Default: none. */
  readonly requiredLabels?: Readonly<Record<string, string>>;
  /** How long one attempt may run, in milliseconds, 1 to 86,400,000. Default 300,000. */
  readonly timeoutMs?: number;
  /**
   * When the whole task is given up (EXPIRED), in milliseconds from this call on. The coordinator's clock judges it; a task that
   * still waits in the client then is not sent (DEADLINE_PASSED). Default: never. Not together with `deadline`.
   */
  readonly deadlineMs?: number;
  /** The same as a point in time. */
  readonly deadline?: Date;
  /** Not before this time, on the coordinator's clock. Default: at once. */
  readonly runAt?: Date;
  /** Short for `retry.maxAttempts`. */
  readonly maxAttempts?: number;
  readonly retry?: RetryOptions;
  /** For your own use; handed to the handler. At most 32 entries. Default: none. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** W3C trace context, handed to the handler: `00-<32 hex>-<16 hex>-<2 hex>`. Default: none. */
  readonly traceparent?: string;
  /** Media type of a payload that is bytes. Default `application/octet-stream`. */
  readonly contentType?: string;
}

/** Options of `submit`. */
export interface SubmitOptions extends TaskOptions {
  /**
   * Gives up before the acknowledgement. Once the task was sent, whether the coordinator has it is not known then (reason
   * ACCEPTANCE_UNKNOWN).
   */
  readonly signal?: AbortSignal;
}

/** Options of `run`. */
export interface RunOptions extends TaskOptions {
  /** Gives up waiting; what becomes of the task says `onAbandon`. `AbortSignal.timeout(ms)` bounds the waiting. */
  readonly signal?: AbortSignal;
  /** What becomes of the task when `signal` is aborted: it is cancelled, or goes on. Default `cancel`. */
  readonly onAbandon?: OnAbandon;
}

/** Options of calls that can only be given up. */
export interface WaitOptions {
  /** Gives up; the task goes on. */
  readonly signal?: AbortSignal;
}

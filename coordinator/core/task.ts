/**
 * A task's record: what the core knows of a task that has not ended, and the row that the store keeps of it.
 *
 * ```
 *              run_time          dispatched            report
 *  SCHEDULED ------------> QUEUED ----------> RUNNING ----------> SUCCEEDED
 *      ^                     ^                   |                CANCELLED
 *      |  charged, or free   |  free, first      |                EXPIRED
 *      |  again: back-off    |  in a row         |                DEAD_LETTERED
 *      +---------------------+-------------------+
 *                            ^
 *   a person requeues        |
 *   DEAD_LETTERED -----------'
 * ```
 */

export const TASK_STATES = [
  'SCHEDULED',
  'QUEUED',
  'RUNNING',
  'SUCCEEDED',
  'CANCELLED',
  'EXPIRED',
  'DEAD_LETTERED',
] as const;
export type TaskState = (typeof TASK_STATES)[number];
export type EndState = Extract<TaskState, 'SUCCEEDED' | 'CANCELLED' | 'EXPIRED' | 'DEAD_LETTERED'>;

/** Which state may follow which. Anything else is a bug and throws. */
export const TASK_TRANSITIONS: Readonly<Record<TaskState, readonly TaskState[]>> = {
  // A late report can end a task that waits, or send it through another back-off.
  SCHEDULED: ['SCHEDULED', 'QUEUED', 'SUCCEEDED', 'CANCELLED', 'EXPIRED', 'DEAD_LETTERED'],
  QUEUED: ['SCHEDULED', 'QUEUED', 'RUNNING', 'SUCCEEDED', 'CANCELLED', 'EXPIRED', 'DEAD_LETTERED'],
  RUNNING: ['SCHEDULED', 'QUEUED', 'SUCCEEDED', 'CANCELLED', 'EXPIRED', 'DEAD_LETTERED'],
  SUCCEEDED: [],
  CANCELLED: [],
  EXPIRED: [],
  // A person may put it back in the queue: as a new record, not by a transition of this one.
  DEAD_LETTERED: [],
};

export function hasEnded(state: TaskState): state is EndState {
  return TASK_TRANSITIONS[state].length === 0;
}

/** Bytes and what they are: a payload, a result. The core never looks inside. */
export interface Content {
  readonly contentType: string;
  readonly data: Uint8Array;
}

/** What a handler is given besides its options. Kept in the store, not in the core. */
export interface TaskBody {
  readonly payload: Content;
  readonly metadata: Readonly<Record<string, string>>;
  readonly traceparent: string;
}

export interface RetryPolicy {
  /** How many attempts may fail; 1 also means at most one start. */
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly nonRetryableReasons: readonly string[];
}

/** What a submit says about how the task is to be run, defaults filled in. */
export interface TaskSpec {
  readonly type: string;
  readonly priority: number;
  readonly requiredLabels: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Wall clock; null: never. */
  readonly deadlineWallMs: number | null;
  /** Wall clock; null: at once. */
  readonly runTimeWallMs: number | null;
  readonly retry: RetryPolicy;
}

export interface Failure {
  readonly reason: string;
  readonly message: string;
  readonly nonRetryable: boolean;
  readonly stack: string;
}

export const ATTEMPT_OUTCOMES = ['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'WORKER_LOST', 'RELEASED'] as const;
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

/** The account that an attempt's end was booked on. */
export type Charge = 'NONE' | 'FAILURE' | 'CRASH' | 'FREE';

/** `(taskId, attempt, leaseId)`: nothing is accepted for an attempt unless all three fit. */
export interface AttemptRef {
  readonly taskId: string;
  readonly attempt: number;
  /** 64 random bits as 16 hexadecimal digits. */
  readonly leaseId: string;
}

/** An attempt that has ended. The newest {@link CoreConfig.maxHistory} are kept with the task. */
export interface AttemptEntry {
  readonly attempt: number;
  readonly leaseId: string;
  readonly workerId: string;
  readonly incarnation: string;
  readonly assignWallMs: number;
  readonly endWallMs: number;
  readonly outcome: AttemptOutcome;
  readonly charge: Charge;
  readonly failure: Failure | null;
  readonly runMs: number;
  /** True if the worker itself said so: a repeat of that report is acknowledged as accepted. */
  readonly reported: boolean;
}

/**
 * A task as the store keeps it, without payload and result. Every field is plain data; wall-clock times are milliseconds
 * since 1970, always whole numbers below 2^53.
 */
export interface TaskRow extends TaskSpec {
  readonly taskId: string;
  /** Tells a repeat of the same submit from another one under the same id. */
  readonly digest: string;
  readonly createWallMs: number;
  readonly payloadBytes: number;
  /** Rises by one with each write of the row; every write names the one that it replaces. */
  readonly revision: number;
  readonly state: TaskState;
  /** Place within the order domain. */
  readonly tag: number;
  /** Place between order domains, on the wall clock; never falls from one task to the next. */
  readonly readyWallMs: number;
  /** While SCHEDULED: when it becomes QUEUED. */
  readonly dueWallMs: number | null;
  /** Number of the newest attempt; 0 before the first. It and the lease stay through QUEUED and SCHEDULED. */
  readonly attempt: number;
  readonly leaseId: string;
  readonly workerId: string;
  readonly incarnation: string;
  readonly assignWallMs: number;
  /** True while the newest attempt has no outcome from its worker: a late report would still count. */
  readonly attemptOpen: boolean;
  readonly failureCount: number;
  readonly crashCount: number;
  readonly releaseCount: number;
  /** Free ends in a row, for their back-off. */
  readonly releaseStreak: number;
  /** How often its worker's lease ended while it had been started. */
  readonly silenceCount: number;
  readonly cancelRequested: boolean;
  readonly history: readonly AttemptEntry[];
  /** The newest attempt when a person last put the task back in the queue: counters count what came after it. 0: nobody has. */
  readonly requeuedAttempt: number;
  readonly endWallMs: number | null;
  /** Why it ended otherwise than SUCCEEDED. */
  readonly failure: Failure | null;
}

/** Opaque name of a waiting caller, given out by the engine. */
export type ReplyToken = number;

/** The newest progress of a running attempt. Memory only. */
export interface ProgressNote {
  readonly number: number;
  readonly data: Content;
}

/** What a task takes in a store, in bytes: its payload, and an estimate for the rest, good enough for a bound. */
export function storedBytes(payloadBytes: number): number {
  return 1_024 + payloadBytes;
}

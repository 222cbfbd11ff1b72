import type { Want } from './waiters.js';
import type { AttemptOutcome, AttemptRef, Content, Failure, ReplyToken, TaskBody, TaskRow, TaskSpec } from './task.js';

/** Time as the core sees it: leases, time-outs and back-offs on the monotonic clock, everything that people see on the wall. */
export interface Now {
  readonly monoMs: number;
  readonly wallMs: number;
}

/** What a worker says of itself in `hello`, validated by the session. */
export interface HelloInfo {
  readonly workerId: string;
  readonly incarnation: string;
  readonly sessionNumber: number;
  readonly replaces: readonly string[];
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  /** Slot cap by task type, 1 to `slots`. */
  readonly taskTypes: ReadonlyMap<string, number>;
  readonly labels: Readonly<Record<string, string>>;
  readonly slots: number;
  readonly prefetch: number;
  readonly running: readonly { readonly ref: AttemptRef; readonly started: boolean }[];
  readonly unsentReports: readonly AttemptRef[];
}

/** How a process ended: by itself, or because its supervisor ended it on purpose, for reasons that no task of it has given. */
export type ProcessEnd = 'died' | 'killed';

/** A worker's own measurements. */
export interface WorkerLoad {
  readonly cpuMillis: number;
  readonly rssBytes: number;
  readonly handlerLoopLagMs: number;
}

/** An attempt's outcome as its worker reports it. WORKER_LOST never comes from a worker. */
export interface ReportInfo {
  readonly ref: AttemptRef;
  readonly outcome: Exclude<AttemptOutcome, 'WORKER_LOST'>;
  readonly result: Content | null;
  readonly failure: Failure | null;
  readonly startDelayMs: number;
  readonly runMs: number;
}

/** Everything that the core reacts to. `sessionId` numbers the streams of this coordinator's life. */
export type Input =
  | {
      readonly kind: 'submit';
      readonly token: ReplyToken;
      readonly taskId: string;
      readonly spec: TaskSpec;
      readonly body: TaskBody;
      readonly digest: string;
      /** What else the caller wants to hear of the task, once it is accepted; null: nothing. */
      readonly want: Want | null;
    }
  /** The caller wants to hear of a task that somebody has submitted. */
  | { readonly kind: 'await'; readonly token: ReplyToken; readonly taskId: string; readonly want: Want }
  /** The caller behind `token` no longer waits; `cancel` also cancels the tasks that nobody else waits for. */
  | {
      readonly kind: 'abandon';
      readonly token: ReplyToken;
      readonly taskIds: Iterable<string>;
      readonly cancel: boolean;
    }
  | { readonly kind: 'cancel'; readonly token: ReplyToken; readonly taskId: string }
  /** Dead letters go back to the queue. */
  | { readonly kind: 'requeue'; readonly token: ReplyToken; readonly taskIds: readonly string[] }
  /** Tasks that have ended are removed. */
  | { readonly kind: 'delete'; readonly token: ReplyToken; readonly taskIds: readonly string[] }
  | { readonly kind: 'getTask'; readonly token: ReplyToken; readonly taskId: string }
  /** What only the core knows of tasks that were read from the store. */
  | { readonly kind: 'explain'; readonly token: ReplyToken; readonly taskIds: readonly string[] }
  | {
      readonly kind: 'listWorkers';
      readonly token: ReplyToken;
      /** Only workers whose id sorts after this one. */
      readonly afterWorkerId: string;
      readonly limit: number;
    }
  | { readonly kind: 'getWorker'; readonly token: ReplyToken; readonly workerId: string }
  | {
      readonly kind: 'listQueues';
      readonly token: ReplyToken;
      /** Only types that sort after this one. */
      readonly afterType: string;
      readonly limit: number;
    }
  | { readonly kind: 'fleetStats'; readonly token: ReplyToken }
  /** Workers that fit get nothing new, until the drain is given up. `whenIdle` answers once none of them holds anything. */
  | {
      readonly kind: 'drain';
      readonly token: ReplyToken;
      readonly patterns: readonly string[];
      readonly whenIdle: boolean;
    }
  /** Answers a drain that waits, as it stands. */
  | { readonly kind: 'stopWaiting'; readonly token: ReplyToken }
  | { readonly kind: 'resume'; readonly token: ReplyToken; readonly patterns: readonly string[] }
  | { readonly kind: 'hello'; readonly sessionId: number; readonly atMonoMs: number; readonly hello: HelloInfo }
  | FrameInput
  /** Frames to the worker are (no longer) unacknowledged for too long; `takenBack` never left our outbox. */
  | {
      readonly kind: 'suspect';
      readonly sessionId: number;
      readonly suspect: boolean;
      /** It does not acknowledge; otherwise it only reads more slowly than it is sent. */
      readonly deaf: boolean;
      readonly takenBack: readonly AttemptRef[];
    }
  | { readonly kind: 'sessionEnded'; readonly sessionId: number }
  /** A worker's process is known to have ended, by somebody who has seen it end. */
  | { readonly kind: 'processEnded'; readonly incarnation: string; readonly how: ProcessEnd }
  /** The coordinator listens: what was RUNNING before the restart is waited for from now on. */
  | { readonly kind: 'listening' }
  /** From now on nothing is handed out: the coordinator is about to end, and what runs is to end first. */
  | { readonly kind: 'stopDispatch' }
  /** The process stood still for `gapMs`: nobody's silence in that time counts. */
  | { readonly kind: 'stalled'; readonly gapMs: number };

/** One frame of a welcomed worker. Any frame, an empty one too, renews the worker's lease. */
export interface FrameInput {
  readonly kind: 'frame';
  readonly sessionId: number;
  /** When it arrived. */
  readonly atMonoMs: number;
  /** Assignments whose frame the worker has now acknowledged. */
  readonly held: readonly AttemptRef[];
  readonly started: readonly AttemptRef[];
  readonly reports: readonly ReportInfo[];
  readonly progress: readonly { readonly ref: AttemptRef; readonly number: number; readonly data: Content }[];
  readonly notStarted: readonly AttemptRef[];
  readonly load: WorkerLoad | null;
  readonly leaving: { readonly drainTimeoutMs: number } | null;
}

/** What a step is given beside its inputs. */
export interface StepContext {
  readonly now: Now;
  /**
   * All that had arrived by then, on the monotonic clock, is applied with this step's inputs. Silence is judged by it and not
   * by now: what lies unread in front of us is no silence.
   */
  readonly heardMonoMs: number;
  /** The rows of {@link keysToRead} that the store has. */
  readonly rows: ReadonlyMap<string, TaskRow>;
  /** What new tasks may take in the store, in bytes; see {@link storedBytes}. */
  readonly storeRoomBytes: number;
}

import type { WorkerLoad } from './inputs.js';
import type { AttemptRef, Content, ProgressNote, ReplyToken, TaskBody, TaskRow, TaskState } from './task.js';

/** Why an attempt is to be aborted. */
export type CancelReason = 'REQUESTED' | 'DEADLINE' | 'TIMED_OUT' | 'FENCED';

/** Why the core ends a worker's stream. */
export type EndReason = 'SUPERSEDED' | 'STALE_SESSION' | 'LEASE_LOST' | 'FLEET_FULL';

/** What leaves for a worker's session, in this order, once the step is durable. */
export type SessionOutput =
  | {
      readonly kind: 'welcome';
      readonly keep: readonly AttemptRef[];
      readonly cancel: readonly AttemptRef[];
      readonly wantedReports: readonly AttemptRef[];
    }
  | {
      readonly kind: 'assign';
      readonly ref: AttemptRef;
      readonly type: string;
      readonly timeoutMs: number;
      readonly failureCount: number;
      /** Set by the engine before delivery: from the submit of the same step, or as the store returned it. */
      body: TaskBody | null;
    }
  | {
      readonly kind: 'reportAck';
      readonly ref: AttemptRef;
      readonly accepted: boolean;
      /** If refused: TASK_ENDED, STALE_ATTEMPT or UNKNOWN_TASK. */
      readonly reason: string;
    }
  | { readonly kind: 'cancel'; readonly ref: AttemptRef; readonly reason: CancelReason }
  /** Give it back if its handler has not been entered. */
  | { readonly kind: 'revoke'; readonly ref: AttemptRef }
  | { readonly kind: 'drain'; readonly deadlineMs: number }
  | { readonly kind: 'end'; readonly reason: EndReason; readonly message: string };

export type WaitingReason =
  | 'RUN_TIME'
  | 'BACKOFF'
  | 'NO_WORKER_FOR_TYPE'
  | 'NO_WORKER_WITH_LABELS'
  | 'NO_READY_WORKER'
  | 'NO_FREE_SLOT'
  | 'CRASH_ISOLATION';

export interface Waiting {
  readonly reason: WaitingReason;
  readonly message: string;
}

export type WorkerState = 'READY' | 'SUSPECT' | 'DRAINING' | 'DISCONNECTED';
export type HoldState = 'SENT' | 'HELD' | 'STARTED' | 'CANCELLING';

/** A worker as people see it. */
export interface WorkerView {
  readonly workerId: string;
  readonly incarnation: string;
  readonly sessionNumber: number;
  readonly state: WorkerState;
  readonly stateMessage: string;
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  readonly taskTypes: ReadonlyMap<string, number>;
  readonly labels: Readonly<Record<string, string>>;
  readonly slots: number;
  readonly prefetch: number;
  readonly slotsUsed: number;
  readonly attempts: readonly {
    readonly taskId: string;
    readonly type: string;
    readonly attempt: number;
    readonly state: HoldState;
    readonly assignWallMs: number;
  }[];
  readonly attemptsDone: number;
  readonly connectWallMs: number;
  readonly lastFrameWallMs: number;
  readonly leaseEndWallMs: number;
  readonly load: WorkerLoad | null;
}

export interface TaskCounts {
  scheduled: number;
  queued: number;
  running: number;
}

/** What has happened since the coordinator started. */
export interface Totals {
  submitted: number;
  assigned: number;
  /** Attempts handed out after their task's first. */
  attemptsRetried: number;
  succeeded: number;
  cancelled: number;
  expired: number;
  deadLettered: number;
  failures: number;
  crashes: number;
  releases: number;
  workersLost: number;
  reportsRefused: number;
  /** Times that a worker became suspect, came back, lost its id to another process, was lost with its stream still open. */
  suspicions: number;
  returns: number;
  takeovers: number;
  zombies: number;
  /** Attempts that a worker which does not acknowledge was asked to give back. */
  revokes: number;
  /** Attempts that the coordinator had given up, and whose worker has spoken after all, in time to count. */
  refunds: number;
  /** Times that the coordinator did not run, or did not read streams, for long, and for how long in all. */
  stalls: number;
  stalledMs: number;
  /** Attempts whose handlers were entered, and those of them in a process which had entered one before: the reuse rate. */
  attemptsStarted: number;
  attemptsReused: number;
}

/** Attempts that take slots, of all workers, by how far they are. */
export interface AttemptCounts {
  sent: number;
  held: number;
  started: number;
  cancelling: number;
  /** Of these, those that have ended by the coordinator's verdict: their slots stay in use until their workers confirm. */
  abandoned: number;
}

export interface FleetStatsView {
  readonly tasks: Readonly<TaskCounts>;
  readonly workers: {
    readonly ready: number;
    readonly suspect: number;
    readonly draining: number;
    readonly disconnected: number;
    readonly slots: number;
    readonly slotsUsed: number;
  };
  readonly attempts: Readonly<AttemptCounts>;
  readonly totals: Readonly<Totals>;
  /** By pattern. */
  readonly drains: readonly DrainView[];
  /** The types with the most tasks that have not ended, at most 100. */
  readonly types: readonly {
    readonly type: string;
    readonly tasks: Readonly<TaskCounts>;
    readonly readyWorkers: number;
  }[];
}

/** The answer to a caller. */
export type Reply =
  | {
      readonly kind: 'submitted';
      readonly taskId: string;
      readonly state: TaskState;
      readonly alreadyExisted: boolean;
      readonly capableWorkers: number;
      /** Set when the task waits for something that a person may have to bring about. */
      readonly notice: string;
    }
  | { readonly kind: 'idTaken'; readonly taskId: string }
  | { readonly kind: 'queueFull'; readonly taskId: string; readonly limit: number }
  /** The store has no room for a new task. */
  | { readonly kind: 'storeFull'; readonly taskId: string }
  /** The task is new, and its deadline has passed. */
  | { readonly kind: 'deadlinePassed'; readonly taskId: string; readonly lateMs: number }
  /** The task has ended, or was asked for: the engine adds the row, body and result from the store. */
  | {
      readonly kind: 'task';
      readonly taskId: string;
      readonly waiting: Waiting | null;
      readonly progress: ProgressNote | null;
    }
  /** The task has just ended: what a caller that awaits its end is told. */
  | { readonly kind: 'ended'; readonly taskId: string; readonly row: TaskRow; readonly result: Content | null }
  /** Something about the task has changed. */
  | { readonly kind: 'changed'; readonly taskId: string }
  | { readonly kind: 'taskNotFound'; readonly taskId: string }
  | { readonly kind: 'cancelled'; readonly taskId: string; readonly state: TaskState }
  /** What became of each id of a requeue or delete; null: done. */
  | {
      readonly kind: 'tasksChanged';
      readonly results: readonly { readonly taskId: string; readonly refusal: ChangeRefusal | null }[];
    }
  | {
      readonly kind: 'explained';
      readonly tasks: ReadonlyMap<string, { readonly waiting: Waiting | null; readonly progress: ProgressNote | null }>;
    }
  | { readonly kind: 'workers'; readonly workers: readonly WorkerView[]; readonly more: boolean }
  | { readonly kind: 'worker'; readonly worker: WorkerView }
  | { readonly kind: 'workerNotFound'; readonly workerId: string }
  | { readonly kind: 'queues'; readonly queues: readonly QueueView[]; readonly more: boolean }
  | { readonly kind: 'drained'; readonly workers: readonly DrainedWorker[] }
  | { readonly kind: 'tooManyDrains'; readonly limit: number }
  | { readonly kind: 'resumed'; readonly drains: readonly DrainView[]; readonly resumedWorkers: number }
  | { readonly kind: 'drainNotFound'; readonly pattern: string; readonly held: readonly string[] }
  | { readonly kind: 'fleetStats'; readonly stats: FleetStatsView };

/** Why a task is not requeued, or not deleted. */
export type ChangeRefusal =
  | { readonly reason: 'NOT_FOUND' }
  | { readonly reason: 'NOT_DEAD_LETTERED' | 'NOT_ENDED'; readonly state: TaskState }
  | { readonly reason: 'DEADLINE_PASSED'; readonly deadlineWallMs: number }
  | { readonly reason: 'QUEUE_FULL'; readonly limit: number };

/** A worker that an operator keeps from work. */
export interface DrainedWorker {
  readonly workerId: string;
  readonly attempts: number;
}

/** A drain that is held. */
export interface DrainView {
  readonly pattern: string;
  readonly createWallMs: number;
}

/** The tasks of one type that have not ended, and who could run them. */
export interface QueueView {
  readonly type: string;
  readonly tasks: Readonly<TaskCounts>;
  /** Since when the task that waits longest has been QUEUED; null: none is. */
  readonly oldestReadyWallMs: number | null;
  readonly readyWorkers: number;
  /** Of the ready workers, for this type, and how many of them are free. */
  readonly slots: number;
  readonly slotsFree: number;
}

/** Things that happened, for the log, metrics and listeners. `name` is stable. */
export type CoreEvent =
  | {
      readonly name:
        | 'worker-joined'
        | 'worker-returned'
        | 'worker-suspect'
        | 'worker-recovered'
        | 'worker-disconnected'
        | 'worker-draining'
        | 'worker-resumed'
        | 'worker-left'
        | 'worker-superseded'
        | 'worker-lost'
        | 'zombie-detected';
      readonly workerId: string;
      readonly incarnation: string;
      readonly attempts: number;
      readonly message: string;
    }
  /** Once for each attempt whose handler is known to have been entered; before its `attempt-ended`, unless that was a verdict. */
  | {
      readonly name: 'attempt-started';
      readonly taskId: string;
      readonly type: string;
      readonly attempt: number;
      readonly workerId: string;
      /**
       * From handing it out to the arrival of the news, in milliseconds on the monotonic clock; if a report brought it, without the
       * time that the handler ran. Null: handed out by an earlier coordinator, so it was not measured.
       */
      readonly startMs: number | null;
      /** Its process had started one before. */
      readonly reused: boolean;
    }
  | {
      readonly name: 'attempt-ended';
      readonly taskId: string;
      readonly type: string;
      readonly attempt: number;
      readonly workerId: string;
      readonly outcome: string;
      readonly charge: string;
      readonly taskState: TaskState;
      readonly reason: string;
      readonly message: string;
      /** Of user code; empty: there is none. */
      readonly stack: string;
      readonly runMs: number;
      readonly startDelayMs: number;
      /** The worker's own word; otherwise the coordinator's verdict, and nothing was measured. */
      readonly reported: boolean;
    }
  /** The coordinator did not run, or did not read streams, for so long: nobody's silence in that time counts. */
  | { readonly name: 'coordinator-stalled'; readonly gapMs: number }
  | { readonly name: 'task-requeued' | 'task-deleted'; readonly taskId: string; readonly type: string }
  | {
      readonly name: 'task-ended';
      readonly taskId: string;
      readonly type: string;
      readonly taskState: TaskState;
      /** Why; empty when SUCCEEDED. */
      readonly reason: string;
      readonly message: string;
    };

export type Output =
  | { readonly kind: 'reply'; readonly token: ReplyToken; readonly reply: Reply }
  | { readonly kind: 'session'; readonly sessionId: number; readonly output: SessionOutput }
  | { readonly kind: 'event'; readonly event: CoreEvent };

/** A conditional write; all of a step's writes are one transaction. */
export type Write =
  | { readonly kind: 'insert'; readonly row: TaskRow; readonly body: TaskBody }
  | {
      readonly kind: 'update';
      readonly row: TaskRow;
      /** The revision that the row must have now: `row.revision - 1`. */
      readonly expectedRevision: number;
      /** With SUCCEEDED. */
      readonly result: Content | null;
      /** Return the task's body with the write's result: it is about to be handed out. */
      readonly wantBody: boolean;
      /** The row had ended: a dead letter goes back to the queue. */
      readonly reopens: boolean;
    }
  /** Removes a task that has ended, with all that belongs to it. */
  | { readonly kind: 'delete'; readonly taskId: string; readonly expectedRevision: number }
  /** Holds an operator's drain, or gives it up (`createWallMs` null). */
  | { readonly kind: 'drain'; readonly pattern: string; readonly createWallMs: number | null }
  /** The longest lease that any frame may grant from now on. */
  | { readonly kind: 'longestLease'; readonly leaseMs: number }
  /** Removes those of these tasks that still are ended as named: not opened again since, and no dead letters. */
  | { readonly kind: 'purge'; readonly tasks: readonly EndedTask[] }
  /** Removes, the oldest end first, tasks that are kept for long enough, seen or not. */
  | {
      readonly kind: 'purgeOld';
      /** Tasks that ended before, dead letters excepted. */
      readonly endedBeforeWallMs: number;
      /** Dead letters that ended before. */
      readonly deadBeforeWallMs: number;
      /** Dead letters beyond this many, whenever they ended. */
      readonly maxDeadLetters: number;
      /** Tasks removed by this write, at most. */
      readonly limit: number;
    };

/** A task and the end that it had: one that is opened again ends anew. */
export interface EndedTask {
  readonly taskId: string;
  readonly endWallMs: number;
}

export interface StepResult {
  readonly outputs: readonly Output[];
  readonly writes: readonly Write[];
  /** True if the step stopped at its bound and another one, without inputs, would hand out more. */
  readonly more: boolean;
}

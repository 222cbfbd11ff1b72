/** The scheduler's state, and the few ways in which a step may touch it. */
import type { CoreConfig, Random } from './config.js';
import type { HeapNode } from './heap.js';
import type { Now, StepContext } from './inputs.js';
import { Matcher, type MatchClass } from './match.js';
import type { CoreEvent, Output, Reply, SessionOutput, TaskCounts, Totals, Write } from './outputs.js';
import { ReadyQueue, type Domain } from './ready-queue.js';
import {
  hasEnded,
  TASK_TRANSITIONS,
  type Content,
  type ProgressNote,
  type ReplyToken,
  type TaskBody,
  type TaskRow,
  type TaskState,
} from './task.js';
import { Timers, newTimer, type Timer } from './timers.js';
import type { Waiter } from './waiters.js';
import type { Hold, WorkerRecord } from './worker.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A task that has not ended, as the core holds it. */
export interface TaskRecord extends Mutable<TaskRow>, HeapNode {
  readonly matchClass: MatchClass;
  /** While QUEUED. */
  domain: Domain | null;
  /** While RUNNING: who has it. */
  holder: { readonly worker: WorkerRecord; readonly hold: Hold } | null;
  /** Callers that hear of it. */
  waiters: Waiter[];
  progress: ProgressNote | null;
  /** The attempt whose report has been waited for, because its worker came back with it; 0: none. */
  reportAwaited: number;
  readonly due: Timer;
  readonly deadline: Timer;
}

/** What a step has to write about one task. */
interface PendingWrite {
  readonly task: TaskRecord;
  /** Submitted in this step: an insert, and the body is at hand. */
  readonly body: TaskBody | null;
  result: Content | null;
  wantBody: boolean;
  /** In the store it has ended. */
  readonly reopens: boolean;
}

/** An operator's drain. */
export interface HeldDrain {
  /** Since when. */
  readonly createWallMs: number;
  /** True for the worker ids that it fits. */
  readonly test: (workerId: string) => boolean;
}

/** An operator's drain that waits until its workers are idle. */
export interface DrainWait {
  readonly token: ReplyToken;
  readonly patterns: readonly string[];
}

export interface SchedulerState {
  readonly config: CoreConfig;
  readonly random: Random;
  readonly queue: ReadyQueue;
  readonly matcher: Matcher;
  readonly timers: Timers;
  /** Tasks that have not ended, by id. */
  readonly tasks: Map<string, TaskRecord>;
  /** Every incarnation that is connected or may still hold attempts. */
  readonly incarnations: Map<string, WorkerRecord>;
  /** The incarnation that has a worker_id now. */
  readonly workersById: Map<string, WorkerRecord>;
  readonly sessions: Map<number, WorkerRecord>;
  /**
   * Streams of superseded workers, until they have ended: their frames are still acknowledged, so by them the loser goes on to
   * believe in its lease.
   */
  readonly supersededSessions: Map<number, WorkerRecord>;
  /** Incarnations that lost their id, oldest first: they may not come back and take it again. */
  readonly superseded: Set<string>;
  /** Drains that operators have asked for, by pattern of worker ids. */
  readonly drains: Map<string, HeldDrain>;
  drainWaits: DrainWait[];
  readonly countsByType: Map<string, TaskCounts>;
  readonly counts: TaskCounts;
  readonly totals: Totals;
  nextTag: number;
  /** Largest ready time given so far: a clock set back reorders nothing. */
  lastReadyWallMs: number;
  lastUsed: number;
  /** The lease that attempts of an earlier coordinator are waited for, from when this one listens. */
  recoveredLeaseMs: number;
  /** Tasks are handed out; false once the coordinator is about to end. */
  dispatches: boolean;
}

export function createState(config: CoreConfig, random: Random): SchedulerState {
  const queue = new ReadyQueue(config.headStartMs);
  return {
    config,
    random,
    queue,
    matcher: new Matcher(config, queue),
    timers: new Timers(),
    tasks: new Map(),
    incarnations: new Map(),
    workersById: new Map(),
    sessions: new Map(),
    supersededSessions: new Map(),
    superseded: new Set(),
    drains: new Map(),
    drainWaits: [],
    countsByType: new Map(),
    counts: { scheduled: 0, queued: 0, running: 0 },
    totals: {
      submitted: 0,
      assigned: 0,
      attemptsRetried: 0,
      succeeded: 0,
      cancelled: 0,
      expired: 0,
      deadLettered: 0,
      failures: 0,
      crashes: 0,
      releases: 0,
      workersLost: 0,
      reportsRefused: 0,
      suspicions: 0,
      returns: 0,
      takeovers: 0,
      zombies: 0,
      revokes: 0,
      refunds: 0,
      stalls: 0,
      stalledMs: 0,
      attemptsStarted: 0,
      attemptsReused: 0,
    },
    nextTag: 1,
    lastReadyWallMs: 0,
    lastUsed: 0,
    recoveredLeaseMs: 0,
    dispatches: true,
  };
}

/** One step in the making: the state, the time, what the store knows, and what leaves. */
export class Step {
  /** Writes whose order matters: of tasks that were deleted, and before. */
  readonly #settled: Write[] = [];
  readonly #deleted = new Set<string>();
  readonly #changed = new Set<TaskRecord>();
  readonly #pending = new Map<string, PendingWrite>();
  readonly #outputs: Output[] = [];
  /** Replies that tell of a task's state: made at the end, when the step has settled it. */
  readonly #deferred: (() => Output)[] = [];

  readonly now: Now;
  /** Rows of named tasks that are not in memory: they have ended. */
  readonly rows: ReadonlyMap<string, TaskRow>;
  /** What new tasks may still take in the store, in bytes. */
  storeRoomBytes: number;
  /** Some worker has become idle, or has gone. */
  someIdle = false;

  constructor(
    readonly state: SchedulerState,
    { now, rows, storeRoomBytes }: StepContext,
  ) {
    this.now = now;
    this.rows = rows;
    this.storeRoomBytes = storeRoomBytes;
  }

  /**
   * What is known of a task that is not in memory, undefined if it never was. It may have ended earlier in this step: the rows
   * were read before, when it was still in memory.
   */
  endedRow(taskId: string): TaskRow | undefined {
    return this.#pending.get(taskId)?.task ?? (this.#deleted.has(taskId) ? undefined : this.rows.get(taskId));
  }

  /** Brings a record into memory. */
  admit(row: TaskRow, body: TaskBody | null): TaskRecord {
    const task = createRecord(this.state, row);
    if (body !== null) {
      this.#pending.set(task.taskId, { task, body, result: null, wantBody: false, reopens: false });
    }
    return task;
  }

  /** Brings a task back into memory that has ended. */
  reopen(row: TaskRow): TaskRecord {
    const before = this.#pending.get(row.taskId);
    const task = createRecord(this.state, row);
    const body = before?.body ?? null;
    this.#pending.set(row.taskId, { task, body, result: null, wantBody: false, reopens: before?.reopens ?? true });
    return task;
  }

  /** Removes a task that has ended, and that {@link endedRow} knows. */
  remove(row: TaskRow): void {
    const { taskId } = row;
    const before = this.#pending.get(taskId);
    this.#pending.delete(taskId);
    const expectedRevision = before === undefined ? row.revision : this.#settle(before).revision;
    this.#settled.push({ kind: 'delete', taskId, expectedRevision });
    this.#deleted.add(taskId);
  }

  /** Holds an operator's drain, or gives it up (null). */
  writeDrain(pattern: string, createWallMs: number | null): void {
    this.#settled.push({ kind: 'drain', pattern, createWallMs });
  }

  /** Watchers of the task are told, whether or not something of it is written. */
  changed(task: TaskRecord): void {
    if (task.waiters.some(({ want }) => want === 'change')) this.#changed.add(task);
  }

  /** Marks the task for writing at the end of the step. */
  touch(task: TaskRecord): PendingWrite {
    let pending = this.#pending.get(task.taskId);
    if (pending === undefined) {
      pending = { task, body: null, result: null, wantBody: false, reopens: false };
      this.#pending.set(task.taskId, pending);
    }
    this.changed(task);
    return pending;
  }

  setState(task: TaskRecord, state: TaskState): void {
    changeState(this.state, task, state);
    this.touch(task);
  }

  reply(token: ReplyToken, reply: Reply): void {
    this.#outputs.push({ kind: 'reply', token, reply });
  }

  replyAtEnd(token: ReplyToken, reply: () => Reply): void {
    this.#deferred.push(() => ({ kind: 'reply', token, reply: reply() }));
  }

  send(sessionId: number, output: SessionOutput): void {
    this.#outputs.push({ kind: 'session', sessionId, output });
  }

  event(event: CoreEvent): void {
    this.#outputs.push({ kind: 'event', event });
  }

  /** The body, if the task was submitted in this step. */
  bodyAtHand(task: TaskRecord): TaskBody | null {
    return this.#pending.get(task.taskId)?.body ?? null;
  }

  finish(): { outputs: Output[]; writes: Write[] } {
    for (const pending of this.#pending.values()) this.#settle(pending);
    for (const { taskId, waiters } of this.#changed) {
      for (const { token, want } of waiters) if (want === 'change') this.reply(token, { kind: 'changed', taskId });
    }
    return { outputs: [...this.#outputs, ...this.#deferred.map((make) => make())], writes: this.#settled };
  }

  #settle({ task, body, result, wantBody, reopens }: PendingWrite): TaskRow {
    task.revision += 1;
    const row = toRow(task);
    this.#settled.push(
      body === null
        ? { kind: 'update', row, expectedRevision: row.revision - 1, result, wantBody, reopens }
        : { kind: 'insert', row, body },
    );
    return row;
  }
}

/** Puts a row into memory as it is: on submit, and after a restart. */
export function createRecord(state: SchedulerState, row: TaskRow): TaskRecord {
  const task: TaskRecord = Object.assign(toRow(row), {
    heapIndex: -1,
    matchClass: state.matcher.enter(row.type, row.requiredLabels),
    domain: null,
    holder: null,
    waiters: [],
    progress: null,
    reportAwaited: 0,
    due: newTimer(),
    deadline: newTimer(),
  });
  state.tasks.set(task.taskId, task);
  count(state, task, 1);
  if (task.state === 'QUEUED') state.queue.push(task);
  if (task.deadlineWallMs !== null) state.timers.atWall(task.deadline, task.deadlineWallMs, { kind: 'deadline', task });
  return task;
}

function changeState(state: SchedulerState, task: TaskRecord, next: TaskState): void {
  if (!TASK_TRANSITIONS[task.state].includes(next)) {
    throw new Error(`task ${task.taskId} cannot go from ${task.state} to ${next}`);
  }
  count(state, task, -1);
  state.queue.remove(task);
  state.timers.cancel(task.due);
  task.state = next;
  if (next !== 'SCHEDULED') task.dueWallMs = null;
  if (hasEnded(next)) {
    state.timers.cancel(task.deadline);
    state.tasks.delete(task.taskId);
    state.matcher.leave(task.matchClass);
    return;
  }
  count(state, task, 1);
  if (next === 'QUEUED') state.queue.push(task);
}

function count(state: SchedulerState, task: TaskRecord, change: 1 | -1): void {
  let ofType = state.countsByType.get(task.type);
  if (ofType === undefined) state.countsByType.set(task.type, (ofType = { scheduled: 0, queued: 0, running: 0 }));
  const key = COUNTED[task.state];
  if (key === undefined) return;
  ofType[key] += change;
  state.counts[key] += change;
  if (ofType.scheduled + ofType.queued + ofType.running === 0) state.countsByType.delete(task.type);
}

const COUNTED: Partial<Record<TaskState, keyof TaskCounts>> = {
  SCHEDULED: 'scheduled',
  QUEUED: 'queued',
  RUNNING: 'running',
};

/**
 * A copy of what the store keeps: the record changes on, the row does not. Field by field: a spread of so many makes V8 fall
 * back to a dictionary, a hundred times slower.
 */
export function toRow(task: TaskRow): Mutable<TaskRow> {
  return {
    taskId: task.taskId,
    type: task.type,
    priority: task.priority,
    requiredLabels: task.requiredLabels,
    timeoutMs: task.timeoutMs,
    deadlineWallMs: task.deadlineWallMs,
    runTimeWallMs: task.runTimeWallMs,
    retry: task.retry,
    digest: task.digest,
    createWallMs: task.createWallMs,
    payloadBytes: task.payloadBytes,
    revision: task.revision,
    state: task.state,
    tag: task.tag,
    readyWallMs: task.readyWallMs,
    dueWallMs: task.dueWallMs,
    attempt: task.attempt,
    leaseId: task.leaseId,
    workerId: task.workerId,
    incarnation: task.incarnation,
    assignWallMs: task.assignWallMs,
    attemptOpen: task.attemptOpen,
    failureCount: task.failureCount,
    crashCount: task.crashCount,
    releaseCount: task.releaseCount,
    releaseStreak: task.releaseStreak,
    silenceCount: task.silenceCount,
    cancelRequested: task.cancelRequested,
    history: task.history,
    requeuedAttempt: task.requeuedAttempt,
    endWallMs: task.endWallMs,
    failure: task.failure,
  };
}

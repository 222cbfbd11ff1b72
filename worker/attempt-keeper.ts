import { create } from '@bufbuild/protobuf';
import { FailureSchema } from '../proto/gen/remuda/v1/payload_pb.js';
import { AttemptOutcome } from '../proto/gen/remuda/v1/task_pb.js';
import {
  CancelReason,
  HeldAttemptSchema,
  ProgressSchema,
  ReportSchema,
  type Assignment,
  type AttemptRef,
  type Cancel,
  type HeldAttempt as HeldAttemptMessage,
  type Progress,
  type Report,
  type Welcome,
} from '../proto/gen/remuda/v1/worker_service_pb.js';
import { type PayloadContent } from '../proto/payload-content.js';
import { dataPayload } from '../proto/payload.js';
import { AttemptBook, attemptKey, type HeldAttempt } from './attempt-book.js';
import { ReportOutbox } from './report-outbox.js';
import type { SessionEffect } from './session-effects.js';
import { isRepeat } from './session-messages.js';
import type { SessionOptions } from './session-options.js';
import type { AbortCause } from './task-handler.js';
import type { AttemptKey, Settlement } from './session-messages.js';
import { failureInfo, type FailureInfo } from './thrown.js';

/** How long a loop may be busy with something else than handlers, in milliseconds. */
const ENTER_MS_MIN = 60_000;

/** Ended attempts remembered, so that a late copy of an assignment does not run twice. */
const RECENT_MAX = 1_024;

/**
 * What becomes of new attempts. `open`: taken and started. `held`: taken and not started, because the worker wants to leave.
 * `closed`: given back.
 */
export type Intake = 'open' | 'held' | 'closed';

/** Where an attempt's report, start or return goes: the stream that is open now. Each says false when it has no room. */
export interface AttemptSink {
  started(ref: AttemptRef): boolean;
  report(report: Report): boolean;
  progress(progress: Progress): boolean;
  notStarted(ref: AttemptRef): boolean;
}

/**
 * The rules for the attempts that a worker holds: who starts, when a signal aborts, what is reported. It knows no stream and
 * no clock; the session machine tells it the time and offers it a stream's room.
 */
export class AttemptKeeper {
  readonly book: AttemptBook;
  readonly outbox = new ReportOutbox();
  intake: Intake = 'open';
  private maxResultBytes = 1_048_576;
  private stuckGraceMs = 10_000;
  private givenBack: AttemptRef[] = [];
  private readonly progressByKey = new Map<AttemptKey, Progress>();
  private readonly recent = new Set<AttemptKey>();

  constructor(
    options: SessionOptions,
    private readonly emit: (effect: SessionEffect) => void,
  ) {
    this.book = new AttemptBook({ slots: options.slots, prefetch: options.prefetch, types: options.taskTypes });
  }

  /** What hello says: attempts held, and fences of reports that are owed. A new stream has been told nothing else. */
  snapshot(): { running: HeldAttemptMessage[]; unsentReports: AttemptRef[] } {
    const running: HeldAttemptMessage[] = [];
    this.givenBack = [];
    this.outbox.markAllUnsent();
    for (const attempt of this.book.all()) {
      if (attempt.discarded) continue;
      const started = mayHaveStarted(attempt);
      attempt.startTold = started;
      running.push(create(HeldAttemptSchema, { attempt: attempt.ref, started }));
    }
    return { running, unsentReports: this.outbox.refs() };
  }

  /** The coordinator's answer to the snapshot. `listed` are the fences that hello named as unsent reports. */
  reconcile(nowMs: number, welcome: Welcome, listed: readonly AttemptRef[]): void {
    this.maxResultBytes = welcome.maxPayloadBytes > 0 ? welcome.maxPayloadBytes : this.maxResultBytes;
    this.stuckGraceMs = welcome.stuckGraceMs > 0 ? welcome.stuckGraceMs : this.stuckGraceMs;
    const wanted = new Set(welcome.wantedReports.map(attemptKey));
    for (const ref of listed) if (!wanted.has(attemptKey(ref))) this.outbox.forget(attemptKey(ref));
    for (const ref of welcome.cancel) {
      const key = attemptKey(ref);
      // It may have settled between hello and now.
      this.outbox.forget(key);
      const attempt = this.book.get(key);
      if (attempt === undefined) continue;
      this.abort(nowMs, attempt, 'FENCED', 'the coordinator has given this attempt up');
      this.book.discard(attempt);
      this.progressByKey.delete(key);
    }
    this.handOut();
  }

  /** New attempts. What cannot be taken is given back. */
  assign(nowMs: number, assignments: readonly Assignment[]): void {
    for (const assignment of assignments) {
      const ref = assignment.attempt;
      if (ref === undefined) continue;
      const key = attemptKey(ref);
      if (this.book.get(key) !== undefined || this.outbox.has(key) || this.recent.has(key)) continue;
      const why = this.refuse(assignment);
      if (why === undefined) {
        this.book.add(assignment, ref, nowMs);
        continue;
      }
      this.givenBack.push(ref);
      if (why === '') continue;
      const { taskId, attempt } = ref;
      this.emit({ kind: 'event', event: { name: 'refused-assignment', taskId, attempt, message: why } });
    }
  }

  /** Why an assignment is given back; empty if that is no surprise. */
  private refuse(assignment: Assignment): string | undefined {
    if (this.intake === 'closed') return '';
    if (!this.outbox.hasRoomFor(this.book.heldCount)) {
      return `${this.outbox.size} reports wait for the coordinator's acknowledgement, the bound; it takes nothing new before`;
    }
    return this.book.refuse(assignment);
  }

  /** Starts what has a slot. */
  private handOut(): void {
    if (this.intake !== 'open') return;
    const runnable = this.book.takeRunnable();
    if (runnable.length === 0) return;
    const tasks = runnable.flatMap((attempt) => {
      const { key, assignment } = attempt;
      attempt.assignment = undefined;
      return assignment === undefined ? [] : [{ key, assignment }];
    });
    this.emit({ kind: 'run', tasks, maxResultBytes: this.maxResultBytes });
  }

  /** The handler is about to be entered: its time-out counts from here. */
  started(nowMs: number, key: AttemptKey): void {
    const attempt = this.book.get(key);
    if (attempt?.stage !== 'handed') return;
    attempt.stage = 'started';
    attempt.startedMs = nowMs;
  }

  /** The handler has settled; its slot is free. */
  settled(nowMs: number, key: AttemptKey, settlement: Settlement, runMs: number): void {
    const attempt = this.book.get(key);
    if (attempt === undefined) return;
    this.progressByKey.delete(key);
    this.book.remove(attempt);
    if (!attempt.discarded) this.owe(reportOf(attempt, settlement, runMs, nowMs));
    this.handOut();
  }

  /** Newest word of a running attempt; older ones that have not left are replaced. */
  progress(key: AttemptKey, number: number, content: PayloadContent): void {
    const attempt = this.book.get(key);
    if (attempt === undefined || attempt.discarded) return;
    this.progressByKey.set(key, create(ProgressSchema, { attempt: attempt.ref, number, data: dataPayload(content) }));
  }

  /** The coordinator wants an attempt stopped. */
  cancel(nowMs: number, { attempt: ref, reason }: Cancel): void {
    const attempt = ref === undefined ? undefined : this.book.get(attemptKey(ref));
    // Unknown: its report is on its way.
    if (attempt === undefined) return;
    if (attempt.stage === 'waiting') {
      this.giveBack(attempt);
      return;
    }
    const { cause, message } = CANCELS[reason] ?? CANCELS[CancelReason.REQUESTED];
    this.abort(nowMs, attempt, cause, message);
  }

  /** The coordinator, which was not acknowledged for a while, wants back what has not been handed to a handler. */
  revoke(ref: AttemptRef): void {
    const attempt = this.book.get(attemptKey(ref));
    if (attempt?.stage === 'waiting') this.giveBack(attempt);
  }

  /** Aborts a signal once; the first cause is the one that counts. */
  abort(nowMs: number, attempt: HeldAttempt, cause: AbortCause, message: string): void {
    if (attempt.stage === 'waiting') return;
    // A lost lease alone does not make a handler stuck: while the coordinator is away nobody waits for the slot.
    if (cause !== 'LEASE_LOST' && attempt.stuckAtMs === undefined) {
      attempt.stuckFromMs = nowMs;
      attempt.stuckAtMs = nowMs + this.stuckGraceMs;
    }
    if (attempt.abort !== undefined) return;
    attempt.abort = { cause, message };
    this.emit({ kind: 'abort', key: attempt.key, cause, message });
  }

  /** Aborts every handler. */
  abortAll(nowMs: number, cause: AbortCause, message: string): void {
    for (const attempt of [...this.book.all()]) this.abort(nowMs, attempt, cause, message);
  }

  /** Nothing will be reported for anything that is held now. */
  discardAll(): void {
    for (const attempt of [...this.book.all()]) this.book.discard(attempt);
    this.progressByKey.clear();
  }

  /** Gives back what has not started. */
  giveBackWaiting(): void {
    for (const attempt of [...this.book.all()]) if (attempt.stage === 'waiting') this.giveBack(attempt);
  }

  /** Forgets what has not started: the next hello does not name it, which gives it back. True if there was any. */
  dropWaiting(): boolean {
    const waiting = [...this.book.all()].filter(({ stage }) => stage === 'waiting');
    for (const attempt of waiting) this.book.remove(attempt);
    return waiting.length > 0;
  }

  /** A report is durable, or refused: either way it is done with. */
  acknowledge(ref: AttemptRef): void {
    this.outbox.forget(attemptKey(ref));
  }

  private giveBack(attempt: HeldAttempt): void {
    this.book.remove(attempt);
    this.remember(attempt.key);
    this.givenBack.push(attempt.ref);
  }

  /** Reports an attempt whose handler has not settled, by its abort's outcome (RELEASED without one), and forgets it. */
  giveUp(nowMs: number, attempt: HeldAttempt, message: string): void {
    this.book.remove(attempt);
    this.progressByKey.delete(attempt.key);
    if (attempt.discarded) return;
    const { outcome, reason } = OUTCOMES[attempt.abort?.cause ?? 'RECYCLED'];
    const text = attempt.abort === undefined ? message : `${attempt.abort.message}; ${message}`;
    const runMs = attempt.startedMs === undefined ? 0 : Math.round(nowMs - attempt.startedMs);
    this.owe(newReport(attempt, outcome, failureInfo(reason, text, false), runMs));
  }

  /** Starts what may start, and applies what the time has brought: time-outs. Returns attempts that count as stuck from now on. */
  tick(nowMs: number): HeldAttempt[] {
    // Not on arrival: what came in the same turn may take it back.
    this.handOut();
    const stuck: HeldAttempt[] = [];
    for (const attempt of this.book.all()) {
      if (attempt.stage === 'handed') {
        attempt.handedMs ??= nowMs;
        if (nowMs >= enterByMs(attempt.handedMs, attempt) && this.entersNone()) {
          const message = `the process has not entered its handler for ${nowMs - attempt.handedMs} ms, and no other`;
          this.abort(nowMs, attempt, 'RECYCLED', message);
        }
      }
      if (attempt.startedMs !== undefined && attempt.stuckAtMs === undefined) {
        if (nowMs >= attempt.startedMs + attempt.timeoutMs) {
          this.abort(nowMs, attempt, 'TIMED_OUT', `it ran longer than its time-out of ${attempt.timeoutMs} ms`);
        }
      }
      if (attempt.stuck || attempt.stuckAtMs === undefined || nowMs < attempt.stuckAtMs) continue;
      attempt.stuck = true;
      stuck.push(attempt);
    }
    return stuck;
  }

  /**
   * No handler runs: what is handed over and not entered waits for something that no time-out ends, such as a loop that a timer of
   * user code blocks. A handler that blocks the loop has a time-out of its own.
   */
  private entersNone(): boolean {
    for (const { stage } of this.book.all()) if (stage === 'started') return false;
    return true;
  }

  /** When {@link tick} has something to do next; Infinity: never. */
  deadlineMs(): number {
    let deadlineMs = Infinity;
    let enterMs = Infinity;
    let entersNone = true;
    for (const { stuck, stuckAtMs, stage, handedMs, startedMs, timeoutMs } of this.book.all()) {
      if (stage === 'started') entersNone = false;
      if (stuckAtMs === undefined) {
        if (handedMs !== undefined && stage === 'handed') {
          enterMs = Math.min(enterMs, enterByMs(handedMs, { timeoutMs }));
        }
        if (startedMs !== undefined) deadlineMs = Math.min(deadlineMs, startedMs + timeoutMs);
      } else if (!stuck) {
        deadlineMs = Math.min(deadlineMs, stuckAtMs);
      }
    }
    return entersNone ? Math.min(deadlineMs, enterMs) : deadlineMs;
  }

  /** Hands to the stream what it has not been told, as far as it has room. */
  offerTo(sink: AttemptSink): void {
    this.givenBack = this.givenBack.filter((ref) => !sink.notStarted(ref));
    for (const attempt of this.book.all()) {
      if (!mayHaveStarted(attempt) || attempt.startTold || attempt.discarded) continue;
      if (!sink.started(attempt.ref)) break;
      attempt.startTold = true;
    }
    this.outbox.offer((report) => sink.report(report));
    for (const [key, progress] of this.progressByKey) {
      if (!sink.progress(progress)) break;
      this.progressByKey.delete(key);
    }
  }

  /** True if nothing is owed to the coordinator. */
  get settledUp(): boolean {
    return this.outbox.size === 0 && this.givenBack.length === 0;
  }

  private owe(report: Report): void {
    this.outbox.add(report);
    if (report.attempt !== undefined) this.remember(attemptKey(report.attempt));
  }

  private remember(key: AttemptKey): void {
    this.recent.add(key);
    if (this.recent.size <= RECENT_MAX) return;
    for (const oldest of this.recent) {
      this.recent.delete(oldest);
      break;
    }
  }
}

/**
 * What the coordinator is to be told as started. A task that ends its process as soon as it is entered leaves no time to tell: its
 * crashes would be free, and one such task could end every worker. So from its second attempt on it counts as started when it is
 * handed over. The first attempt does not, because that costs a frame more a task.
 */
function mayHaveStarted({ stage, ref }: HeldAttempt): boolean {
  return stage === 'started' || (stage === 'handed' && isRepeat(ref.attempt));
}

/** Until when an attempt that was handed over must have been entered, or another one. */
function enterByMs(handedMs: number, { timeoutMs }: Pick<HeldAttempt, 'timeoutMs'>): number {
  return handedMs + Math.max(ENTER_MS_MIN, timeoutMs);
}

const CANCELS: Readonly<Record<CancelReason, { readonly cause: AbortCause; readonly message: string }>> = {
  [CancelReason.UNSPECIFIED]: { cause: 'CANCELLED', message: 'the task was cancelled' },
  [CancelReason.REQUESTED]: { cause: 'CANCELLED', message: 'the task was cancelled' },
  [CancelReason.DEADLINE]: { cause: 'DEADLINE_PASSED', message: "the task's deadline has passed" },
  [CancelReason.TIMED_OUT]: {
    cause: 'TIMED_OUT',
    message: 'the coordinator ended the attempt, long after its time-out',
  },
  [CancelReason.FENCED]: { cause: 'FENCED', message: "the attempt is not this worker's any more" },
};

const RELEASED = { outcome: AttemptOutcome.RELEASED, reason: 'RELEASED' } as const;

/** What a handler that ended because of an abort is reported as. */
const OUTCOMES: Readonly<Record<AbortCause, { readonly outcome: AttemptOutcome; readonly reason: string }>> = {
  CANCELLED: { outcome: AttemptOutcome.CANCELLED, reason: 'CANCELLED' },
  DEADLINE_PASSED: { outcome: AttemptOutcome.CANCELLED, reason: 'DEADLINE_PASSED' },
  TIMED_OUT: { outcome: AttemptOutcome.TIMED_OUT, reason: 'TIMED_OUT' },
  LEASE_LOST: RELEASED,
  FENCED: RELEASED,
  DRAINED: RELEASED,
  RECYCLED: RELEASED,
  SUPERSEDED: RELEASED,
  WORKER_FAILED: RELEASED,
};

function reportOf(attempt: HeldAttempt, settlement: Settlement, runMs: number, nowMs: number): Report {
  attempt.startedMs ??= nowMs;
  switch (settlement.kind) {
    case 'returned': {
      const report = newReport(attempt, AttemptOutcome.SUCCEEDED, undefined, runMs);
      report.result = dataPayload(settlement);
      return report;
    }
    case 'refused':
      return newReport(attempt, AttemptOutcome.FAILED, settlement.failure, runMs);
    case 'threw': {
      const { abort } = attempt;
      if (abort === undefined) return newReport(attempt, AttemptOutcome.FAILED, settlement.failure, runMs);
      const { outcome, reason } = OUTCOMES[abort.cause];
      // The handler's own stack says where it was when the abort reached it.
      const failure = failureInfo(reason, abort.message, false, settlement.failure.stack);
      return newReport(attempt, outcome, failure, runMs);
    }
  }
}

function newReport(
  { ref, arrivedMs, startedMs }: HeldAttempt,
  outcome: AttemptOutcome,
  failure: FailureInfo | undefined,
  runMs: number,
): Report {
  const startDelayMs = startedMs === undefined ? 0 : Math.round(startedMs - arrivedMs);
  const report = create(ReportSchema, { attempt: ref, outcome, startDelayMs, runMs });
  if (failure !== undefined) report.failure = create(FailureSchema, failure);
  return report;
}

/**
 * The attempts that this worker holds.
 *
 * ```
 *                 slot free            handler entered            abort
 *   (arrived) WAITING ----> HANDED --------------------> STARTED ----------> (aborting)
 *                |             '------------ settled: leaves the book, a report goes to the outbox ----'
 *                '--> given back, or dropped: it surely never started
 * ```
 *
 * WAITING attempts stay on this side of the port, so that giving one back needs nobody's consent: what was never handed to
 * the main thread cannot have been started there.
 */
import type { Assignment, AttemptRef } from '../proto/gen/remuda/v1/worker_service_pb.js';
import type { OfferedType } from './session-options.js';
import type { AbortCause } from './task-handler.js';
import type { AttemptKey } from './session-messages.js';

/** An attempt from its arrival until its handler has settled. */
export interface HeldAttempt {
  readonly key: AttemptKey;
  readonly ref: AttemptRef;
  /** Until it is handed over: the payload is not kept twice. */
  assignment: Assignment | undefined;
  readonly type: string;
  readonly arrivedMs: number;
  /** Shorter of the task's and the handler's. */
  readonly timeoutMs: number;
  stage: 'waiting' | 'handed' | 'started';
  /** When it was handed to the handlers' side, by the first tick after that. */
  handedMs: number | undefined;
  startedMs: number | undefined;
  /** The coordinator has been told on this stream that it started. */
  startTold: boolean;
  /** Why its signal was aborted, first cause. */
  abort: { readonly cause: AbortCause; readonly message: string } | undefined;
  /** When its worker counts as stuck, unless it settles; undefined while nobody waits for it. */
  stuckAtMs: number | undefined;
  /** When the abort that set `stuckAtMs` came. */
  stuckFromMs: number | undefined;
  /** It has been told as stuck. */
  stuck: boolean;
  /** Not this worker's any more: nothing is to be reported. Its handler takes a slot of this process until it settles. */
  discarded: boolean;
}

/** The fence as one string. */
export function attemptKey({
  taskId,
  attempt,
  leaseId,
}: Pick<AttemptRef, 'taskId' | 'attempt' | 'leaseId'>): AttemptKey {
  return `${taskId}/${attempt}/${leaseId}`;
}

/** Slots and prefetch of a worker. */
export interface BookLimits {
  readonly slots: number;
  readonly prefetch: number;
  readonly types: readonly OfferedType[];
}

/** Attempts by key, in order of arrival, and who may start next. */
export class AttemptBook {
  private readonly attempts = new Map<AttemptKey, HeldAttempt>();
  private readonly types = new Map<string, OfferedType>();
  /** Handed or started, discarded ones included: each has a handler of this process. */
  private runningCount = 0;
  private readonly runningByType = new Map<string, number>();
  private readonly runningTasks = new Set<string>();
  private waitingCount = 0;
  private discardedCount = 0;

  constructor(private readonly limits: BookLimits) {
    for (const offered of limits.types) this.types.set(offered.type, offered);
  }

  /** All attempts, also discarded ones, in order of arrival. */
  all(): IterableIterator<HeldAttempt> {
    return this.attempts.values();
  }

  get(key: AttemptKey): HeldAttempt | undefined {
    return this.attempts.get(key);
  }

  /** Attempts that the coordinator counts as this worker's. */
  get heldCount(): number {
    return this.attempts.size - this.discardedCount;
  }

  /** Handlers that have not settled, discarded ones included. */
  get unsettledCount(): number {
    return this.runningCount;
  }

  /** Why an assignment cannot be taken; undefined if it can. */
  refuse(assignment: Assignment): string | undefined {
    const { type } = assignment;
    if (!this.types.has(type)) return `this worker does not handle type "${type}"`;
    const room = this.limits.slots + this.limits.prefetch;
    if (this.heldCount >= room) return `this worker already holds ${this.heldCount} attempts, all it has room for`;
    if (this.attempts.size < room && !this.isBlocked(type)) return undefined;
    return (
      `${this.discardedCount} handlers of attempts that are not this worker's any more have not settled, and leave no place ` +
      'for it; a handler must end soon after its signal is aborted'
    );
  }

  /**
   * True if handlers of discarded attempts have all slots, or all that a type may have. What waited behind them would wait
   * without an end: no time-out runs for it, and none ends them.
   */
  private isBlocked(type: string): boolean {
    if (this.discardedCount === 0) return false;
    if (this.discardedCount >= this.limits.slots) return true;
    const cap = this.types.get(type)?.slots ?? 0;
    if (cap === 0) return false;
    let ofType = 0;
    for (const attempt of this.attempts.values()) if (attempt.discarded && attempt.type === type) ofType += 1;
    return ofType >= cap;
  }

  add(assignment: Assignment, ref: AttemptRef, nowMs: number): HeldAttempt {
    const ownMs = this.types.get(assignment.type)?.timeoutMs ?? Infinity;
    const attempt: HeldAttempt = {
      key: attemptKey(ref),
      ref,
      assignment,
      type: assignment.type,
      arrivedMs: nowMs,
      timeoutMs: Math.min(assignment.timeoutMs > 0 ? assignment.timeoutMs : Infinity, ownMs),
      stage: 'waiting',
      handedMs: undefined,
      startedMs: undefined,
      startTold: false,
      abort: undefined,
      stuckAtMs: undefined,
      stuckFromMs: undefined,
      stuck: false,
      discarded: false,
    };
    this.attempts.set(attempt.key, attempt);
    this.waitingCount += 1;
    return attempt;
  }

  /** Takes the waiting attempts that have a slot now, oldest first; they count as handed from here on. */
  takeRunnable(): HeldAttempt[] {
    if (this.waitingCount === 0 || this.runningCount >= this.limits.slots) return [];
    const runnable: HeldAttempt[] = [];
    for (const attempt of this.attempts.values()) {
      if (this.runningCount >= this.limits.slots) break;
      if (attempt.stage !== 'waiting' || !this.hasSlot(attempt)) continue;
      attempt.stage = 'handed';
      this.waitingCount -= 1;
      this.count(attempt, 1);
      runnable.push(attempt);
    }
    return runnable;
  }

  private hasSlot({ type, ref }: HeldAttempt): boolean {
    const cap = this.types.get(type)?.slots ?? 0;
    if (cap > 0 && (this.runningByType.get(type) ?? 0) >= cap) return false;
    // An older attempt of the same task that does not end: two at once would be for the handler to sort out.
    return !this.runningTasks.has(ref.taskId);
  }

  /** Nothing will be reported for it. Its place and its slot are free when its handler settles; at once if it has none. */
  discard(attempt: HeldAttempt): void {
    if (attempt.stage === 'waiting') {
      this.remove(attempt);
    } else if (!attempt.discarded) {
      attempt.discarded = true;
      this.discardedCount += 1;
    }
  }

  /** It has settled, was given back, or is given up. */
  remove(attempt: HeldAttempt): void {
    if (!this.attempts.delete(attempt.key)) return;
    if (attempt.discarded) this.discardedCount -= 1;
    if (attempt.stage === 'waiting') this.waitingCount -= 1;
    else this.count(attempt, -1);
  }

  private count({ type, ref }: HeldAttempt, by: 1 | -1): void {
    this.runningCount += by;
    this.runningByType.set(type, (this.runningByType.get(type) ?? 0) + by);
    if (by === 1) this.runningTasks.add(ref.taskId);
    else this.runningTasks.delete(ref.taskId);
  }
}

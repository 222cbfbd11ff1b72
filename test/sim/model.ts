import type { AttemptRef, TaskRow } from '../../coordinator/core/task.js';
import type { StoredTask } from '../../coordinator/store/store.js';
import { AttemptOutcome } from '../../proto/gen/remuda/v1/task_pb.js';
import type { Assignment, ConnectRequest, ConnectResponse } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import { attemptKey } from '../../worker/attempt-book.js';
import type { AbortCause } from '../../worker/task-handler.js';
import type { Settlement } from '../../worker/session-messages.js';
import { MAX_DRIFT, type SimClock, type WallClock } from './clock.js';
import { Order } from './order.js';
import type { SeatPlan, TaskPlan } from './plan.js';
import type { Trace } from './trace.js';
import { Standstills } from './standstills.js';
import { checkEnded } from './verdict.js';

/** An attempt whose handler was entered. */
export interface SeenAttempt {
  readonly ref: AttemptRef;
  /** The process it ran in. */
  readonly process: string;
  readonly type: string;
  readonly timeoutMs: number;
  readonly enteredMs: number;
  /** From here on its worker knows that the attempt is over, though its handler may not have heard yet. */
  toldMs: number | null;
  toldCause: AbortCause | null;
  /** How long its process had stood still when it was entered. */
  readonly stalledBeforeMs: number;
  /** From here on its handler knows that its lease, or its time, is over. */
  abortedMs: number | null;
  /** When it settled, or vanished with its process. */
  endedMs: number | null;
  vanished: boolean;
  /** What it returned, as text; null: it did not. */
  returned: string | null;
  threw: boolean;
  /** The coordinator has said that its report counts. */
  accepted: boolean;
}

/** What is known of a task from outside. */
export interface SeenTask {
  readonly plan: TaskPlan;
  readonly attempts: SeenAttempt[];
  /** A submit was answered. */
  acknowledged: boolean;
  cancelAsked: boolean;
  /** The cancel was answered while the task had not ended. */
  cancelAcknowledged: boolean;
  /** How often somebody has asked to put it back in the queue, and the newest attempt before that. */
  requeuesAsked: number;
  requeuedAttempt: number;
  /** Somebody has asked to delete it, and knows that it is. */
  deleteAsked: boolean;
  deleted: boolean;
  /** When a stream told its end, which acknowledges it. */
  toldMs: number | null;
  /** Number of the newest attempt that left for a worker. */
  newestAttempt: number;
  /** Where attempts were sent, by number, until their handlers are entered. */
  readonly sent: Map<number, { readonly process: string; readonly stalledBeforeMs: number }>;
  /** Attempts entered late, because their process stood still when they came. */
  enteredLate: number;
  /** Attempts whose SUCCEEDED the coordinator has accepted. */
  readonly acceptedSuccess: Set<number>;
  /** Failures and time-outs that the coordinator has accepted. */
  readonly acceptedFailures: Set<number>;
  /** The first end that a client has seen. */
  end: { readonly state: string; readonly result: string | null } | null;
}

/** A rule that does not hold. */
export interface Violation {
  readonly rule: string;
  readonly details: string;
}

/**
 * Judges a run by what clients, handlers and the wire see; it never looks into the core. It keeps the first violation and
 * throws nothing: it is called from within what it judges.
 */
export class Model {
  readonly tasks = new Map<string, SeenTask>();
  #violation: Violation | null = null;
  /** Attempts whose handlers were entered late, because those of their process were blocked. */
  readonly #enteredLate = new Set<string>();
  readonly #attempts = new Map<string, SeenAttempt>();
  readonly #outcomes = new Map<string, AttemptOutcome>();
  /** Handlers that have not settled, by process. */
  readonly #running = new Map<string, Set<SeenAttempt>>();
  /** Attempts whose worker has ended them, whether their handlers were entered or not. */
  readonly #told = new Map<string, AbortCause>();
  readonly #standstills: Standstills;
  /** The newest attempts that left for workers. */
  readonly #overheard: AttemptRef[] = [];
  /** Workers that fit are drained, as a pattern; null: none are. */
  #drained: string | null = null;
  readonly #order = new Order();
  readonly #cloned = new Set<string>();
  /** Processes that have ended. */
  readonly #gone = new Set<string>();
  readonly #repeated = new Set<string>();

  constructor(
    private readonly clock: SimClock,
    /** The coordinator's. */
    private readonly wall: WallClock,
    private readonly trace: Trace,
  ) {
    this.#standstills = new Standstills(clock);
  }

  get violation(): Violation | null {
    return this.#violation;
  }

  /** A client submits, maybe not for the first time. */
  submits(plan: TaskPlan): void {
    this.#order.submits(plan, this.clock.nowMs);
  }

  /** A client has been told that its submit is durable. */
  acknowledged(taskId: string): void {
    const task = this.tasks.get(taskId);
    if (task !== undefined) task.acknowledged = true;
    this.#order.acknowledged(taskId, this.clock.nowMs);
  }

  /** Attempts that whoever listens on the wire knows of. */
  get overheard(): readonly AttemptRef[] {
    return [...this.#overheard];
  }

  /** A rule is broken. */
  fail(rule: string, details: string): void {
    this.trace.add('MODEL', `broken: ${rule} (${details})`);
    this.#violation ??= { rule, details };
  }

  /** Clients may submit it from now on. */
  plan(plan: TaskPlan): void {
    this.tasks.set(plan.taskId, {
      plan,
      attempts: [],
      acknowledged: false,
      cancelAsked: false,
      cancelAcknowledged: false,
      ...{ requeuesAsked: 0, requeuedAttempt: 0, deleteAsked: false, deleted: false, toldMs: null },
      newestAttempt: 0,
      sent: new Map(),
      enteredLate: 0,
      acceptedSuccess: new Set(),
      acceptedFailures: new Set(),
      end: null,
    });
  }

  /** Invariant 1: a submit is answered. `row` is what the disk has of its task. */
  submitIsDurable(taskId: string, row: TaskRow | undefined): void {
    const mayBeDeleted = this.tasks.get(taskId)?.deleteAsked === true;
    if (row === undefined && !mayBeDeleted) this.fail('an acknowledged submit is on disk', taskId);
  }

  /** Invariant 3: the engine lets an assignment out. `rowOf` is what the disk has of a task. */
  assignmentIsDurable(ref: AttemptRef, rowOf: (taskId: string) => TaskRow | undefined): void {
    const row = rowOf(ref.taskId);
    this.trace.add('coordinator', `lets ${nameOf(ref)} out for ${row?.workerId}`);
    const task = this.tasks.get(ref.taskId);
    // Deleted, it may be submitted anew.
    if (task?.cancelAcknowledged === true && !task.deleteAsked)
      this.fail('what was cancelled is not handed out again', attemptKey(ref));
    const overtaken = ref.attempt === 1 ? this.#order.overtaken(ref.taskId, rowOf) : undefined;
    if (overtaken !== undefined) this.fail('tasks of one kind go in their order', `${ref.taskId} before ${overtaken}`);
    const drained = this.#drained;
    if (drained !== null && row !== undefined && fitsStar(drained, row.workerId))
      this.fail('a drained worker gets nothing new', `${attemptKey(ref)} to ${row.workerId}, drained ${drained}`);
    if (row?.state === 'RUNNING' && attemptKey(row) === attemptKey(ref)) return;
    const onDisk = row === undefined ? 'nothing' : `${row.state} ${attemptKey(row)}`;
    this.fail('an assignment is on disk before it leaves', `${attemptKey(ref)}, on disk: ${onDisk}`);
  }

  /** A frame leaves for a worker. */
  frameToWorker(process: string, { assignments, reportAcks }: ConnectResponse): void {
    // What is answered to a hostile one says nothing of what others have reported.
    if (isHostile(process)) return;
    for (const { attempt: ref } of assignments) if (ref !== undefined) this.#assigned(process, ref);
    for (const { attempt: ref, accepted } of reportAcks) if (ref !== undefined && accepted) this.#accepted(ref);
  }

  /** A frame leaves for the coordinator. */
  frameToCoordinator(frame: ConnectRequest): void {
    for (const { attempt: ref, outcome } of frame.reports) {
      if (ref === undefined) continue;
      const key = attemptKey(ref);
      const before = this.#outcomes.get(key) ?? outcome;
      if (before !== outcome) this.fail('a report never changes', `${key} ${before} then ${outcome}`);
      this.#outcomes.set(key, outcome);
    }
  }

  #assigned(process: string, ref: AttemptRef): void {
    this.trace.add(process, `is sent ${nameOf(ref)}`);
    this.#overheard.push(ref);
    if (this.#overheard.length > MAX_OVERHEARD) this.#overheard.shift();
    const task = this.tasks.get(ref.taskId);
    if (task === undefined) {
      this.fail('only what was submitted is handed out', attemptKey(ref));
    } else if (ref.attempt <= task.newestAttempt && !task.deleteAsked) {
      this.fail("attempts' numbers rise", `${attemptKey(ref)} to ${process} after ${task.newestAttempt}`);
    } else {
      task.newestAttempt = ref.attempt;
      task.sent.set(ref.attempt, { process, stalledBeforeMs: this.#standstills.totalMs(process) });
    }
  }

  #accepted(ref: AttemptRef): void {
    const seen = this.#attempts.get(attemptKey(ref));
    if (seen !== undefined) seen.accepted = true;
    const task = this.tasks.get(ref.taskId);
    if (task === undefined) return;
    const outcome = this.#outcomes.get(attemptKey(ref));
    if (outcome === AttemptOutcome.SUCCEEDED) task.acceptedSuccess.add(ref.attempt);
    if (outcome === AttemptOutcome.FAILED || outcome === AttemptOutcome.TIMED_OUT)
      task.acceptedFailures.add(ref.attempt);
    if (task.deleteAsked) return;
    if (task.acceptedSuccess.size > 1) {
      this.fail('exactly one attempt ends a task', `${ref.taskId}: ${[...task.acceptedSuccess].join(', ')}`);
    }
    const { maxAttempts } = task.plan.spec.retry;
    if (task.acceptedFailures.size > maxAttempts * (1 + task.requeuesAsked)) {
      this.fail('failures respect max_attempts', `${ref.taskId}: ${task.acceptedFailures.size} of ${maxAttempts}`);
    }
  }

  /** A handler is entered: invariants 4 and 5, and what the submitter asked for. */
  entered(process: string, seat: SeatPlan, assignment: Assignment): void {
    const { attempt: ref, type, timeoutMs } = assignment;
    const task = this.tasks.get(ref?.taskId ?? '');
    if (ref === undefined || task === undefined) {
      this.fail('only what was submitted is run', `${ref?.taskId} in ${process}`);
      return;
    }
    const key = attemptKey(ref);
    const seen: SeenAttempt = {
      ...{ ref, process, type, timeoutMs, enteredMs: this.clock.nowMs },
      toldCause: this.#told.get(key) ?? null,
      ...{ toldMs: this.#told.has(key) ? this.clock.nowMs : null, stalledBeforeMs: this.#standstills.totalMs(process) },
      ...{ abortedMs: null, endedMs: null, vanished: false },
      ...{ returned: null, threw: false, accepted: false },
    };
    if (isRunning(seen)) for (const rival of task.attempts.filter(isRunning)) this.#checkRivals(rival, seen);
    if (this.#attempts.has(key)) this.fail('an attempt is entered once', `${key} in ${process}`);
    this.#attempts.set(key, seen);
    task.attempts.push(seen);
    if (this.#wasBlocked(task.sent.get(ref.attempt))) {
      task.enteredLate += 1;
      this.#enteredLate.add(attemptKey(ref));
    }
    task.sent.delete(ref.attempt);
    this.trace.add(process, `enters ${nameOf(ref)}`);
    this.#checkWish(task, seen, seat);
    this.#checkRoom(seen, seat);
  }

  /** Two handlers of one task. A process that stands still runs none, and must end them as soon as it goes on. */
  #checkRivals(rival: SeenAttempt, seen: SeenAttempt): void {
    if (this.#cloned.has(rival.process) || this.#cloned.has(seen.process)) return;
    const details = `${attemptKey(rival.ref)} in ${rival.process} since ${rival.enteredMs}, ${attemptKey(seen.ref)} in ${seen.process}`;
    const excused = [rival, seen].find(({ process }) => this.#standstills.isRecent(process));
    if (excused === undefined) {
      this.fail(NO_RIVALS, details);
      return;
    }
    this.#standstills.onAwake(excused.process, () => {
      if (isRunning(rival) && isRunning(seen)) this.fail(NO_RIVALS, details);
    });
  }

  /** Another living process has its incarnation: the two undo each other's snapshots, so both may run a task. */
  isCloned(process: string): void {
    this.#cloned.add(process);
    this.repeatsIncarnation(process);
  }

  /** Another process had its incarnation before it, or has it after: what one had started, the other says it has not. */
  repeatsIncarnation(process: string): void {
    this.#repeated.add(process);
  }

  /** True if processes of this worker_id have had one incarnation, or have it. */
  hasRepeats(workerId: string): boolean {
    return [...this.#repeated].some((process) => process.startsWith(`${workerId}~`));
  }

  /** An operator has been told that workers which fit the pattern are drained. */
  drains(pattern: string): void {
    this.#drained = pattern;
  }

  /** An operator asks to give the drain up. */
  resumes(): void {
    this.#drained = null;
  }

  /** Nothing of a process runs, or nothing of its handlers. */
  stalls(process: string): void {
    this.#standstills.begin(process);
  }

  /** It goes on. */
  wakes(process: string): void {
    this.#standstills.end(process);
  }

  /** A worker tells a handler to end: what it holds of the attempt is over. */
  told(key: string, cause: AbortCause): void {
    this.#told.set(key, cause);
    const seen = this.#attempts.get(key);
    if (seen === undefined) return;
    seen.toldMs ??= this.clock.nowMs;
    seen.toldCause ??= cause;
  }

  #checkWish(
    { plan, attempts, requeuesAsked, deleteAsked }: SeenTask,
    { ref, process, type, timeoutMs }: SeenAttempt,
    { labels }: SeatPlan,
  ): void {
    const { spec } = plan;
    const key = attemptKey(ref);
    // Once it is deleted, a repeat of its submit that comes late is another task.
    const isSure = !deleteAsked && !attempts.some((attempt) => this.#repeated.has(attempt.process));
    if (spec.retry.maxAttempts === 1 && attempts.length > 1 + requeuesAsked && isSure) {
      this.fail('max_attempts 1 is started at most once', `${key} in ${process}, before: ${attempts[0]?.process}`);
    }
    if (type !== spec.type) this.fail('a task keeps its type', `${key} ${type}`);
    if (timeoutMs > spec.timeoutMs) this.fail('a time-out is never longer than asked for', `${key} ${timeoutMs}`);
    const shownMs = this.wall.latestSinceMs(plan.submitAtMs);
    if (spec.runTimeWallMs !== null && shownMs < spec.runTimeWallMs) {
      this.fail('nothing runs before its run_time', `${key}, ${spec.runTimeWallMs - shownMs} ms early`);
    }
    for (const [label, value] of Object.entries(spec.requiredLabels)) {
      if (labels[label] !== value) this.fail('a worker has the required labels', `${key} in ${process}`);
    }
  }

  #checkRoom(seen: SeenAttempt, { slots, taskTypes }: SeatPlan): void {
    const { process, type } = seen;
    const running = this.#running.get(process) ?? new Set();
    this.#running.set(process, running.add(seen));
    if (running.size > slots) this.fail('a worker runs no more than its slots', `${process}: ${running.size}`);
    const cap = taskTypes.find((offered) => offered.type === type)?.slots ?? 0;
    const ofType = [...running].filter((other) => other.type === type).length;
    if (cap > 0 && ofType > cap) this.fail('a worker runs no more than its cap of a type', `${process}: ${ofType}`);
  }

  /** True if handlers run in this process. */
  isBusy(process: string): boolean {
    return (this.#running.get(process)?.size ?? 0) > 0;
  }

  /** A handler's signal aborts. */
  aborted(key: string, cause: AbortCause): void {
    const seen = this.#attempts.get(key);
    if (seen === undefined || seen.endedMs !== null) return;
    seen.abortedMs = this.clock.nowMs;
    this.trace.add(seen.process, `aborts ${nameOf(seen.ref)}: ${cause}`);
    const ranMs = (this.clock.nowMs - seen.enteredMs) * (1 + 2 * MAX_DRIFT);
    // What waited for blocked handlers, and counts as started from its hand-over, may have run out of time before it is entered.
    const onTime = seen.toldMs !== seen.enteredMs && !this.#enteredLate.has(key);
    if (cause === 'TIMED_OUT' && onTime && ranMs < seen.timeoutMs && ranMs < OWN_TIMEOUT_MS) {
      this.fail('a time-out is never early', `${key} after ${ranMs} of ${seen.timeoutMs}`);
    }
  }

  /** A handler has settled. */
  settled(key: string, settlement: Settlement): void {
    const seen = this.#attempts.get(key);
    if (seen === undefined || seen.endedMs !== null) return;
    seen.endedMs = this.clock.nowMs;
    if (settlement.kind === 'returned') seen.returned = Buffer.from(settlement.data).toString();
    else seen.threw = true;
    this.#running.get(seen.process)?.delete(seen);
    this.trace.add(seen.process, `settles ${nameOf(seen.ref)}: ${settlement.kind}`);
    const ranMs = seen.endedMs - seen.enteredMs;
    const stoodStill = this.#standstills.totalMs(seen.process) > seen.stalledBeforeMs;
    if (seen.abortedMs === null && !stoodStill && ranMs > seen.timeoutMs * (1 + 2 * MAX_DRIFT) + SLACK_MS) {
      this.fail('a handler is aborted at its time-out', `${key} ran ${ranMs} of ${seen.timeoutMs}`);
    }
  }

  /** A process is gone, with every handler in it. */
  vanished(process: string): void {
    this.#gone.add(process);
    for (const seen of this.#running.get(process) ?? []) {
      seen.endedMs = this.clock.nowMs;
      seen.vanished = true;
    }
    this.#running.delete(process);
  }

  /** A worker gave an assignment back because it had no room: the coordinator counts by its own books (invariant 5). */
  refusedAssignment(process: string, message: string): void {
    if (message.includes('already holds') && !this.#cloned.has(process))
      this.fail('a worker never holds more than slots and prefetch', `${process}: ${message}`);
  }

  /** True if its process has stood still since. */
  #wasBlocked(sent: { readonly process: string; readonly stalledBeforeMs: number } | undefined): boolean {
    return sent !== undefined && this.#standstills.totalMs(sent.process) > sent.stalledBeforeMs;
  }

  /** A result that its submitter has acknowledged is kept for a while only, by the wall clock. */
  #mayBePurged({ toldMs }: SeenTask): boolean {
    return toldMs !== null && (this.wall.wasSet || this.clock.nowMs - toldMs >= KEPT_MS);
  }

  /** A client's stream tells how a task has ended. */
  toldEnd(taskId: string, state: string, result: string | null): void {
    const task = this.tasks.get(taskId);
    if (task === undefined) return;
    const before = task.end;
    task.toldMs ??= this.clock.nowMs;
    // A dead letter may have been requeued since, and have ended otherwise.
    if (task.requeuesAsked > 0) return;
    task.end ??= { state, result };
    if (before !== null && (before.state !== state || before.result !== result))
      this.fail('a task ends once', `${taskId}: ${before.state} ${before.result}, told ${state} ${result}`);
  }

  /** A client reads a task. */
  read(taskId: string, stored: StoredTask | null): void {
    const task = this.tasks.get(taskId);
    if (task === undefined) return;
    if (stored === null) {
      if (task.acknowledged && !task.deleteAsked && !this.#mayBePurged(task))
        this.fail('an acknowledged submit is never lost', taskId);
      return;
    }
    const shownMs = this.wall.latestSinceMs(task.plan.submitAtMs);
    // To the coordinator they ran, and maybe for too long.
    const blocked = task.enteredLate + [...task.sent.values()].filter((sent) => this.#wasBlocked(sent)).length;
    const around = {
      ...{ latestWallMs: shownMs, blocked },
      hasEnded: (process: string) => this.#gone.has(process),
      isUnclear: task.attempts.some(({ process }) => this.#repeated.has(process)),
    };
    for (const { rule, details } of checkEnded(task, stored, around)) this.fail(rule, `${taskId}: ${details}`);
  }
}

/** Of the 10 minutes that such a result is kept, what is surely over. */
const KEPT_MS = 590_000;
const MAX_OVERHEARD = 60;
const NO_RIVALS = 'two attempts of a task never run at the same time';

/** True if the text is the pattern, or begins with what stands before its one star, at its end. */
function fitsStar(pattern: string, text: string): boolean {
  return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}

/** True for processes that do not keep to the protocol. */
export function isHostile(process: string): boolean {
  return process.startsWith('hostile/');
}

/** True while its handler runs and its worker holds it. */
function isRunning({ toldMs, endedMs }: SeenAttempt): boolean {
  return toldMs === null && endedMs === null;
}

/** Short enough for a trace. */
function nameOf({ taskId, attempt }: AttemptRef): string {
  return `${taskId.slice(0, 8)}/${attempt}`;
}

/** Handlers' own time-outs are at least this long. */
const OWN_TIMEOUT_MS = 500;
/** Time-outs fire on the session's side and cross to the handlers. */
const SLACK_MS = 5;

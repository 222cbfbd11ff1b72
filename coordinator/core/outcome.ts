/** How an attempt ends, what that is charged as, and what becomes of its task. The table is in docs/ARCHITECTURE.md. */
import { CRASH_BUDGET, releaseDelayMs, retryDelayMs } from './retry.js';
import type { Reply } from './outputs.js';
import { toRow, type Step, type TaskRecord } from './state.js';
import type { Waiter } from './waiters.js';
import type { AttemptEntry, AttemptOutcome, Charge, Content, EndState, Failure, TaskState } from './task.js';
import type { Hold, WorkerRecord } from './worker.js';

export interface AttemptEnd {
  readonly outcome: AttemptOutcome;
  readonly failure: Failure | null;
  readonly result: Content | null;
  readonly runMs: number;
  readonly startDelayMs: number;
  /** The worker's own word: nothing else will come for this attempt. Otherwise a late report would still count. */
  readonly reported: boolean;
  /** False only if the handler is known never to have been entered. */
  readonly mayHaveStarted: boolean;
  /** With WORKER_LOST: the process is known to have ended while the handler ran. */
  readonly crash: boolean;
}

const QUIET = { result: null, runMs: 0, startDelayMs: 0 } as const;

/** Kept of an ended attempt's texts, so that the history of a million tasks stays small. */
const HISTORY_MESSAGE_CHARS = 1_024;

export function failureOf(reason: string, message: string, nonRetryable = false): Failure {
  return { reason, message, nonRetryable, stack: '' };
}

/**
 * Given back by something that knows whether the handler was entered. No report of it is expected; should one come all the
 * same, it counts as any late one, rather than be acknowledged and dropped.
 */
export function released(message: string, mayHaveStarted: boolean): AttemptEnd {
  return {
    ...QUIET,
    outcome: 'RELEASED',
    failure: failureOf('RELEASED', message),
    reported: false,
    mayHaveStarted,
    crash: false,
  };
}

/** The coordinator's own verdict on an attempt whose worker has said nothing: a late report would still count. */
export function judged(outcome: AttemptOutcome, reason: string, message: string, crash = false): AttemptEnd {
  return {
    ...QUIET,
    outcome,
    failure: failureOf(reason, message),
    reported: false,
    mayHaveStarted: true,
    crash,
  };
}

/**
 * Ends the newest attempt of a task that has not ended, while the attempt is open. The worker's slot is the caller's
 * business.
 */
export function endAttempt(step: Step, task: TaskRecord, end: AttemptEnd): void {
  if (!task.attemptOpen) throw new Error(`attempt ${task.attempt} of task ${task.taskId} has ended before`);
  if (task.state !== 'RUNNING') {
    refund(task);
    step.state.totals.refunds += 1;
  }
  // Its deadline has been judged once; a wall clock that was set back since does not undo that.
  const expired = task.holder?.hold.cancelReason === 'DEADLINE';
  task.holder = null;
  task.progress = null;
  task.attemptOpen = !end.reported;

  const verdict = judge(step, task, end, expired);
  charge(step, task, verdict.charge);
  // A budget is judged after its charge.
  const outcome = verdict.ends ?? exhausted(task, end, verdict.charge);
  const failure = outcome?.failure ?? end.failure;
  task.history = [...task.history, entryOf(step, task, end, verdict.charge)].slice(-step.state.config.maxHistory);
  if (outcome === null) {
    requeue(step, task, verdict.charge);
    tellAttemptEnd(step, task, { end, charge: verdict.charge, failure, taskState: task.state });
  } else {
    tellAttemptEnd(step, task, { end, charge: verdict.charge, failure, taskState: outcome.state });
    finishTask(step, task, outcome.state, failure, end.result);
  }
}

interface AttemptVerdict {
  readonly end: AttemptEnd;
  readonly charge: Charge;
  readonly failure: Failure | null;
  readonly taskState: TaskState;
}

function tellAttemptEnd(step: Step, task: TaskRecord, { end, charge, failure, taskState }: AttemptVerdict): void {
  step.event({
    name: 'attempt-ended',
    taskId: task.taskId,
    type: task.type,
    attempt: task.attempt,
    workerId: task.workerId,
    outcome: end.outcome,
    charge,
    taskState,
    reason: failure?.reason ?? '',
    message: failure?.message ?? '',
    stack: failure?.stack ?? '',
    runMs: end.runMs,
    startDelayMs: end.startDelayMs,
    reported: end.reported,
  });
}

/** Ends the task. Everybody who waits for it is told once the step is durable. */
export function finishTask(
  step: Step,
  task: TaskRecord,
  state: EndState,
  failure: Failure | null,
  result: Content | null,
): void {
  const { taskId, type } = task;
  task.endWallMs = step.now.wallMs;
  task.failure = state === 'SUCCEEDED' ? null : failure;
  step.setState(task, state);
  if (state === 'SUCCEEDED') step.touch(task).result = result;
  step.state.totals[TOTAL_OF[state]] += 1;
  for (const waiter of task.waiters) step.replyAtEnd(waiter.token, endReply(task, waiter, result));
  task.waiters = [];
  const { reason = '', message = '' } = task.failure ?? {};
  step.event({ name: 'task-ended', taskId, type, taskState: state, reason, message });
}

/** Made once the step is over, when the row is as it was written. */
function endReply(task: TaskRecord, { want }: Waiter, result: Content | null): () => Reply {
  const { taskId } = task;
  switch (want) {
    case 'task':
      return () => ({ kind: 'task', taskId, waiting: null, progress: null });
    case 'end':
      return () => ({ kind: 'ended', taskId, row: toRow(task), result });
    case 'change':
      return () => ({ kind: 'changed', taskId });
  }
}

/** Takes the attempt off its worker's books. */
export function releaseHold(step: Step, worker: WorkerRecord, hold: Hold): void {
  step.state.timers.cancel(hold.limit);
  worker.holds.delete(hold.ref.taskId);
  const ofType = (worker.holdsByType.get(hold.type) ?? 0) - 1;
  if (ofType > 0) worker.holdsByType.set(hold.type, ofType);
  else worker.holdsByType.delete(hold.type);
  if (hold.crashed) worker.crashedHolds -= 1;
  if (worker.holds.size === 0) step.someIdle = true;
  step.state.matcher.refreshWorker(worker);
}

/** Gives the task its place: when it first becomes QUEUED, and again after a charged back-off. */
export function givePlace(step: Step, task: TaskRecord): void {
  const { state } = step;
  task.tag = state.nextTag;
  state.nextTag += 1;
  state.lastReadyWallMs = Math.max(state.lastReadyWallMs, step.now.wallMs);
  task.readyWallMs = state.lastReadyWallMs;
}

/** True if the task comes back from a free end: it keeps the place that it had. */
export function keepsPlace(task: TaskRecord): boolean {
  return task.tag > 0 && task.history.at(-1)?.charge === 'FREE';
}

const TOTAL_OF = {
  SUCCEEDED: 'succeeded',
  CANCELLED: 'cancelled',
  EXPIRED: 'expired',
  DEAD_LETTERED: 'deadLettered',
} as const;

interface Ending {
  readonly state: EndState;
  readonly failure: Failure | null;
}

/** What the end is charged as, and how it ends the task whatever the budgets say. */
function judge(
  step: Step,
  task: TaskRecord,
  end: AttemptEnd,
  expired: boolean,
): { charge: Charge; ends: Ending | null } {
  if (end.outcome === 'SUCCEEDED') return { charge: 'NONE', ends: { state: 'SUCCEEDED', failure: null } };
  if (task.cancelRequested) {
    return { charge: 'NONE', ends: { state: 'CANCELLED', failure: failureOf('CANCELLED', 'the task was cancelled') } };
  }
  if (expired || (task.deadlineWallMs !== null && task.deadlineWallMs <= step.now.wallMs)) {
    return { charge: 'NONE', ends: { state: 'EXPIRED', failure: DEADLINE_PASSED } };
  }
  if (end.outcome === 'FAILED' || end.outcome === 'TIMED_OUT') return { charge: 'FAILURE', ends: null };
  return { charge: end.crash ? 'CRASH' : 'FREE', ends: null };
}

export const DEADLINE_PASSED = failureOf('DEADLINE_PASSED', "the task's deadline passed before it had succeeded", true);

/** The dead letter, if what the end was charged to is used up. */
function exhausted(task: TaskRecord, end: AttemptEnd, charged: Charge): Ending | null {
  const { failure } = end;
  const { maxAttempts, nonRetryableReasons } = task.retry;
  if (charged === 'FAILURE') {
    const final =
      failure?.nonRetryable === true ||
      nonRetryableReasons.includes(failure?.reason ?? '') ||
      task.failureCount >= maxAttempts;
    return final ? { state: 'DEAD_LETTERED', failure } : null;
  }
  if (maxAttempts === 1 && end.mayHaveStarted) {
    const message = `at most one start was asked for (max_attempts 1), and attempt ${task.attempt} on worker ${task.workerId} may have been started: ${failure?.message ?? ''}`;
    return { state: 'DEAD_LETTERED', failure: failureOf('MAYBE_STARTED', message, true) };
  }
  if (charged === 'CRASH' && task.crashCount >= CRASH_BUDGET) {
    const crashes = task.history.filter(({ charge, attempt }) => charge === 'CRASH' && attempt > task.requeuedAttempt);
    const workers = [...crashes.map((entry) => entry.workerId), task.workerId];
    const message = `${task.crashCount} workers died or fell silent while they ran it: ${workers.join(', ')}; the last: ${failure?.message ?? ''}`;
    return { state: 'DEAD_LETTERED', failure: failureOf('POISON', message, true) };
  }
  return null;
}

function charge(step: Step, task: TaskRecord, charged: Charge): void {
  const { totals } = step.state;
  if (charged === 'FREE') {
    task.releaseCount += 1;
    task.releaseStreak += 1;
    totals.releases += 1;
    return;
  }
  task.releaseStreak = 0;
  if (charged === 'FAILURE') {
    task.failureCount += 1;
    totals.failures += 1;
  } else if (charged === 'CRASH') {
    task.crashCount += 1;
    totals.crashes += 1;
  }
}

/** The verdict on an attempt was the coordinator's own, and now its worker has spoken: take back what it cost the task. */
function refund(task: TaskRecord): void {
  const entry = task.history.at(-1);
  if (entry === undefined || entry.attempt !== task.attempt) return;
  task.history = task.history.slice(0, -1);
  if (entry.charge === 'FAILURE') task.failureCount -= 1;
  if (entry.charge === 'CRASH') task.crashCount -= 1;
  if (entry.charge === 'FREE') {
    task.releaseCount -= 1;
    task.releaseStreak = Math.max(0, task.releaseStreak - 1);
  }
  if (entry.failure?.reason === 'WORKER_SILENT') task.silenceCount -= 1;
}

function requeue(step: Step, task: TaskRecord, charged: Charge): void {
  const { random, timers } = step.state;
  const delayMs =
    charged === 'FREE'
      ? releaseDelayMs(task.releaseStreak)
      : retryDelayMs(task.retry, task.failureCount + task.crashCount, random.next());
  if (delayMs > 0) {
    step.setState(task, 'SCHEDULED');
    task.dueWallMs = Math.ceil(step.now.wallMs + delayMs);
    timers.atMono(task.due, step.now.monoMs + delayMs, { kind: 'due', task });
    return;
  }
  if (!keepsPlace(task)) givePlace(step, task);
  step.setState(task, 'QUEUED');
}

function entryOf(step: Step, task: TaskRecord, end: AttemptEnd, charged: Charge): AttemptEntry {
  return {
    attempt: task.attempt,
    leaseId: task.leaseId,
    workerId: task.workerId,
    incarnation: task.incarnation,
    assignWallMs: task.assignWallMs,
    endWallMs: step.now.wallMs,
    outcome: end.outcome,
    charge: charged,
    failure:
      end.failure === null
        ? null
        : { ...end.failure, message: end.failure.message.slice(0, HISTORY_MESSAGE_CHARS), stack: '' },
    runMs: end.runMs,
    reported: end.reported,
  };
}

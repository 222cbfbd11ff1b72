/**
 * The scheduler: the only place where tasks and workers change. Pure: same state, inputs, time and random numbers, same
 * result. The engine gathers what has arrived, calls {@link step}, makes the writes durable and only then lets the outputs
 * leave.
 */
import { applyAbandon, applyAwait, applyCancel, applyExplain, applyGetTask, applySubmit } from './commands.js';
import { applyDelete, applyRequeue } from './dead-letters.js';
import { addHold, cancelHold, dispatch } from './dispatch.js';
import { answerIdle, applyDrain, applyResume, applyStopWaiting, heldDrain } from './drains.js';
import {
  applyFrame,
  applyHello,
  applyHoldLimit,
  applyLeaseEnd,
  applyListening,
  applyProcessEnded,
  applySessionEnded,
  applyStalled,
  applySuspect,
  createWorker,
} from './fleet.js';
import type { Input, Now, StepContext } from './inputs.js';
import { leaseMarginMs } from './lease.js';
import { DEADLINE_PASSED, finishTask, givePlace, keepsPlace } from './outcome.js';
import type { DrainView, StepResult } from './outputs.js';
import { RELEASE_BACKOFF } from './retry.js';
import { createRecord, Step, type SchedulerState, type TaskRecord } from './state.js';
import { hasEnded, type TaskRow } from './task.js';
import type { TimerTarget } from './timers.js';
import { fleetStats, getWorker, listQueues, listWorkers } from './views.js';

export { createState, type SchedulerState } from './state.js';

/**
 * Tasks that the inputs name and that are not in memory. The engine reads their rows before the step: such a task has ended,
 * or never was.
 */
export function keysToRead(state: SchedulerState, inputs: readonly Input[]): readonly string[] {
  const keys = new Set<string>();
  const add = (taskId: string): void => {
    if (!state.tasks.has(taskId)) keys.add(taskId);
  };
  for (const input of inputs) {
    if (input.kind === 'submit' || input.kind === 'cancel' || input.kind === 'await') add(input.taskId);
    else if (input.kind === 'requeue' || input.kind === 'delete') input.taskIds.forEach(add);
    else if (input.kind === 'frame') for (const { ref } of input.reports) add(ref.taskId);
  }
  return [...keys];
}

/**
 * One step: applies the inputs in order, then judges what is due, then hands out work.
 */
export function step(state: SchedulerState, inputs: readonly Input[], context: StepContext): StepResult {
  const current = new Step(state, context);
  for (const input of inputs) apply(current, input);
  // Only now: whoever has spoken in this batch is not late.
  const moreDue = expire(current, { ...context.now, monoMs: Math.min(context.now.monoMs, context.heardMonoMs) });
  // As long as leases wait to be judged, nobody knows who may take something.
  const more = moreDue || (state.dispatches && dispatch(current));
  answerIdle(current);
  return { ...current.finish(), more };
}

/** Milliseconds until something is due by itself; Infinity: nothing is. */
export function untilNextMs(state: SchedulerState, now: Now): number {
  return state.timers.untilNextMs(now);
}

/**
 * Puts the rows of tasks that had not ended when the coordinator last stopped into an empty state. What was RUNNING is waited
 * for from the input `listening` on, as long as the longest lease that may have been granted, and a margin.
 */
export function restore(
  state: SchedulerState,
  rows: readonly TaskRow[],
  opened: { readonly longestLeaseMs: number; readonly drains: readonly DrainView[]; readonly now: Now },
): void {
  const { longestLeaseMs, drains, now } = opened;
  state.recoveredLeaseMs = longestLeaseMs;
  for (const { pattern, createWallMs } of drains) state.drains.set(pattern, heldDrain(pattern, createWallMs));
  for (const row of rows) {
    if (hasEnded(row.state)) throw new Error(`task ${row.taskId} has ended (${row.state}) and was read as open`);
    const task = createRecord(state, row);
    state.nextTag = Math.max(state.nextTag, row.tag + 1);
    state.lastReadyWallMs = Math.max(state.lastReadyWallMs, row.readyWallMs);
    if (task.state === 'SCHEDULED') restoreDue(state, task, now);
    if (task.state === 'RUNNING') {
      const worker = state.incarnations.get(task.incarnation) ?? createWorker(state, task.workerId, task.incarnation);
      if (!state.workersById.has(task.workerId)) state.workersById.set(task.workerId, worker);
      addHold(state, worker, task, null);
    }
  }
}

/**
 * A run_time is told by the wall clock. A back-off was begun on the monotonic clock of a process that is gone, so the wall clock
 * has to do; but one that was set back since must not make it longer than any back-off is.
 */
function restoreDue(state: SchedulerState, task: TaskRecord, now: Now): void {
  const target = { kind: 'due', task } as const;
  const dueWallMs = task.dueWallMs ?? 0;
  if (task.attempt === 0) {
    state.timers.atWall(task.due, dueWallMs, target);
    return;
  }
  const longestMs = Math.max(task.retry.maxBackoffMs, RELEASE_BACKOFF.maxMs, state.config.leaseMs);
  state.timers.atMono(task.due, now.monoMs + Math.min(dueWallMs - now.wallMs, longestMs), target);
}

/** When attempts of an earlier coordinator have all come back or been given up, in milliseconds from `listening`. */
export function recoveryMs(longestLeaseMs: number): number {
  return longestLeaseMs + leaseMarginMs(longestLeaseMs);
}

function apply(current: Step, input: Input): void {
  switch (input.kind) {
    case 'submit':
      return applySubmit(current, input);
    case 'abandon':
      return applyAbandon(current, input);
    case 'await':
      return applyAwait(current, input);
    case 'cancel':
      return applyCancel(current, input);
    case 'requeue':
      return applyRequeue(current, input);
    case 'delete':
      return applyDelete(current, input);
    case 'explain':
      return applyExplain(current, input);
    case 'getTask':
      return applyGetTask(current, input);
    case 'listWorkers':
      return current.replyAtEnd(input.token, () => listWorkers(current, input.afterWorkerId, input.limit));
    case 'getWorker':
      return current.replyAtEnd(input.token, () => getWorker(current, input.workerId));
    case 'listQueues':
      return current.replyAtEnd(input.token, () => listQueues(current.state, input.afterType, input.limit));
    case 'drain':
      return applyDrain(current, input);
    case 'stopWaiting':
      return applyStopWaiting(current, input);
    case 'resume':
      return applyResume(current, input);
    case 'fleetStats':
      return current.replyAtEnd(input.token, () => ({ kind: 'fleetStats', stats: fleetStats(current.state) }));
    case 'hello':
      return applyHello(current, input);
    case 'frame':
      return applyFrame(current, input);
    case 'suspect':
      return applySuspect(current, input);
    case 'sessionEnded':
      return applySessionEnded(current, input);
    case 'processEnded':
      return applyProcessEnded(current, input);
    case 'listening':
      return applyListening(current);
    case 'stopDispatch':
      current.state.dispatches = false;
      return;
    case 'stalled':
      return applyStalled(current, input);
  }
}

function expire(current: Step, now: Now): boolean {
  const { state } = current;
  for (let fired = 0; fired < state.config.maxAssignmentsPerStep; fired += 1) {
    const target = state.timers.takeDue(now);
    if (target === undefined) return false;
    fire(current, target);
  }
  return state.timers.untilNextMs(now) === 0;
}

function fire(current: Step, target: TimerTarget): void {
  switch (target.kind) {
    case 'lease':
      return applyLeaseEnd(current, target.worker);
    case 'hold':
      return applyHoldLimit(current, target.worker, target.hold);
    case 'due':
      return becomeReady(current, target.task);
    case 'deadline':
      return passDeadline(current, target.task);
  }
}

function becomeReady(current: Step, task: TaskRecord): void {
  if (!keepsPlace(task)) givePlace(current, task);
  current.setState(task, 'QUEUED');
}

function passDeadline(current: Step, task: TaskRecord): void {
  const { holder } = task;
  if (holder === null) finishTask(current, task, 'EXPIRED', DEADLINE_PASSED, null);
  // The first durable outcome still wins; whatever it is but SUCCEEDED, the task is EXPIRED.
  else if (holder.hold.cancelReason === null) cancelHold(current, holder.worker, holder.hold, 'DEADLINE');
}

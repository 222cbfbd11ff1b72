/** Hands out what is QUEUED to who is free, until one of the two is used up or the step is full. */
import { isIsolated } from './match.js';
import type { Step, TaskRecord } from './state.js';
import { newTimer } from './timers.js';
import type { CancelReason } from './outputs.js';
import type { Hold, WorkerRecord } from './worker.js';

/** @returns True if the step is full and more could be handed out. */
export function dispatch(step: Step): boolean {
  const { queue, matcher, config } = step.state;
  let assigned = 0;
  let bytes = 0;
  for (;;) {
    const domain = queue.next();
    const task = domain?.tasks.peek();
    if (domain === undefined || task === undefined) return false;
    if (assigned >= config.maxAssignmentsPerStep || bytes >= config.maxAssignedBytesPerStep) return true;
    const worker = matcher.pick(task);
    if (worker === undefined) {
      queue.park(isIsolated(task) ? domain : queue.setAside(task));
      continue;
    }
    assign(step, task, worker);
    assigned += 1;
    bytes += task.payloadBytes;
  }
}

function assign(step: Step, task: TaskRecord, worker: WorkerRecord): void {
  const { state, now } = step;
  task.attempt += 1;
  task.leaseId = state.random.leaseId();
  task.workerId = worker.workerId;
  task.incarnation = worker.incarnation;
  task.assignWallMs = now.wallMs;
  task.attemptOpen = true;
  step.setState(task, 'RUNNING');
  const hold = addHold(step.state, worker, task, now.monoMs);
  state.lastUsed += 1;
  worker.lastUsed = state.lastUsed;
  state.matcher.refreshWorker(worker);
  state.totals.assigned += 1;
  if (task.attempt > 1) state.totals.attemptsRetried += 1;

  const body = step.bodyAtHand(task);
  if (body === null) step.touch(task).wantBody = true;
  if (worker.sessionId === null) throw new Error(`worker ${worker.workerId} was given a task without a stream`);
  const untilDeadlineMs = task.deadlineWallMs === null ? Infinity : task.deadlineWallMs - now.wallMs;
  step.send(worker.sessionId, {
    kind: 'assign',
    ref: hold.ref,
    type: task.type,
    timeoutMs: Math.max(1, Math.min(task.timeoutMs, untilDeadlineMs)),
    failureCount: task.failureCount,
    body,
  });
}

/**
 * Puts the task's newest attempt on the worker's books. The caller refreshes the worker.
 *
 * @param assignMonoMs Null: an earlier coordinator handed it out.
 */
export function addHold(
  state: Step['state'],
  worker: WorkerRecord,
  task: TaskRecord,
  assignMonoMs: number | null,
): Hold {
  const hold: Hold = {
    ref: { taskId: task.taskId, attempt: task.attempt, leaseId: task.leaseId },
    type: task.type,
    assignWallMs: task.assignWallMs,
    assignMonoMs,
    crashed: task.crashCount > 0,
    recovered: assignMonoMs === null,
    state: 'SENT',
    started: false,
    abandoned: false,
    revoked: false,
    cancelReason: task.cancelRequested ? 'REQUESTED' : null,
    limit: newTimer(),
    extended: false,
  };
  worker.holds.set(task.taskId, hold);
  worker.holdsByType.set(task.type, (worker.holdsByType.get(task.type) ?? 0) + 1);
  if (hold.crashed) worker.crashedHolds += 1;
  task.holder = { worker, hold };
  return hold;
}

/**
 * The handler has been entered: from now on its time runs.
 *
 * @param atMonoMs When the news arrived
 * @param runMs How long it has run by then, if its worker says so
 */
export function markStarted(step: Step, worker: WorkerRecord, hold: Hold, atMonoMs: number, runMs = 0): void {
  if (hold.started) return;
  const { state } = step;
  hold.started = true;
  if (hold.state !== 'CANCELLING') hold.state = 'STARTED';
  state.totals.attemptsStarted += 1;
  const reused = worker.attemptsStarted > 0;
  if (reused) state.totals.attemptsReused += 1;
  worker.attemptsStarted += 1;
  const { taskId, attempt } = hold.ref;
  const startMs = hold.assignMonoMs === null ? null : Math.max(0, atMonoMs - hold.assignMonoMs - runMs);
  const { type } = hold;
  step.event({ name: 'attempt-started', taskId, type, attempt, workerId: worker.workerId, startMs, reused });
  const task = state.tasks.get(hold.ref.taskId);
  if (task?.holder?.hold !== hold || hold.cancelReason !== null) return;
  const { stuckGraceMs, leaseMs } = state.config;
  // By then the worker has aborted the handler, waited for it and said so, or its lease is over.
  state.timers.atMono(hold.limit, atMonoMs + task.timeoutMs + stuckGraceMs + leaseMs, { kind: 'hold', worker, hold });
}

/** Tells the worker to abort an attempt, and sets the time after which its word is not waited for. */
export function cancelHold(step: Step, worker: WorkerRecord, hold: Hold, reason: CancelReason): void {
  const { state, now } = step;
  hold.state = 'CANCELLING';
  hold.cancelReason = reason;
  if (worker.sessionId !== null) step.send(worker.sessionId, { kind: 'cancel', ref: hold.ref, reason });
  if (hold.abandoned) return;
  hold.extended = false;
  const limitMs = now.monoMs + state.config.stuckGraceMs + state.config.leaseMs;
  state.timers.atMono(hold.limit, limitMs, { kind: 'hold', worker, hold });
}

/** What services ask of a task: submit, cancel, abandon, read. */
import { cancelHold } from './dispatch.js';
import type { Input } from './inputs.js';
import { failureOf, finishTask, givePlace } from './outcome.js';
import type { Step, TaskRecord } from './state.js';
import { hasEnded, storedBytes, type TaskRow } from './task.js';
import type { Reply, Waiting } from './outputs.js';
import type { Waiter } from './waiters.js';

type Of<K extends Input['kind']> = Extract<Input, { kind: K }>;

export function applySubmit(step: Step, input: Of<'submit'>): void {
  const { state } = step;
  const { taskId, token } = input;
  const known = state.tasks.get(taskId) ?? step.endedRow(taskId);
  if (known !== undefined) {
    // Like every answer to a submit at the end: a caller of many gets them in their order.
    if (known.digest !== input.digest) step.replyAtEnd(token, () => ({ kind: 'idTaken', taskId }));
    else answerSubmit(step, input, known, true);
    return;
  }
  const refusal = refuseNew(step, input);
  if (refusal !== null) {
    step.replyAtEnd(token, () => refusal);
    return;
  }
  answerSubmit(step, input, admitTask(step, input), false);
}

/** Why a task that is new cannot be admitted; null if it can. Only now: a repeat is answered whatever has come since. */
function refuseNew(step: Step, { taskId, spec, body }: Of<'submit'>): Reply | null {
  const { state, now } = step;
  const { deadlineWallMs } = spec;
  if (deadlineWallMs !== null && deadlineWallMs <= now.wallMs) {
    return { kind: 'deadlinePassed', taskId, lateMs: now.wallMs - deadlineWallMs };
  }
  if (state.tasks.size >= state.config.maxOpenTasks)
    return { kind: 'queueFull', taskId, limit: state.config.maxOpenTasks };
  const bytes = storedBytes(body.payload.data.byteLength);
  if (bytes > step.storeRoomBytes) return { kind: 'storeFull', taskId };
  step.storeRoomBytes -= bytes;
  return null;
}

function admitTask(step: Step, { taskId, spec, body, digest }: Of<'submit'>): TaskRecord {
  const { state, now } = step;
  const task = step.admit(newRow(taskId, spec, digest, body.payload.data.byteLength, now.wallMs), body);
  state.totals.submitted += 1;
  if (spec.runTimeWallMs !== null && spec.runTimeWallMs > now.wallMs) {
    task.dueWallMs = spec.runTimeWallMs;
    state.timers.atWall(task.due, spec.runTimeWallMs, { kind: 'due', task });
  } else {
    givePlace(step, task);
    step.setState(task, 'QUEUED');
  }
  return task;
}

function newRow(
  taskId: string,
  spec: Of<'submit'>['spec'],
  digest: string,
  payloadBytes: number,
  wallMs: number,
): TaskRow {
  // Field by field, as toRow.
  return {
    taskId,
    type: spec.type,
    priority: spec.priority,
    requiredLabels: spec.requiredLabels,
    timeoutMs: spec.timeoutMs,
    deadlineWallMs: spec.deadlineWallMs,
    runTimeWallMs: spec.runTimeWallMs,
    retry: spec.retry,
    digest,
    createWallMs: wallMs,
    payloadBytes,
    revision: 0,
    state: 'SCHEDULED',
    tag: 0,
    readyWallMs: 0,
    dueWallMs: null,
    attempt: 0,
    leaseId: '',
    workerId: '',
    incarnation: '',
    assignWallMs: 0,
    attemptOpen: false,
    failureCount: 0,
    crashCount: 0,
    releaseCount: 0,
    releaseStreak: 0,
    silenceCount: 0,
    cancelRequested: false,
    history: [],
    requeuedAttempt: 0,
    endWallMs: null,
    failure: null,
  };
}

function answerSubmit(step: Step, input: Of<'submit'>, task: TaskRow, alreadyExisted: boolean): void {
  const { taskId, token, want } = input;
  const record = step.state.tasks.get(taskId);
  step.replyAtEnd(token, () => {
    const waiting = record === undefined ? null : waitingOf(step, record);
    const capableWorkers = record === undefined ? 0 : step.state.matcher.capableWorkers(record.matchClass);
    const notice = capableWorkers === 0 && waiting?.reason.startsWith('NO_') === true ? waiting.message : '';
    return { kind: 'submitted', taskId, state: (record ?? task).state, alreadyExisted, capableWorkers, notice };
  });
  if (want !== null) hear(step, taskId, { token, want });
}

export function applyAwait(step: Step, { taskId, token, want }: Of<'await'>): void {
  if (!step.state.tasks.has(taskId) && step.endedRow(taskId) === undefined) {
    step.replyAtEnd(token, () => ({ kind: 'taskNotFound', taskId }));
  } else {
    hear(step, taskId, { token, want });
  }
}

/** From now on the caller hears of the task; of one that has ended, at once. */
function hear(step: Step, taskId: string, waiter: Waiter): void {
  const { token, want } = waiter;
  const record = step.state.tasks.get(taskId);
  if (record === undefined) {
    // Its result is in the store.
    const ended: Reply =
      want === 'change' ? { kind: 'changed', taskId } : { kind: 'task', taskId, waiting: null, progress: null };
    step.replyAtEnd(token, () => ended);
  } else if (!record.waiters.some((other) => other.token === token)) {
    record.waiters.push(waiter);
  }
}

/** Why the task is not running; null if it is, or has ended. */
export function waitingOf(step: Step, task: TaskRecord): Waiting | null {
  if (task.state === 'QUEUED') return step.state.matcher.explain(task);
  if (task.state !== 'SCHEDULED') return null;
  const { attempt } = task;
  if (attempt === 0) return { reason: 'RUN_TIME', message: 'its run_time has not come; see due_time' };
  const what =
    task.reportAwaited === attempt
      ? `the worker of attempt ${attempt} is back and about to report it: nobody else gets it until then`
      : `it waits out the back-off after attempt ${attempt}`;
  return { reason: 'BACKOFF', message: `${what}; see due_time` };
}

export function applyCancel(step: Step, { taskId, token }: Of<'cancel'>): void {
  const task = step.state.tasks.get(taskId);
  const row = task ?? step.endedRow(taskId);
  if (row === undefined) {
    step.reply(token, { kind: 'taskNotFound', taskId });
    return;
  }
  if (task !== undefined) cancelTask(step, task);
  step.replyAtEnd(token, () => ({ kind: 'cancelled', taskId, state: row.state }));
}

export function applyAbandon(step: Step, { taskIds, token, cancel }: Of<'abandon'>): void {
  for (const taskId of taskIds) {
    const task = step.state.tasks.get(taskId);
    // Who does not wait for it cancels nothing: his submit was refused because the id is somebody else's.
    if (task?.waiters.some((waiter) => waiter.token === token) !== true) continue;
    task.waiters = task.waiters.filter((waiter) => waiter.token !== token);
    // Others still want it: a caller that was cut may have called again before we noticed.
    if (cancel && !task.waiters.some(({ want }) => want !== 'change')) cancelTask(step, task);
  }
}

export function applyExplain(step: Step, { taskIds, token }: Of<'explain'>): void {
  step.replyAtEnd(token, () => {
    const open = taskIds.flatMap((taskId) => step.state.tasks.get(taskId) ?? []);
    const tasks = new Map(
      open.map((task) => [task.taskId, { waiting: waitingOf(step, task), progress: task.progress }] as const),
    );
    return { kind: 'explained', tasks };
  });
}

export function applyGetTask(step: Step, { taskId, token }: Of<'getTask'>): void {
  step.replyAtEnd(token, () => {
    const task = step.state.tasks.get(taskId);
    return {
      kind: 'task',
      taskId,
      waiting: task === undefined ? null : waitingOf(step, task),
      progress: task?.progress ?? null,
    };
  });
}

function cancelTask(step: Step, task: TaskRecord): void {
  if (task.cancelRequested || hasEnded(task.state)) return;
  task.cancelRequested = true;
  step.touch(task);
  if (task.holder === null) {
    finishTask(step, task, 'CANCELLED', failureOf('CANCELLED', 'the task was cancelled while it waited'), null);
    return;
  }
  cancelHold(step, task.holder.worker, task.holder.hold, 'REQUESTED');
}

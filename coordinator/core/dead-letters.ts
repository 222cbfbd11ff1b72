/** What a person does with tasks that have ended: put a dead letter back in the queue, remove what is not wanted any more. */
import type { Input } from './inputs.js';
import { givePlace } from './outcome.js';
import type { ChangeRefusal } from './outputs.js';
import { toRow, type Step } from './state.js';
import { hasEnded } from './task.js';

type Of<K extends Input['kind']> = Extract<Input, { kind: K }>;

export function applyRequeue(step: Step, { taskIds, token }: Of<'requeue'>): void {
  const results = taskIds.map((taskId) => ({ taskId, refusal: requeue(step, taskId) }));
  step.reply(token, { kind: 'tasksChanged', results });
}

export function applyDelete(step: Step, { taskIds, token }: Of<'delete'>): void {
  const results = taskIds.map((taskId) => ({ taskId, refusal: remove(step, taskId) }));
  step.reply(token, { kind: 'tasksChanged', results });
}

function requeue(step: Step, taskId: string): ChangeRefusal | null {
  const { state, now } = step;
  const row = state.tasks.get(taskId) ?? step.endedRow(taskId);
  if (row === undefined) return { reason: 'NOT_FOUND' };
  if (row.state !== 'DEAD_LETTERED') return { reason: 'NOT_DEAD_LETTERED', state: row.state };
  if (row.deadlineWallMs !== null && row.deadlineWallMs <= now.wallMs) {
    return { reason: 'DEADLINE_PASSED', deadlineWallMs: row.deadlineWallMs };
  }
  const { maxOpenTasks } = state.config;
  if (state.tasks.size >= maxOpenTasks) return { reason: 'QUEUE_FULL', limit: maxOpenTasks };
  const task = step.reopen(Object.assign(toRow(row), FRESH, { requeuedAttempt: row.attempt }));
  givePlace(step, task);
  step.setState(task, 'QUEUED');
  step.event({ name: 'task-requeued', taskId, type: row.type });
  return null;
}

/**
 * Counters begin anew. The newest attempt is closed for good: with no lease_id of it left, a report that is still to come is
 * one of a stale attempt.
 */
const FRESH = {
  state: 'SCHEDULED',
  leaseId: '',
  attemptOpen: false,
  failureCount: 0,
  crashCount: 0,
  releaseCount: 0,
  releaseStreak: 0,
  silenceCount: 0,
  endWallMs: null,
  failure: null,
} as const;

function remove(step: Step, taskId: string): ChangeRefusal | null {
  const row = step.state.tasks.get(taskId) ?? step.endedRow(taskId);
  if (row === undefined) return { reason: 'NOT_FOUND' };
  if (!hasEnded(row.state)) return { reason: 'NOT_ENDED', state: row.state };
  step.remove(row);
  step.event({ name: 'task-deleted', taskId, type: row.type });
  return null;
}

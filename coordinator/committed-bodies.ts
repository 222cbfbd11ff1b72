import type { Write } from './core/outputs.js';
import type { TaskBody, TaskRow } from './core/task.js';
import type { WriteResult } from './store/store.js';

/**
 * The bodies that a commit has answered with, by task.
 *
 * @throws Error if a write did not fit: with one owner that is a bug, and going on would spread it
 */
export function bodiesOf(writes: readonly Write[], results: readonly WriteResult[]): Map<string, TaskBody> {
  const bodies = new Map<string, TaskBody>();
  for (const [index, result] of results.entries()) {
    const write = writes[index];
    if (write === undefined || result.kind === 'purged') continue;
    if (result.kind === 'conflict') throw conflict(write, result.row);
    if (write.kind === 'update' && result.body !== null) bodies.set(write.row.taskId, result.body);
  }
  return bodies;
}

function conflict(write: Write, row: TaskRow | null): Error {
  const found = row === null ? 'no row of its task' : `revision ${row.revision} of task ${row.taskId}`;
  const named = 'row' in write ? ` of task ${write.row.taskId}, revision ${write.row.revision}` : '';
  return new Error(`the store has ${found}, which is not what the ${write.kind}${named} expects`);
}

/** @throws Error if the task, which is to be handed out, is not among them */
export function bodyFor(taskId: string, bodies: ReadonlyMap<string, TaskBody>): TaskBody {
  const body = bodies.get(taskId);
  if (body === undefined) throw new Error(`the store returned no body of task ${taskId}, which is to be handed out`);
  return body;
}

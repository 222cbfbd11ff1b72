import { create } from '@bufbuild/protobuf';
import { TaskState, type Task } from '../../proto/gen/remuda/v1/task_pb.js';
import {
  ListTasksResponseSchema,
  TaskService,
  type ListTasksResponse,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import type { RpcChannel } from '../rpc.js';
import { enumName } from './enum-name.js';
import { readPages } from './pages.js';
import { renderTable, type TableLook } from './table.js';
import { age, failureText, hasEnded, shortPayload, styleOfState } from './task-text.js';
import { printable } from './terminal.js';

/** Which tasks to list. Empty and unset fit all. */
export interface TaskFilter {
  readonly states?: readonly TaskState[] | undefined;
  readonly type?: string | undefined;
}

/** The newest tasks that fit, without payloads, all pages in one answer. Its next_page_token is empty if there are no more. */
export async function listTasks(
  channel: RpcChannel,
  { states = [], type = '' }: TaskFilter,
  limit: number,
): Promise<ListTasksResponse> {
  const { items, nextPageToken } = await readPages<Task>(async (pageSize, pageToken) => {
    const request = { pageSize, pageToken, states: [...states], type };
    const answer = await channel.call(TaskService.method.listTasks, request);
    return { items: answer.tasks, nextPageToken: answer.nextPageToken };
  }, limit);
  return create(ListTasksResponseSchema, { tasks: items, nextPageToken });
}

/** Tasks as a table: where each stands and why. `nowMs`: for their ages, in milliseconds since 1970. */
export function tasksText(tasks: readonly Task[], look: TableLook, nowMs: number): string {
  const rows = tasks.map((task) => [
    task.taskId,
    printable(task.type),
    enumName(TaskState, task.state),
    age(task.createTime, nowMs),
    String(task.attempt),
    why(task),
  ]);
  return renderTable(['ID', 'TYPE', 'STATE', 'AGE', 'ATTEMPT', 'WHY'], rows, {
    ...look,
    right: ['AGE', 'ATTEMPT'],
    cut: ['WHY', 'TYPE'],
    drop: ['WHY', 'ATTEMPT'],
    styleOf: (column, value) => (column === 'STATE' ? styleOfState(value) : undefined),
  });
}

/** Dead letters as a table: since when, and of what. */
export function deadLettersText(tasks: readonly Task[], look: TableLook, nowMs: number): string {
  const rows = tasks.map(({ taskId, type, endTime, attempt, failure }) => [
    taskId,
    printable(type),
    age(endTime, nowMs),
    String(attempt),
    printable(failure?.reason ?? ''),
    printable(failure?.message ?? ''),
  ]);
  return renderTable(['ID', 'TYPE', 'DEAD', 'ATTEMPTS', 'REASON', 'MESSAGE'], rows, {
    ...look,
    right: ['DEAD', 'ATTEMPTS'],
    cut: ['MESSAGE', 'TYPE'],
    drop: ['MESSAGE', 'ATTEMPTS'],
  });
}

function why({ state, waiting, failure, progress, cancelRequested }: Task): string {
  if (waiting !== undefined) return printable(waiting.message);
  if (failure !== undefined) return failureText(failure);
  if (cancelRequested && !hasEnded(state)) return 'cancel requested';
  return progress === undefined ? '' : shortPayload(progress);
}

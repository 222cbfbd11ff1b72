import type { MessageShape } from '@bufbuild/protobuf';
import { MAX_BATCH } from '../proto/bounds.js';
import { FleetError } from '../proto/fleet-error.js';
import type { TaskService } from '../proto/gen/remuda/v1/task_service_pb.js';
import type { TaskChange } from './client.js';
import { readTaskId } from './encode-task.js';
import type { UnaryCalls } from './unary-calls.js';

/** What changes tasks by their ids. */
export type ChangeMethod = typeof TaskService.method.requeueTasks | typeof TaskService.method.deleteTasks;

/**
 * Changes tasks by their ids, as many to a call as one may hold. Nothing that may have been carried out is tried again. When a
 * call fails, its ids and all after them carry its error; the first one's failure is thrown.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_TASK_ID; as the first call
 */
export async function changeTasks(
  calls: UnaryCalls,
  method: ChangeMethod,
  taskIds: string | Iterable<string>,
  signal: AbortSignal | undefined,
): Promise<TaskChange[]> {
  const ids = Array.from(typeof taskIds === 'string' ? [taskIds] : taskIds, readTaskId);
  const changes: TaskChange[] = [];
  for (let from = 0; from < ids.length; from += MAX_BATCH) {
    const batch = ids.slice(from, from + MAX_BATCH);
    try {
      const answer = await calls.call<ChangeMethod>(method, { taskIds: batch }, { signal, repeatable: false });
      changes.push(...answer.results.map(changeOf));
    } catch (error) {
      if (from === 0) throw error;
      const failure = FleetError.from(error);
      return [...changes, ...ids.slice(from).map((taskId) => ({ taskId, error: failure }))];
    }
  }
  return changes;
}

function changeOf({ taskId, error }: MessageShape<ChangeMethod['output']>['results'][number]): TaskChange {
  return { taskId, error: error === undefined ? undefined : FleetError.fromStatusMessage(error) };
}

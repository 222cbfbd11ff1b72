import { create } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { UUID_PATTERN } from '../../proto/bounds.js';
import { FleetError, quoted, type FieldViolation } from '../../proto/fleet-error.js';
import {
  CancelTaskResponseSchema,
  TaskChangeResultSchema,
  type CancelTaskRequest,
  type CancelTaskResponse,
  type TaskChangeResult,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import type { ChangeRefusal } from '../core/outputs.js';
import { askOnce, INPUT_BYTES, requireOpenDoor, unexpectedReply, type AskedEngine } from './asking.js';
import { parseTaskId } from './parse-task.js';
import { queueFull, taskNotFound } from './submit-answer.js';

const MAX_IDS = 1_000;

/**
 * Asks for a task's end.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_TASK_ID; NOT_FOUND; FAILED_PRECONDITION / TASK_ENDED
 */
export async function cancelTask(engine: AskedEngine, request: CancelTaskRequest): Promise<CancelTaskResponse> {
  const taskId = parseTaskId(request.taskId);
  const reply = await askOnce(engine, (token) => ({ kind: 'cancel', token, taskId }));
  if (reply.kind === 'taskNotFound') throw taskNotFound(taskId, engine.wasPurged(taskId));
  if (reply.kind !== 'cancelled') throw unexpectedReply(reply);
  const { state } = reply;
  if (state === 'SUCCEEDED' || state === 'EXPIRED' || state === 'DEAD_LETTERED') {
    const message = `task ${taskId} has ended ${state}: there is nothing left to cancel`;
    throw new FleetError(Code.FAILED_PRECONDITION, 'TASK_ENDED', message, { metadata: { task_id: taskId, state } });
  }
  return create(CancelTaskResponseSchema, { taskId, state: TaskState[state] });
}

/**
 * Requeues dead letters, or deletes tasks that have ended; each id is answered by itself.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_TASK_ID; UNAVAILABLE
 */
export async function changeTasks(
  engine: AskedEngine,
  kind: 'requeue' | 'delete',
  ids: readonly string[],
): Promise<TaskChangeResult[]> {
  requireOpenDoor(engine);
  const taskIds = parseIds(ids);
  const reply = await askOnce(engine, (token) => ({ kind, token, taskIds }), taskIds.length * INPUT_BYTES);
  if (reply.kind !== 'tasksChanged') throw unexpectedReply(reply);
  return reply.results.map(({ taskId, refusal }) => {
    const result = create(TaskChangeResultSchema, { taskId });
    if (refusal !== null) result.error = refusalError(engine, taskId, refusal).toStatusMessage();
    return result;
  });
}

function parseIds(ids: readonly string[]): string[] {
  const faults: FieldViolation[] = [];
  if (ids.length === 0 || ids.length > MAX_IDS) {
    faults.push({ field: 'task_ids', description: `has ${ids.length} entries; it must have 1 to ${MAX_IDS}` });
  }
  for (const [index, id] of ids.slice(0, MAX_IDS).entries()) {
    if (UUID_PATTERN.test(id)) continue;
    faults.push({ field: `task_ids[${index}]`, description: `is ${quoted(id)}; it must be a task's UUID` });
  }
  if (faults.length > 0) throw FleetError.invalid('INVALID_TASK_ID', faults);
  return ids.map((id) => id.toLowerCase());
}

function refusalError(engine: AskedEngine, taskId: string, refusal: ChangeRefusal): FleetError {
  switch (refusal.reason) {
    case 'NOT_FOUND':
      return taskNotFound(taskId, engine.wasPurged(taskId));
    case 'NOT_DEAD_LETTERED':
      return wrongState(taskId, 'TASK_NOT_DEAD_LETTERED', refusal.state, 'only dead letters are requeued');
    case 'NOT_ENDED':
      return wrongState(taskId, 'TASK_NOT_ENDED', refusal.state, 'cancel it first, and wait for its end');
    case 'DEADLINE_PASSED': {
      const deadline = new Date(refusal.deadlineWallMs).toISOString();
      const message = `the deadline of task ${taskId} passed at ${deadline}; submit it anew, with another one`;
      return new FleetError(Code.FAILED_PRECONDITION, 'DEADLINE_PASSED', message, {
        metadata: { task_id: taskId, deadline },
      });
    }
    case 'QUEUE_FULL':
      return queueFull(refusal.limit);
  }
}

function wrongState(taskId: string, reason: string, state: string, advice: string): FleetError {
  const message = `task ${taskId} is ${state}: ${advice}`;
  return new FleetError(Code.FAILED_PRECONDITION, reason, message, { metadata: { task_id: taskId, state } });
}

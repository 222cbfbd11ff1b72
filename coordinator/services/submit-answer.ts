import { create } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { FleetError, quoted } from '../../proto/fleet-error.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { SubmitTaskResponseSchema, type SubmitTaskResponse } from '../../proto/gen/remuda/v1/task_service_pb.js';
import type { EngineReply } from '../engine.js';
import type { DiskRoom } from '../free-space.js';
import { unexpectedReply } from './asking.js';

/**
 * The answer to a submit.
 *
 * @throws FleetError ALREADY_EXISTS / TASK_ID_TAKEN; RESOURCE_EXHAUSTED / QUEUE_FULL or STORE_FULL
 */
export function submitAnswer(reply: EngineReply): SubmitTaskResponse {
  switch (reply.kind) {
    case 'submitted':
      return create(SubmitTaskResponseSchema, {
        taskId: reply.taskId,
        state: TaskState[reply.state],
        alreadyExisted: reply.alreadyExisted,
        capableWorkerCount: reply.capableWorkers,
        notice: reply.notice,
      });
    case 'idTaken': {
      const message = `task_id ${reply.taskId} is taken by a task with other content; a repeat must say the same, another task needs another id`;
      throw new FleetError(Code.ALREADY_EXISTS, 'TASK_ID_TAKEN', message, { metadata: { task_id: reply.taskId } });
    }
    case 'queueFull':
      throw queueFull(reply.limit);
    case 'storeFull':
      throw reply.disk === null ? storeFull() : diskLow(reply.disk);
    case 'deadlinePassed': {
      const description = `passed ${Math.ceil(reply.lateMs)} ms ago on the coordinator's clock; give a time to come`;
      throw FleetError.invalid('INVALID_TASK', [{ field: 'options.deadline', description }]);
    }
    default:
      throw unexpectedReply(reply);
  }
}

function storeFull(): FleetError {
  const message =
    'the store has no room for another task; wait until ended ones are no longer kept, or raise --max-store-bytes';
  return new FleetError(Code.RESOURCE_EXHAUSTED, 'STORE_FULL', message, {
    retryDelayMs: 1_000,
    quota: { subject: 'coordinator', description: 'bytes in use in the store: at most --max-store-bytes' },
  });
}

function diskLow({ folder, freeBytes, reusableBytes, minFreeBytes }: DiskRoom): FleetError {
  const message = `the disk of the store has ${freeBytes} bytes free in ${folder}, and ${reusableBytes} in the store itself; new tasks leave ${minFreeBytes} (--min-free-bytes and 1 MiB a slot) to those that run; make room there`;
  return new FleetError(Code.RESOURCE_EXHAUSTED, 'STORE_FULL', message, {
    metadata: {
      folder,
      free_bytes: String(freeBytes),
      reusable_bytes: String(reusableBytes),
      min_free_bytes: String(minFreeBytes),
    },
    retryDelayMs: 1_000,
    quota: {
      subject: 'coordinator',
      description: `bytes free on the disk of the store and within its file: at least ${minFreeBytes}`,
    },
  });
}

/** The coordinator holds as many unfinished tasks as it may. */
export function queueFull(limit: number): FleetError {
  const message = `the coordinator holds ${limit} unfinished tasks, its bound; wait for some to end, or raise --max-open-tasks`;
  return new FleetError(Code.RESOURCE_EXHAUSTED, 'QUEUE_FULL', message, {
    retryDelayMs: 1_000,
    quota: { subject: 'coordinator', description: `unfinished tasks: at most ${limit}` },
  });
}

/**
 * There is no such task, or none any more.
 *
 * @param purged Tasks as old as this id says are no longer kept.
 */
export function taskNotFound(taskId: string, purged: boolean): FleetError {
  const metadata = { task_id: taskId };
  if (purged) {
    const message = `there is no task ${quoted(taskId)} any more, if there ever was: tasks of its age have been purged; ask for a result sooner after its end`;
    return new FleetError(Code.NOT_FOUND, 'PURGED', message, { metadata });
  }
  const message = `there is no task ${quoted(taskId)}; look at the id, and at which coordinator you ask`;
  return new FleetError(Code.NOT_FOUND, 'TASK_NOT_FOUND', message, { metadata });
}

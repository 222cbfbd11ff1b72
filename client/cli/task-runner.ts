import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { PayloadView, type Failure, type Payload } from '../../proto/gen/remuda/v1/payload_pb.js';
import type { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { OnAbandon, TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';
import type { RpcChannel } from '../rpc.js';
import type { Absence } from './absence.js';
import type { TaskRequest } from './task-request.js';
import { hasEnded } from './task-text.js';

/** How a task ended. */
export interface EndedTask {
  readonly state: TaskState;
  /** What its handler returned, when SUCCEEDED; undefined means JSON null. */
  readonly result?: Payload | undefined;
  /** Why, when it ended otherwise. */
  readonly failure?: Failure | undefined;
}

/** Runs tasks to their end, many at once. */
export interface TaskRunner {
  /**
   * Submits a task and waits for its end, over restarts of the coordinator. Who stops waiting leaves the task as it is.
   *
   * @throws FleetError if the task is refused or the coordinator stays away; CANCELLED or AbortError once `signal` is aborted
   */
  run(task: TaskRequest, signal: AbortSignal): Promise<EndedTask>;
}

/** Runs each task by a RunTask call of its own. */
export function rpcTaskRunner(channel: RpcChannel, absence: Absence): TaskRunner {
  return {
    run: async (task, signal) => {
      for (;;) {
        try {
          const { task: ended } = await channel.call(
            TaskService.method.runTask,
            { task, onAbandon: OnAbandon.KEEP, payloadView: PayloadView.DATA },
            // No gRPC deadline: it would become the task's own.
            { timeoutMs: null, signal, onMetadata: () => absence.answered() },
          );
          if (ended !== undefined && hasEnded(ended.state)) return ended;
          const message = `the coordinator answered before task ${task.taskId} had ended, which is a bug; please report it`;
          throw new FleetError(Code.INTERNAL, 'NO_ENDED_TASK', message);
        } catch (error) {
          await absence.bear(error, signal);
        }
      }
    },
  };
}

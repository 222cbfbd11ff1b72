import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../proto/fleet-error.js';
import { PayloadView } from '../proto/gen/remuda/v1/payload_pb.js';
import { TaskService } from '../proto/gen/remuda/v1/task_service_pb.js';
import { hasEnded, taskInfo, type TaskInfo } from './task-info.js';
import type { UnaryCalls } from './unary-calls.js';

/** The coordinator does not know where the watch had been: it begins with the task as it stands. */
const INVALID_RESUME_TOKEN = 'INVALID_RESUME_TOKEN';

/**
 * A task as it stands, and again after each change, until it has ended. A watch that breaks is taken up where it was; before
 * its first answer it gives up as any other call.
 */
export async function* watchTask(
  calls: UnaryCalls,
  taskId: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<TaskInfo, void, undefined> {
  const tries = calls.retries();
  let resumeToken = '';
  for (;;) {
    let failure: FleetError;
    try {
      const request = { taskId, resumeToken, payloadView: PayloadView.DATA };
      for await (const answer of calls.stream(TaskService.method.watchTask, request, signal)) {
        tries.reset();
        resumeToken = answer.resumeToken;
        if (answer.task === undefined) continue;
        const info = taskInfo(answer.task);
        yield info;
        if (hasEnded(info.state)) return;
      }
      const message = 'the coordinator ended the watch before the task had ended; watch again';
      failure = new FleetError(Code.UNAVAILABLE, 'COORDINATOR_STOPPING', message);
    } catch (error) {
      failure = FleetError.from(error);
    }
    if (failure.reason === INVALID_RESUME_TOKEN && resumeToken !== '') resumeToken = '';
    else await tries.next(failure, signal);
  }
}

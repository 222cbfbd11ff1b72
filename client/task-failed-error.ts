import { quoted } from '../proto/fleet-error.js';
import type { Task } from '../proto/gen/remuda/v1/task_pb.js';
import { taskInfo, type AttemptInfo, type TaskInfo, type TaskStateName } from './task-info.js';

/** A task that was waited for has ended otherwise than SUCCEEDED. */
export class TaskFailedError extends Error {
  override readonly name = 'TaskFailedError';
  readonly taskId: string;
  /** CANCELLED, EXPIRED or DEAD_LETTERED. */
  readonly state: TaskStateName;
  /** Why, UPPER_SNAKE_CASE: HANDLER_ERROR, TIMED_OUT, POISON, CANCELLED, or what the handler said. */
  readonly reason: string;
  /** Every attempt, oldest first; the newest 20 if there were more. */
  readonly attempts: readonly AttemptInfo[];
  /** The task, without its payload. */
  readonly task: TaskInfo;

  constructor(task: TaskInfo) {
    const { taskId, type, state, failure, attempts, attempt } = task;
    const reason = failure?.reason ?? state;
    const why = failure === undefined ? '' : `: ${failure.reason}: ${failure.message}`;
    const workers = [...new Set(attempts.map(({ workerId }) => workerId))].slice(0, 3).map(quoted).join(', ');
    const after = attempt === 0 ? 'before it had run' : `after ${attempt} ${attempt === 1 ? 'attempt' : 'attempts'}`;
    super(`task ${taskId} of type ${type} ended ${state} ${after}${workers === '' ? '' : ` (${workers})`}${why}`);
    this.taskId = taskId;
    this.state = state;
    this.reason = reason;
    this.attempts = attempts;
    this.task = task;
  }

  static of(task: Task): TaskFailedError {
    return new TaskFailedError(taskInfo(task));
  }
}

/** True for a {@link TaskFailedError}. */
export function isTaskFailedError(error: unknown): error is TaskFailedError {
  return error instanceof TaskFailedError;
}

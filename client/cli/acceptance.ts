import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { shortReason } from '../foreign-server.js';
import { CONNECTION_LOST } from '../rpc.js';

/** What is known of a task at the coordinator. `sent`: it may be there, or not. */
export type Reached = 'nothing' | 'sent' | 'accepted';

/** A task that was submitted. */
export interface SubmittedTask {
  /** The coordinator's. */
  readonly address: string;
  readonly taskId: string;
  /** The command that shows the task later. */
  readonly getLine: string;
}

/** True for an error after which the task of a submit may be there, or not: the call was sent, and its answer is missing. */
export function isAnswerMissing(error: unknown): boolean {
  const { code, reason } = FleetError.from(error);
  return reason === CONNECTION_LOST || code === Code.DEADLINE_EXCEEDED;
}

/** The error of a submit whose answer is missing, with what makes a repeat safe. Code and reason stay. */
export function answerMissing(task: SubmittedTask, error: unknown): FleetError {
  const { code, reason } = FleetError.from(error);
  const metadata = { task_id: task.taskId };
  return new FleetError(code, reason, notAcceptedText(task, 'sent', whyMissing(error)), { metadata, cause: error });
}

/** A sentence about a task that the coordinator has not accepted as far as is known. `why`: what ended the wait for it. */
export function notAcceptedText({ address, taskId, getLine }: SubmittedTask, reached: Reached, why: string): string {
  if (reached === 'nothing') {
    return `not submitted: ${why} while connecting to the coordinator at ${address}; check that one runs there, and submit again`;
  }
  return (
    `${why}: the coordinator at ${address} has not said whether it accepted task ${taskId}; see with: ${getLine}, ` +
    `or submit again with --task-id ${taskId}, which makes it the same task`
  );
}

function whyMissing(error: unknown): string {
  const { code, reason, message, cause } = FleetError.from(error);
  if (code === Code.DEADLINE_EXCEEDED) return 'no answer in time';
  if (reason !== CONNECTION_LOST) return message;
  return `the connection was lost${cause instanceof Error ? ` (${shortReason(cause.message)})` : ''}`;
}

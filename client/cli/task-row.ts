import { toJson } from '@bufbuild/protobuf';
import { PayloadSchema, type Payload } from '../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { isJson } from '../../proto/payload-content.js';
import { parseJson, payloadContent } from '../../proto/payload.js';
import { enumName } from './enum-name.js';
import type { EndedTask } from './task-runner.js';

/** Reason of a row whose task was sent and is not waited for any more. */
export const NOT_AWAITED = 'NOT_AWAITED';

/** What a row of `submit --each` says beside the line's number. */
export interface TaskRow {
  readonly task_id?: string;
  readonly state?: string;
  /** JSON text, as it came: a number keeps all its digits. */
  readonly resultText?: string;
  readonly error?: { readonly reason: string; readonly message: string };
}

/** The row of a task that has ended. */
export function endedRow(taskId: string, { state, result, failure }: EndedTask): TaskRow {
  const name = enumName(TaskState, state);
  if (state === TaskState.SUCCEEDED) return { task_id: taskId, state: name, resultText: resultText(result) };
  const { reason = '', message = '' } = failure ?? {};
  return { task_id: taskId, state: name, error: { reason, message } };
}

/** A result as JSON on one line; one that is no JSON as the contract's Payload. */
function resultText(payload: Payload | undefined): string {
  const { contentType, data } = payloadContent(payload);
  if (payload === undefined || !isJson(contentType) || parseJson(data) === undefined) {
    return payload === undefined ? 'null' : JSON.stringify(toJson(PayloadSchema, payload));
  }
  // Line ends stand between tokens only: within a string JSON has them escaped.
  return new TextDecoder()
    .decode(data)
    .replace(/[\r\n]+/g, ' ')
    .trim();
}

/** A row as a line of JSON. `line`: the number of its line in the input. */
export function rowText(line: number, { task_id, state, resultText: result, error }: TaskRow): string {
  const head = JSON.stringify({ line, task_id, state, error });
  return result === undefined ? `${head}\n` : `${head.slice(0, -1)},"result":${result}}\n`;
}

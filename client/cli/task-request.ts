import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { SubmitTaskRequestSchema } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { JSON_CONTENT_TYPE } from '../../proto/payload-content.js';

/** What goes to the coordinator, with an id of its own, so that it can be sent again. */
export type TaskRequest = MessageInitShape<typeof SubmitTaskRequestSchema> & { readonly taskId: string };

/** What a command line says about how a task is to be run. Unset: the coordinator's default. */
export interface TaskSettings {
  readonly priority?: number;
  /** Of one attempt, in milliseconds. */
  readonly timeout?: number;
  /** Not before this moment, in milliseconds since 1970. */
  readonly runAt?: number;
  readonly label?: Readonly<Record<string, string>>;
}

/** A task as it is submitted. `data`: its payload as JSON text; undefined for null. */
export function taskRequest(
  taskId: string,
  type: string,
  data: Uint8Array | undefined,
  { priority, timeout, runAt, label }: TaskSettings,
): TaskRequest {
  return {
    taskId,
    type,
    options: {
      ...(priority === undefined ? {} : { priority }),
      ...(timeout === undefined ? {} : { timeout: durationFromMs(timeout) }),
      ...(runAt === undefined ? {} : { runTime: timestampFromMs(runAt) }),
      ...(label === undefined ? {} : { requiredLabels: { ...label } }),
    },
    ...(data === undefined
      ? {}
      : { payload: { contentType: JSON_CONTENT_TYPE, body: { case: 'data' as const, value: data } } }),
  };
}

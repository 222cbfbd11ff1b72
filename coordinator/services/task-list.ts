import { create } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { TASK_TYPE_PATTERN } from '../../proto/bounds.js';
import { FleetError, quoted, type FieldViolation } from '../../proto/fleet-error.js';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import {
  ListTasksResponseSchema,
  type ListTasksRequest,
  type ListTasksResponse,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { TASK_STATES, type TaskState as CoreState } from '../core/task.js';
import type { Engine } from '../engine.js';
import { askOnce, INPUT_BYTES, unexpectedReply, type AskedEngine } from './asking.js';
import { pageToken, parsePage } from './pages.js';
import { taskView } from './task-view.js';

/** Rows that one page looks at: a filter that fits few must not make one call read the whole store. */
const MAX_LOOKED = 20_000;
/** Payloads and results of a page, but for its last task: so that all stay within the 4 MiB that clients of gRPC take by default. */
const MAX_PAGE_BYTES = 1_048_576;
/** How many times as large JSON may be as a google.protobuf.Value: each number takes 9 bytes and two lengths. */
const VALUE_FACTOR = 8;

/**
 * One page of tasks.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_PAGE or INVALID_FILTER; UNAVAILABLE / STORE_UNAVAILABLE
 */
export async function listTasks(
  engine: AskedEngine & Pick<Engine, 'listTasks'>,
  request: ListTasksRequest,
): Promise<ListTasksResponse> {
  const { type } = request;
  const states = parseFilter(request);
  const filter = JSON.stringify([states, type]);
  const { after, limit } = parsePage(request, (token) => seqOf(token, filter) !== undefined);
  const view = request.payloadView === PayloadView.UNSPECIFIED ? PayloadView.NONE : request.payloadView;
  const page = await engine.listTasks({
    beforeSeq: seqOf(after, filter) ?? null,
    states,
    type: type === '' ? null : type,
    limit,
    bodies: view !== PayloadView.NONE,
    maxLooked: MAX_LOOKED,
    maxBytes: view === PayloadView.VALUE ? MAX_PAGE_BYTES / VALUE_FACTOR : MAX_PAGE_BYTES,
  });
  if (page.kind === 'refused') {
    const message = `the store cannot be listed now: ${page.message}`;
    throw new FleetError(Code.UNAVAILABLE, 'STORE_UNAVAILABLE', message, { retryDelayMs: 1_000 });
  }
  const { tasks, nextSeq } = page;
  const taskIds = tasks.map(({ row }) => row.taskId);
  const known = await askOnce(engine, (token) => ({ kind: 'explain', token, taskIds }), taskIds.length * INPUT_BYTES);
  if (known.kind !== 'explained') throw unexpectedReply(known);
  return create(ListTasksResponseSchema, {
    tasks: tasks.map((task) => {
      const { waiting = null, progress = null } = known.tasks.get(task.row.taskId) ?? {};
      return taskView({ kind: 'task', task, waiting, progress }, view);
    }),
    nextPageToken: nextSeq === null ? '' : pageToken(`${nextSeq} ${filter}`),
  });
}

function parseFilter({ states, type }: ListTasksRequest): CoreState[] {
  const faults: FieldViolation[] = [];
  if (type !== '' && !TASK_TYPE_PATTERN.test(type)) {
    const description = `is ${quoted(type)}; it must be empty, or 1 to 127 of \`[A-Za-z0-9._:/-]\`, a letter or digit first`;
    faults.push({ field: 'type', description });
  }
  const known = TASK_STATES.filter((name) => states.includes(TaskState[name]));
  const strange = states.filter((state) => !TASK_STATES.some((name) => TaskState[name] === state));
  if (strange.length > 0) {
    const description = `has ${strange.slice(0, 8).join(', ')}; it must have states of a task: ${TASK_STATES.join(', ')}`;
    faults.push({ field: 'states', description });
  }
  if (faults.length > 0) throw FleetError.invalid('INVALID_FILTER', faults);
  return known;
}

/** The place that a token holds; undefined: it is none of ours, or of another filter. */
function seqOf(token: string, filter: string): number | undefined {
  const match = /^(\d{1,15}) (.*)$/.exec(token);
  return match?.[2] === filter ? Number(match[1]) : undefined;
}

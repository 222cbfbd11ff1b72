import { TASK_TYPE_PATTERN } from '../proto/bounds.js';
import { PayloadView } from '../proto/gen/remuda/v1/payload_pb.js';
import { TaskState } from '../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../proto/gen/remuda/v1/task_service_pb.js';
import { OptionFaults, shown } from './option-faults.js';
import { taskInfo, type TaskInfo } from './task-info.js';
import type { UnaryCalls } from './unary-calls.js';

const PAGE_SIZE_MAX = 1_000;

/**
 * The tasks that fit, page by page. The options are checked at once.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_OPTIONS with every fault in one message
 */
export function listTasks(calls: UnaryCalls, options: unknown): AsyncGenerator<TaskInfo, void, undefined> {
  const faults = new OptionFaults('options.');
  const given = faults.object('', options, ['states', 'type', 'pageSize', 'payloads', 'signal']);
  const isType = (text: string): boolean => TASK_TYPE_PATTERN.test(text);
  const filter = {
    states: readStates(given['states'], faults),
    type: faults.text('type', given['type'], isType, 'a task type') ?? '',
    pageSize: faults.integer('pageSize', given['pageSize'], 1, PAGE_SIZE_MAX) ?? 0,
    payloadView: faults.boolean('payloads', given['payloads']) === true ? PayloadView.DATA : PayloadView.NONE,
  };
  const signal = faults.signal('signal', given['signal']);
  faults.throwIfAny('INVALID_OPTIONS');
  return pages(calls, filter, signal);
}

type Filter = Readonly<Record<'type', string>> & {
  readonly states: TaskState[];
  readonly pageSize: number;
  readonly payloadView: PayloadView;
};

async function* pages(
  calls: UnaryCalls,
  filter: Filter,
  signal: AbortSignal | undefined,
): AsyncGenerator<TaskInfo, void, undefined> {
  let pageToken = '';
  do {
    const page = await calls.call(TaskService.method.listTasks, { ...filter, pageToken }, { signal });
    for (const task of page.tasks) yield taskInfo(task);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
}

function readStates(given: unknown, faults: OptionFaults): TaskState[] {
  if (given === undefined) return [];
  if (!Array.isArray(given)) {
    faults.add('states', `is ${shown(given)}; it must be an array of states`);
    return [];
  }
  return (given as unknown[]).flatMap((name) => {
    const state = typeof name === 'string' ? TaskState[name as keyof typeof TaskState] : undefined;
    if (typeof state === 'number' && state !== TaskState.UNSPECIFIED) return [state];
    const names = Object.keys(TaskState).filter((key) => /^[A-Z_]+$/.test(key) && key !== 'UNSPECIFIED');
    faults.add('states', `has ${shown(name)}; states are ${names.join(', ')}`);
    return [];
  });
}

import { FleetError } from '../../proto/fleet-error.js';
import { OptionFaults, shown } from '../../client/option-faults.js';
import type { RunOptions } from '../../client/submit-options.js';
import { DAY_MS, MAX_ATTEMPTS, MAX_PRIORITY, MAX_WALL_MS, TASK_TYPE_PATTERN } from '../../proto/bounds.js';

/** A task of a pool as its client takes it. */
export interface PoolCall {
  readonly type: string;
  readonly payload: unknown;
  readonly options: RunOptions & { readonly taskId: string };
}

/** Names of the fields that submitTask() reads. */
const FIELDS = [
  'type',
  'payload',
  'priority',
  'timeout',
  'deadline',
  'maxAttempts',
  'retry',
  'taskId',
  'metadata',
  'signal',
];
/** Where the client has them. */
const CLIENT_PREFIX = 'options.';
/** A point in time before September 2001, in milliseconds since 1970, is a span that was taken for one. */
const DEADLINE_MIN_MS = 1_000_000_000_000;

/**
 * Reads a task.
 *
 * @param onUnknown told of each field that is not known: programs hand over objects of their own, with more in them
 * @throws FleetError INVALID_ARGUMENT / INVALID_TASK with every fault in one message, but for those of `taskId`, `retry` and
 *   `metadata`, which the client checks
 */
export function readPoolTask(
  task: unknown,
  {
    taskTimeout,
    newTaskId,
    onUnknown,
  }: { taskTimeout: number; newTaskId: () => string; onUnknown: (field: string) => void },
): PoolCall {
  const faults = new OptionFaults();
  const isObject = typeof task === 'object' && task !== null;
  const given = faults.object('task', task ?? null, isObject ? Object.keys(task) : []);
  for (const field of Object.keys(given)) if (!FIELDS.includes(field)) onUnknown(field);
  const { payload = null, retry, metadata } = given;
  const type = readType(given['type'], faults);
  const taskId = faults.text('taskId', given['taskId'], (text) => text !== '', 'a UUID') ?? newTaskId();
  const priority = faults.integer('priority', given['priority'], 0, MAX_PRIORITY);
  const maxAttempts = faults.integer('maxAttempts', given['maxAttempts'], 1, MAX_ATTEMPTS);
  const timeoutMs = faults.integer('timeout', given['timeout'], 1, DAY_MS, 'milliseconds') ?? taskTimeout;
  const deadline = readDeadline(given['deadline'], faults);
  const signal = faults.signal('signal', given['signal']);
  faults.throwIfAny('INVALID_TASK');
  const optional = { priority, maxAttempts, deadline, signal, retry, metadata };
  const options = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  return { type, payload, options: { ...options, taskId, timeoutMs } };
}

/** What the client found wrong with a task, by the names that the pool has for it. */
export function inWordsOfPool(error: FleetError): FleetError {
  const { reason, violations } = error;
  if (!violations.some(({ field }) => field.startsWith(CLIENT_PREFIX))) return error;
  const renamed = violations.map(({ field, description }) => ({
    field: field.startsWith(CLIENT_PREFIX) ? field.slice(CLIENT_PREFIX.length) : field,
    description,
  }));
  return FleetError.invalid(reason, renamed, { cause: error });
}

function readType(given: unknown, faults: OptionFaults): string {
  const form = '1 to 127 characters of A-Z a-z 0-9 . _ : / -, beginning with a letter or digit';
  const type = faults.text('type', given, (text) => TASK_TYPE_PATTERN.test(text), form);
  if (given === undefined) faults.add('type', 'is missing; it names the handler that is to run');
  return type ?? '';
}

function readDeadline(given: unknown, faults: OptionFaults): Date | undefined {
  if (typeof given !== 'number') return faults.date('deadline', given);
  if (given >= DEADLINE_MIN_MS && given <= MAX_WALL_MS) return new Date(given);
  const advice = 'for a span write Date.now() + milliseconds';
  return faults.add(
    'deadline',
    `is ${shown(given)}; it must be a Date, or a point in time in milliseconds since 1970: ${advice}`,
  );
}

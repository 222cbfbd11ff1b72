import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate, timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  DAY_MS,
  FAILURE_REASON_PATTERN,
  HOUR_MS,
  KEY_PATTERN,
  MAX_ATTEMPTS,
  MAX_LABEL_VALUE_CHARS,
  MAX_METADATA_ENTRIES,
  MAX_METADATA_VALUE_BYTES,
  MAX_NON_RETRYABLE_REASONS,
  MAX_PRIORITY,
  MAX_REQUIRED_LABELS,
  MAX_WALL_MS,
  TASK_TYPE_PATTERN,
  TRACEPARENT_PATTERN,
  UUID_PATTERN,
} from '../proto/bounds.js';
import { FleetError } from '../proto/fleet-error.js';
import { PayloadSchema } from '../proto/gen/remuda/v1/payload_pb.js';
import {
  RetryPolicySchema,
  TaskOptionsSchema,
  type RetryPolicy,
  type TaskOptions as TaskOptionsMessage,
} from '../proto/gen/remuda/v1/task_pb.js';
import { SubmitTaskRequestSchema, type SubmitTaskRequest } from '../proto/gen/remuda/v1/task_service_pb.js';
import { BYTES_CONTENT_TYPE, isJson, JSON_CONTENT_TYPE } from '../proto/payload-content.js';
import { MAX_CONTENT_TYPE_CHARS } from '../proto/payload.js';
import { OptionFaults, shown } from './option-faults.js';
import { encodePayload } from './payload-value.js';
import type { OnAbandon } from './stream-call.js';

/** A task ready for a frame. */
export interface EncodedTask {
  /** In lower case, as answers name it. */
  readonly taskId: string;
  readonly task: SubmitTaskRequest;
  /** What it takes in a frame, about. */
  readonly bytes: number;
  /**
   * The task's deadline in monotonic milliseconds; Infinity without one. Also if it has passed already: a repeat of a task that
   * the coordinator knows is the same task whatever the time, and of another the coordinator says what is wrong.
   */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onAbandon: OnAbandon;
}

/** What encoding needs to know beside the task. */
export interface EncodeTerms {
  readonly maxPayloadBytes: number;
  /** Monotonic milliseconds. */
  readonly nowMs: number;
  /** Milliseconds since 1970, for spans from now. */
  readonly nowWallMs: number;
  readonly newTaskId: () => string;
}

const TASK_OPTIONS = [
  ...['taskId', 'priority', 'requiredLabels', 'timeoutMs', 'deadlineMs', 'deadline', 'runAt', 'maxAttempts', 'retry'],
  ...['metadata', 'traceparent', 'contentType', 'signal'],
];
/** What submit() takes. */
export const SUBMIT_OPTION_NAMES: readonly string[] = TASK_OPTIONS;
/** What run() takes. */
export const RUN_OPTION_NAMES: readonly string[] = [...TASK_OPTIONS, 'onAbandon'];

/** What a task takes in a frame besides its payload and its own texts, generously. */
const TASK_BYTES = 256;
const KEYS = '1 to 63 characters of A-Z a-z 0-9 . _ / -, other than __proto__';

/**
 * Checks a task as its submitter writes it, and encodes it. What it is made of is copied: later changes have no effect.
 *
 * @param optionNames what the options may be
 * @throws FleetError INVALID_ARGUMENT / INVALID_TASK with every fault in one message; with the payload as the only fault
 *   PAYLOAD_NOT_JSON or PAYLOAD_TOO_LARGE
 */
export function encodeTask(
  type: unknown,
  payload: unknown,
  options: unknown,
  optionNames: readonly string[],
  terms: EncodeTerms,
): EncodedTask {
  const faults = new OptionFaults('options.');
  const given = faults.object('', options, optionNames);
  const typeText = readType(type, faults);
  const contentType = readContentType(given['contentType'], payload instanceof Uint8Array, faults);
  const body = encodePayload(payload, terms.maxPayloadBytes);
  const taskId = faults.text('taskId', given['taskId'], (text) => UUID_PATTERN.test(text), 'a UUID');
  const signal = faults.signal('signal', given['signal']);
  const onAbandon = faults.word('onAbandon', given['onAbandon'], ['cancel', 'keep'] as const);
  const message = readOptions(given, terms.nowWallMs, faults);
  if ('reason' in body) {
    faults.violations.unshift(body.violation);
    faults.throwIfAny(faults.violations.length === 1 ? body.reason : 'INVALID_TASK');
    throw new Error('unreachable: a fault was just added');
  }
  faults.throwIfAny('INVALID_TASK');
  const task = create(SubmitTaskRequestSchema, {
    taskId: taskId?.toLowerCase() ?? terms.newTaskId(),
    type: typeText,
    payload: create(PayloadSchema, { contentType, body: { case: 'data', value: body.data } }),
    options: message,
  });
  const bytes = TASK_BYTES + task.type.length + body.data.byteLength + textBytes(message);
  const leftMs = message.deadline === undefined ? Infinity : timestampMs(message.deadline) - terms.nowWallMs;
  const deadlineMs = leftMs > 0 ? terms.nowMs + leftMs : Infinity;
  return { taskId: task.taskId, task, bytes, deadlineMs, signal, onAbandon: onAbandon ?? 'cancel' };
}

/** @throws FleetError INVALID_ARGUMENT / INVALID_TASK_ID */
export function readTaskId(taskId: unknown): string {
  if (typeof taskId === 'string' && UUID_PATTERN.test(taskId)) return taskId.toLowerCase();
  throw FleetError.invalid('INVALID_TASK_ID', [
    { field: 'taskId', description: `is ${shown(taskId)}; it must be a UUID` },
  ]);
}

/** The type is no option: its fault has no prefix. */
function readType(type: unknown, faults: OptionFaults): string {
  if (typeof type === 'string' && TASK_TYPE_PATTERN.test(type)) return type;
  const form = '1 to 127 characters of A-Z a-z 0-9 . _ : / -, beginning with a letter or digit';
  faults.violations.push({ field: 'type', description: `is ${shown(type)}; it must be ${form}` });
  return '';
}

function readContentType(given: unknown, isBytes: boolean, faults: OptionFaults): string {
  const form = `a media type of 1 to ${MAX_CONTENT_TYPE_CHARS} characters`;
  const fits = (text: string): boolean => text !== '' && text.length <= MAX_CONTENT_TYPE_CHARS;
  const said = faults.text('contentType', given, fits, form);
  if (!isBytes && said !== undefined && !isJson(said)) {
    faults.add('contentType', `is ${shown(said)}, but the payload is no Uint8Array; other values are sent as JSON`);
  }
  return said ?? (isBytes ? BYTES_CONTENT_TYPE : JSON_CONTENT_TYPE);
}

function readOptions(
  given: Readonly<Record<string, unknown>>,
  nowWallMs: number,
  faults: OptionFaults,
): TaskOptionsMessage {
  const message = create(TaskOptionsSchema);
  const priority = faults.integer('priority', given['priority'], 0, MAX_PRIORITY);
  if (priority !== undefined) message.priority = priority;
  const timeoutMs = faults.integer('timeoutMs', given['timeoutMs'], 1, DAY_MS, 'milliseconds');
  if (timeoutMs !== undefined) message.timeout = durationFromMs(timeoutMs);
  const deadlineWallMs = readDeadline(given, nowWallMs, faults);
  if (deadlineWallMs !== undefined) message.deadline = timestampFromMs(deadlineWallMs);
  const runAt = faults.date('runAt', given['runAt']);
  if (runAt !== undefined) message.runTime = timestampFromDate(runAt);
  const retry = readRetry(given, faults);
  if (retry !== undefined) message.retryPolicy = retry;
  message.requiredLabels = readMap('requiredLabels', given['requiredLabels'], MAX_REQUIRED_LABELS, faults, (value) =>
    value.length <= MAX_LABEL_VALUE_CHARS ? undefined : `at most ${MAX_LABEL_VALUE_CHARS} characters`,
  );
  message.metadata = readMap('metadata', given['metadata'], MAX_METADATA_ENTRIES, faults, (value) =>
    Buffer.byteLength(value) <= MAX_METADATA_VALUE_BYTES ? undefined : `at most ${MAX_METADATA_VALUE_BYTES} bytes`,
  );
  const form = 'of the form 00-<32 hex>-<16 hex>-<2 hex>';
  const isTrace = (text: string): boolean => text === '' || TRACEPARENT_PATTERN.test(text);
  message.traceparent = faults.text('traceparent', given['traceparent'], isTrace, form) ?? '';
  return message;
}

function readDeadline(
  given: Readonly<Record<string, unknown>>,
  nowWallMs: number,
  faults: OptionFaults,
): number | undefined {
  const spanMs = faults.integer('deadlineMs', given['deadlineMs'], 1, MAX_WALL_MS - nowWallMs, 'milliseconds from now');
  const deadline = faults.date('deadline', given['deadline']);
  if (given['deadlineMs'] !== undefined && given['deadline'] !== undefined) {
    return faults.add('deadline', 'and deadlineMs are both given; give one of them');
  }
  return spanMs === undefined ? deadline?.getTime() : Math.round(nowWallMs + spanMs);
}

function readRetry(given: Readonly<Record<string, unknown>>, faults: OptionFaults): RetryPolicy | undefined {
  if (given['retry'] === undefined && given['maxAttempts'] === undefined) return undefined;
  const names = ['maxAttempts', 'initialBackoffMs', 'maxBackoffMs', 'nonRetryableReasons'];
  const retry = faults.object('retry', given['retry'], names);
  const policy = create(RetryPolicySchema);
  const short = faults.integer('maxAttempts', given['maxAttempts'], 1, MAX_ATTEMPTS);
  const long = faults.integer('retry.maxAttempts', retry['maxAttempts'], 1, MAX_ATTEMPTS);
  if (given['maxAttempts'] !== undefined && retry['maxAttempts'] !== undefined) {
    faults.add('maxAttempts', 'and retry.maxAttempts are both given; give one of them');
  }
  policy.maxAttempts = short ?? long ?? 0;
  const firstMs = faults.integer('retry.initialBackoffMs', retry['initialBackoffMs'], 1, HOUR_MS, 'milliseconds');
  if (firstMs !== undefined) policy.initialBackoff = durationFromMs(firstMs);
  const lastMs = faults.integer('retry.maxBackoffMs', retry['maxBackoffMs'], 1, DAY_MS, 'milliseconds');
  if (lastMs !== undefined) policy.maxBackoff = durationFromMs(lastMs);
  const reasons = retry['nonRetryableReasons'] ?? [];
  if (!Array.isArray(reasons) || reasons.length > MAX_NON_RETRYABLE_REASONS) {
    const found = Array.isArray(reasons) ? `has ${reasons.length} entries` : `is ${shown(reasons)}`;
    faults.add('retry.nonRetryableReasons', `${found}; it must be an array of at most ${MAX_NON_RETRYABLE_REASONS}`);
    return policy;
  }
  for (const reason of reasons as unknown[]) {
    if (typeof reason === 'string' && FAILURE_REASON_PATTERN.test(reason)) policy.nonRetryableReasons.push(reason);
    else faults.add('retry.nonRetryableReasons', `has ${shown(reason)}; a reason is UPPER_SNAKE_CASE, at most 63 long`);
  }
  return policy;
}

/** `faultOf` says what a value must have, if it has not. */
function readMap(
  field: string,
  value: unknown,
  maxEntries: number,
  faults: OptionFaults,
  faultOf: (value: string) => string | undefined,
): Record<string, string> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.add(field, `is ${shown(value)}; it must be an object from keys to texts`);
    return {};
  }
  const entries = Object.entries(value);
  if (entries.length > maxEntries)
    faults.add(field, `has ${entries.length} entries; at most ${maxEntries} are allowed`);
  const read: Record<string, string> = {};
  for (const [key, text] of entries.slice(0, maxEntries) as [string, unknown][]) {
    if (!KEY_PATTERN.test(key)) faults.add(field, `has the key ${shown(key)}; a key is ${KEYS}`);
    if (typeof text !== 'string') faults.add(`${field}[${shown(key)}]`, `is ${shown(text)}; it must be a string`);
    else if (faultOf(text) !== undefined) faults.add(`${field}[${shown(key)}]`, `is too long: ${faultOf(text) ?? ''}`);
    else read[key] = text;
  }
  return read;
}

function textBytes({ metadata, requiredLabels }: TaskOptionsMessage): number {
  let bytes = 0;
  for (const map of [metadata, requiredLabels]) {
    for (const [key, text] of Object.entries(map)) bytes += key.length + text.length * 3 + 8;
  }
  return bytes;
}

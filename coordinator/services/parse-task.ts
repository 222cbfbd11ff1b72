import { createHash } from 'node:crypto';
import { durationMs, timestampMs, type Duration, type Timestamp } from '@bufbuild/protobuf/wkt';
import { v7 as uuidv7 } from 'uuid';
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
} from '../../proto/bounds.js';
import { FleetError, quoted, type FieldViolation } from '../../proto/fleet-error.js';
import type { RetryPolicy as RetryPolicyMessage, TaskOptions } from '../../proto/gen/remuda/v1/task_pb.js';
import type { SubmitTaskRequest } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { MAX_CONTENT_TYPE_CHARS, ownBytes, payloadContent, requireJson } from '../../proto/payload.js';
import type { Content, RetryPolicy, TaskBody, TaskSpec } from '../core/task.js';

/** What a submit says, checked, defaults filled in. */
export interface ParsedTask {
  readonly taskId: string;
  readonly spec: TaskSpec;
  readonly body: TaskBody;
  /** Tells a repeat of the same submit from another one under the same id. */
  readonly digest: string;
}

/** What parsing needs to know beside the request. */
export interface ParseContext {
  readonly maxPayloadBytes: number;
  /** Taken as the task's deadline if the request names none. Not part of what a repeat must repeat. */
  readonly callDeadlineWallMs?: number | undefined;
}

/** Defaults of a task's options, as the contract states them. */
const DEFAULTS = {
  priority: 10,
  timeoutMs: 300_000,
  maxAttempts: 3,
  initialBackoffMs: 200,
  maxBackoffMs: 30_000,
} as const;

/** Larger payloads are looked into by the worker: a parse of 1 MiB would hold up everybody for some milliseconds. */
const CHECKED_JSON_BYTES = 64 * 1024;
const TYPE_FORM = '1 to 127 of `[A-Za-z0-9._:/-]`, a letter or digit first';

/**
 * Checks a submit as a whole, so that every fault is in one answer.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_TASK, PAYLOAD_TOO_LARGE or PAYLOAD_NOT_JSON
 */
export function parseTask(request: SubmitTaskRequest | undefined, context: ParseContext): ParsedTask {
  if (request === undefined) throw invalid([{ field: 'task', description: 'is not set; say what is to be run' }]);
  const faults: FieldViolation[] = [];
  const { taskId, type, options } = request;
  if (taskId !== '' && !UUID_PATTERN.test(taskId)) {
    const description = `is ${quoted(taskId)}; it must be a UUID, or empty to have one made`;
    faults.push({ field: 'task_id', description });
  }
  if (!TASK_TYPE_PATTERN.test(type)) {
    faults.push({ field: 'type', description: `is ${quoted(type)}; it must be ${TYPE_FORM}` });
  }
  const payload = parsePayload(request, context.maxPayloadBytes, faults);
  const spec = parseSpec(type, options, faults);
  const metadata = { ...options?.metadata };
  checkMetadata(metadata, faults);
  const traceparent = options?.traceparent ?? '';
  if (traceparent !== '' && !TRACEPARENT_PATTERN.test(traceparent)) {
    const description = `is ${quoted(traceparent)}; it must be empty or \`00-<32 hex>-<16 hex>-<2 hex>\``;
    faults.push({ field: 'options.traceparent', description });
  }
  if (faults.length > 0) throw invalid(faults);
  const body: TaskBody = { payload, metadata, traceparent };
  const digest = digestOf(spec, body, request.payload?.body.case === 'value');
  const { callDeadlineWallMs } = context;
  return {
    taskId: taskId === '' ? uuidv7() : taskId.toLowerCase(),
    spec: { ...spec, deadlineWallMs: spec.deadlineWallMs ?? callDeadlineWallMs ?? null },
    body,
    digest,
  };
}

/**
 * Checks the id of a task that is asked for.
 *
 * @throws FleetError INVALID_ARGUMENT / INVALID_TASK_ID
 */
export function parseTaskId(taskId: string): string {
  if (UUID_PATTERN.test(taskId)) return taskId.toLowerCase();
  const description = `is ${quoted(taskId)}; it must be the UUID that the submit answered with`;
  throw FleetError.invalid('INVALID_TASK_ID', [{ field: 'task_id', description }]);
}

function invalid(faults: readonly FieldViolation[]): FleetError {
  return FleetError.invalid('INVALID_TASK', faults);
}

function parsePayload(request: SubmitTaskRequest, maxPayloadBytes: number, faults: FieldViolation[]): Content {
  const { contentType, data } = payloadContent(request.payload);
  if (data.byteLength > maxPayloadBytes) {
    const description = `has ${data.byteLength} bytes; at most ${maxPayloadBytes} are allowed: pass a reference to it, or start the coordinator with a larger --max-payload-bytes`;
    throw FleetError.invalid('PAYLOAD_TOO_LARGE', [{ field: 'payload', description }], {
      metadata: { size_bytes: String(data.byteLength), limit_bytes: String(maxPayloadBytes) },
    });
  }
  if (contentType.length > MAX_CONTENT_TYPE_CHARS) {
    const description = `has ${contentType.length} characters; at most ${MAX_CONTENT_TYPE_CHARS} are allowed`;
    faults.push({ field: 'payload.content_type', description });
  }
  if (request.payload?.body.case === 'data' && data.byteLength <= CHECKED_JSON_BYTES) {
    requireJson({ contentType, data });
  }
  return { contentType, data: ownBytes(data) };
}

function parseSpec(type: string, options: TaskOptions | undefined, faults: FieldViolation[]): TaskSpec {
  const priority = options?.priority ?? DEFAULTS.priority;
  if (priority < 0 || priority > MAX_PRIORITY) {
    faults.push({ field: 'options.priority', description: `is ${priority}; it must be 0 to ${MAX_PRIORITY}` });
  }
  const requiredLabels = { ...options?.requiredLabels };
  checkRequiredLabels(requiredLabels, faults);
  const deadlineWallMs = wallTime(options?.deadline, 'options.deadline', faults);
  return {
    type,
    priority,
    requiredLabels,
    timeoutMs: spanMs(options?.timeout, 'options.timeout', DEFAULTS.timeoutMs, DAY_MS, faults),
    deadlineWallMs,
    runTimeWallMs: wallTime(options?.runTime, 'options.run_time', faults),
    retry: parseRetry(options?.retryPolicy, faults),
  };
}

function parseRetry(policy: RetryPolicyMessage | undefined, faults: FieldViolation[]): RetryPolicy {
  const field = 'options.retry_policy';
  const said = policy?.maxAttempts ?? 0;
  const maxAttempts = said === 0 ? DEFAULTS.maxAttempts : said;
  if (maxAttempts < 1 || maxAttempts > MAX_ATTEMPTS) {
    faults.push({ field: `${field}.max_attempts`, description: `is ${said}; it must be 1 to ${MAX_ATTEMPTS}` });
  }
  const { initialBackoffMs, maxBackoffMs } = parseBackoff(policy, field, faults);
  const nonRetryableReasons = policy?.nonRetryableReasons ?? [];
  if (nonRetryableReasons.length > MAX_NON_RETRYABLE_REASONS) {
    const description = `has ${nonRetryableReasons.length} entries; at most ${MAX_NON_RETRYABLE_REASONS} are allowed`;
    faults.push({ field: `${field}.non_retryable_reasons`, description });
  }
  for (const reason of nonRetryableReasons.slice(0, MAX_NON_RETRYABLE_REASONS)) {
    if (FAILURE_REASON_PATTERN.test(reason)) continue;
    const description = `has ${quoted(reason)}; a reason is UPPER_SNAKE_CASE of at most 63 characters`;
    faults.push({ field: `${field}.non_retryable_reasons`, description });
  }
  return { maxAttempts, initialBackoffMs, maxBackoffMs, nonRetryableReasons };
}

function parseBackoff(
  policy: RetryPolicyMessage | undefined,
  field: string,
  faults: FieldViolation[],
): { initialBackoffMs: number; maxBackoffMs: number } {
  const initial = `${field}.initial_backoff`;
  const max = `${field}.max_backoff`;
  const initialBackoffMs = spanMs(policy?.initialBackoff, initial, DEFAULTS.initialBackoffMs, HOUR_MS, faults);
  const defaultMaxMs = Math.max(DEFAULTS.maxBackoffMs, initialBackoffMs);
  const maxBackoffMs = spanMs(policy?.maxBackoff, max, defaultMaxMs, DAY_MS, faults);
  if (maxBackoffMs < initialBackoffMs) {
    const description = `is ${maxBackoffMs} ms, below initial_backoff (${initialBackoffMs} ms); raise it, or lower that`;
    faults.push({ field: max, description });
  }
  return { initialBackoffMs, maxBackoffMs };
}

function spanMs(
  span: Duration | undefined,
  field: string,
  defaultMs: number,
  maxMs: number,
  faults: FieldViolation[],
): number {
  if (span === undefined) return defaultMs;
  const ms = durationMs(span);
  if (ms >= 1 && ms <= maxMs) return ms;
  faults.push({ field, description: `is ${ms} ms; it must be 1 to ${maxMs} ms` });
  return defaultMs;
}

function wallTime(time: Timestamp | undefined, field: string, faults: FieldViolation[]): number | null {
  if (time === undefined) return null;
  const ms = timestampMs(time);
  // What is before 1970 can only be a mistake.
  if (ms >= 0 && ms <= MAX_WALL_MS) return ms;
  faults.push({ field, description: `is ${ms} ms since 1970; it must be between 1970 and 9999` });
  return null;
}

function checkRequiredLabels(labels: Readonly<Record<string, string>>, faults: FieldViolation[]): void {
  const field = 'options.required_labels';
  const entries = Object.entries(labels);
  if (entries.length > MAX_REQUIRED_LABELS) {
    const description = `has ${entries.length} entries; at most ${MAX_REQUIRED_LABELS} are allowed`;
    faults.push({ field, description });
  }
  for (const [key, value] of entries.slice(0, MAX_REQUIRED_LABELS)) {
    checkKey(key, field, faults);
    if (value.length <= MAX_LABEL_VALUE_CHARS) continue;
    const description = `has ${value.length} characters; at most ${MAX_LABEL_VALUE_CHARS} are allowed`;
    faults.push({ field: `${field}[${quoted(key)}]`, description });
  }
}

function checkMetadata(metadata: Readonly<Record<string, string>>, faults: FieldViolation[]): void {
  const field = 'options.metadata';
  const entries = Object.entries(metadata);
  if (entries.length > MAX_METADATA_ENTRIES) {
    const description = `has ${entries.length} entries; at most ${MAX_METADATA_ENTRIES} are allowed`;
    faults.push({ field, description });
  }
  for (const [key, value] of entries.slice(0, MAX_METADATA_ENTRIES)) {
    checkKey(key, field, faults);
    const bytes = Buffer.byteLength(value);
    if (bytes <= MAX_METADATA_VALUE_BYTES) continue;
    const description = `has ${bytes} bytes; at most ${MAX_METADATA_VALUE_BYTES} are allowed`;
    faults.push({ field: `${field}[${quoted(key)}]`, description });
  }
}

function checkKey(key: string, field: string, faults: FieldViolation[]): void {
  if (KEY_PATTERN.test(key)) return;
  faults.push({
    field,
    description: `has the key ${quoted(key)}; a key must be 1 to 63 of \`[A-Za-z0-9._/-]\`, other than __proto__`,
  });
}

/** Of all that decides what is run and how; not of the trace context, which differs between a call and its repeat. */
function digestOf(spec: TaskSpec, { payload, metadata }: TaskBody, isValue: boolean): string {
  const { type, priority, requiredLabels, timeoutMs, deadlineWallMs, runTimeWallMs, retry } = spec;
  const head = JSON.stringify([
    type,
    priority,
    sorted(requiredLabels),
    timeoutMs,
    deadlineWallMs,
    runTimeWallMs,
    [retry.maxAttempts, retry.initialBackoffMs, retry.maxBackoffMs, retry.nonRetryableReasons],
    sorted(metadata),
    payload.contentType,
  ]);
  const content = isValue ? inOrder(payload.data) : payload.data;
  return createHash('sha256').update(head).update('\0').update(content).digest('base64url');
}

/** The fields of a google.protobuf.Struct are a map: each repeat may have them in another order. */
function inOrder(json: Uint8Array): string {
  const byKey = (_key: string, value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return JSON.stringify(JSON.parse(Buffer.from(json).toString()), byKey);
}

function sorted(map: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
}

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs, type Value } from '@bufbuild/protobuf/wkt';
import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { SubmitTaskRequestSchema } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { parseTask, parseTaskId } from '../../../coordinator/services/parse-task.js';
import { refusal } from './session-support.js';

type RequestInit = MessageInitShape<typeof SubmitTaskRequestSchema>;
type OptionsInit = NonNullable<RequestInit['options']>;

const WALL_MS = Date.UTC(2026, 0, 1);
const CONTEXT = { maxPayloadBytes: 1_000, wallMs: WALL_MS };
const ID = 'ABCDEF00-0000-7000-8000-00000000000A';
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

function parse(request: RequestInit = {}, context: Partial<Parameters<typeof parseTask>[1]> = {}) {
  return parseTask(create(SubmitTaskRequestSchema, { type: 'echo', ...request }), { ...CONTEXT, ...context });
}

function withOptions(options: OptionsInit, context: Partial<Parameters<typeof parseTask>[1]> = {}) {
  return parse({ taskId: ID, options }, context);
}

function data(value: string | Uint8Array, contentType = '') {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
  return { contentType, body: { case: 'data' as const, value: bytes } };
}

function object(fields: Record<string, number>) {
  const entries = Object.entries(fields).map(([key, value]) => [key, { kind: { case: 'numberValue', value } }]);
  const value = {
    kind: { case: 'structValue', value: { fields: Object.fromEntries(entries) as Record<string, Value> } },
  };
  return { body: { case: 'value' as const, value: value as Value } };
}

function entries(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`key-${index}`, 'v']));
}

const at = (offsetMs: number) => timestampFromMs(WALL_MS + offsetMs);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

describe('parseTask, what is not said', () => {
  it('fills in the defaults that the contract states', () => {
    const { taskId, spec, body } = parse();
    expect(taskId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(spec).toEqual({
      type: 'echo',
      priority: 10,
      requiredLabels: {},
      timeoutMs: 300_000,
      deadlineWallMs: null,
      runTimeWallMs: null,
      retry: { maxAttempts: 3, initialBackoffMs: 200, maxBackoffMs: 30_000, nonRetryableReasons: [] },
    });
    expect(body).toMatchObject({ metadata: {}, traceparent: '', payload: { contentType: 'application/json' } });
    expect(text(body.payload.data)).toBe('null');
  });

  it('makes another id each time', () => {
    expect(parse().taskId).not.toBe(parse().taskId);
  });

  it('raises the default of max_backoff to a larger initial_backoff', () => {
    const retry = withOptions({ retryPolicy: { initialBackoff: durationFromMs(60_000) } }).spec.retry;
    expect(retry).toMatchObject({ initialBackoffMs: 60_000, maxBackoffMs: 60_000 });
  });

  it("takes a call's deadline as the task's, unless it names one", () => {
    const callDeadlineWallMs = WALL_MS + 5;
    expect(withOptions({}, { callDeadlineWallMs }).spec.deadlineWallMs).toBe(WALL_MS + 5);
    expect(withOptions({ deadline: at(9) }, { callDeadlineWallMs }).spec.deadlineWallMs).toBe(WALL_MS + 9);
  });

  it('refuses a request without a task', () => {
    expect(refusal(() => parseTask(undefined, CONTEXT))).toMatchObject({
      code: Code.INVALID_ARGUMENT,
      reason: 'INVALID_TASK',
      violations: [{ field: 'task' }],
    });
  });
});

describe('parseTask, bounds', () => {
  it('writes an id in lower case', () => {
    expect(parse({ taskId: ID }).taskId).toBe(ID.toLowerCase());
  });

  it.each<[string, OptionsInit]>([
    ['priority 0', { priority: 0 }],
    ['priority 100', { priority: 100 }],
    ['a time-out of 1 ms', { timeout: durationFromMs(1) }],
    ['a time-out of 24 h', { timeout: durationFromMs(DAY_MS) }],
    ['a deadline in 1 ms', { deadline: at(1) }],
    // Whether the task is new, and so the deadline a mistake, is the core's to know.
    ['a deadline that has passed', { deadline: at(-1_500) }],
    ['a run_time that has passed', { runTime: at(-1) }],
    ['16 labels', { requiredLabels: entries(16) }],
    ['the longest label', { requiredLabels: { ['k'.repeat(63)]: 'v'.repeat(63) } }],
    ['32 metadata entries', { metadata: entries(32) }],
    ['the longest metadata', { metadata: { ['k'.repeat(63)]: 'ä'.repeat(512) } }],
    ['a trace context', { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` }],
    ['1 attempt', { retryPolicy: { maxAttempts: 1 } }],
    ['100 attempts', { retryPolicy: { maxAttempts: 100 } }],
    ['back-off of 1 ms', { retryPolicy: { initialBackoff: durationFromMs(1), maxBackoff: durationFromMs(1) } }],
    [
      'the longest back-off',
      { retryPolicy: { initialBackoff: durationFromMs(HOUR_MS), maxBackoff: durationFromMs(DAY_MS) } },
    ],
    ['32 reasons', { retryPolicy: { nonRetryableReasons: Array.from({ length: 32 }, () => 'A'.repeat(63)) } }],
  ])('takes %s', (_what, options) => {
    expect(() => withOptions(options)).not.toThrow();
  });

  it.each<[string, OptionsInit, string]>([
    ['priority -1', { priority: -1 }, 'priority'],
    ['priority 101', { priority: 101 }, 'priority'],
    ['a time-out of 0', { timeout: durationFromMs(0) }, 'timeout'],
    ['a negative time-out', { timeout: { seconds: -1n } }, 'timeout'],
    ['a time-out above 24 h', { timeout: durationFromMs(DAY_MS + 1) }, 'timeout'],
    ['a time-out beyond all numbers', { timeout: { seconds: 2n ** 62n } }, 'timeout'],
    ['a deadline after the year 9999', { deadline: { seconds: 253_402_300_800n } }, 'deadline'],
    ['a run_time before 1970', { runTime: { seconds: -1n } }, 'run_time'],
    ['17 labels', { requiredLabels: entries(17) }, 'required_labels'],
    ['an empty label key', { requiredLabels: { '': 'v' } }, 'required_labels'],
    ['a label key with a space', { requiredLabels: { 'a b': 'v' } }, 'required_labels'],
    ['a label key that plain objects lose', { requiredLabels: { ['__proto__']: 'v' } }, 'required_labels'],
    ['a long label value', { requiredLabels: { k: 'v'.repeat(64) } }, 'required_labels["k"]'],
    ['33 metadata entries', { metadata: entries(33) }, 'metadata'],
    ['an empty metadata key', { metadata: { '': 'v' } }, 'metadata'],
    ['a metadata key that plain objects lose', { metadata: { ['__proto__']: 'v' } }, 'metadata'],
    ['a long metadata value', { metadata: { k: 'ä'.repeat(513) } }, 'metadata["k"]'],
    ['a trace context that is none', { traceparent: '00-x' }, 'traceparent'],
    ['negative attempts', { retryPolicy: { maxAttempts: -1 } }, 'retry_policy.max_attempts'],
    ['101 attempts', { retryPolicy: { maxAttempts: 101 } }, 'retry_policy.max_attempts'],
    ['back-off 0', { retryPolicy: { initialBackoff: durationFromMs(0) } }, 'retry_policy.initial_backoff'],
    [
      'initial back-off above 1 h',
      { retryPolicy: { initialBackoff: durationFromMs(HOUR_MS + 1) } },
      'retry_policy.initial_backoff',
    ],
    [
      'max back-off above 24 h',
      { retryPolicy: { maxBackoff: durationFromMs(DAY_MS + 1) } },
      'retry_policy.max_backoff',
    ],
    [
      'max back-off below the initial one',
      { retryPolicy: { maxBackoff: durationFromMs(199) } },
      'retry_policy.max_backoff',
    ],
    [
      '33 reasons',
      { retryPolicy: { nonRetryableReasons: Array.from({ length: 33 }, () => 'A') } },
      'retry_policy.non_retryable_reasons',
    ],
    ['an empty reason', { retryPolicy: { nonRetryableReasons: [''] } }, 'retry_policy.non_retryable_reasons'],
    ['a reason in lower case', { retryPolicy: { nonRetryableReasons: ['no'] } }, 'retry_policy.non_retryable_reasons'],
  ])('refuses %s and names the field', (_what, options, field) => {
    const error = refusal(() => withOptions(options));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_TASK' });
    expect(error.violations.map((violation) => violation.field)).toEqual([`options.${field}`]);
  });

  it.each<[string, RequestInit, string]>([
    ['an id that is no UUID', { taskId: 'x' }, 'task_id'],
    ['an id in braces', { taskId: `{${ID}}` }, 'task_id'],
    ['an empty type', { type: '' }, 'type'],
    ['a type of 128 characters', { type: 't'.repeat(128) }, 'type'],
    ['a type that begins with a slash', { type: '/t' }, 'type'],
    ['a type with a line break at its end', { type: 't\n' }, 'type'],
    ['a content type of 128 characters', { payload: data('1', 't'.repeat(128)) }, 'payload.content_type'],
  ])('refuses %s and names the field', (_what, request, field) => {
    const error = refusal(() => parse(request));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_TASK' });
    expect(error.violations.map((violation) => violation.field)).toEqual([field]);
  });

  it('takes the longest type and every character of one', () => {
    expect(parse({ type: 't'.repeat(127) }).spec.type).toHaveLength(127);
    expect(parse({ type: '0aZ._:/-' }).spec.type).toBe('0aZ._:/-');
  });

  it('names every fault in one message, with its value', () => {
    const options = { priority: 101, timeout: durationFromMs(0), traceparent: 'x', metadata: { '': '' } };
    const error = refusal(() => parse({ taskId: 'no', type: '', options }));
    expect(error.violations).toHaveLength(6);
    for (const part of ['task_id: is "no"', 'options.priority: is 101', 'options.timeout: is 0 ms']) {
      expect(error.message).toContain(part);
    }
  });

  it('copies a payload out of its request', () => {
    const value = Buffer.from('1');
    const { body } = parse({ payload: { body: { case: 'data', value } } });
    value[0] = 0;
    expect(Buffer.from(body.payload.data).toString()).toBe('1');
  });

  it('rounds to whole milliseconds', () => {
    expect(withOptions({ timeout: { nanos: 1_600_000 } }).spec.timeoutMs).toBe(2);
  });
});

describe('parseTask, the payload', () => {
  it('takes the bytes as they are, in a copy', () => {
    const bytes = new TextEncoder().encode('{ "a":1 }');
    const { payload } = parse({ payload: data(bytes) }).body;
    bytes[0] = 0;
    expect(text(payload.data)).toBe('{ "a":1 }');
  });

  it('takes anything under another content type', () => {
    const { payload } = parse({ payload: data(Uint8Array.of(0xff), 'image/png') }).body;
    expect(payload).toMatchObject({ contentType: 'image/png' });
  });

  it.each([
    ['cut short', data('{"a":')],
    ['empty', data('')],
    ['with a comma too much', data('[1,]')],
    ['no UTF-8', data(Uint8Array.of(0x22, 0xff, 0x22))],
    ['malformed, its type with parameters', data('x', 'Application/JSON; charset=utf-8')],
  ])('refuses JSON that is %s', (_what, payload) => {
    const error = refusal(() => parse({ payload }));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'PAYLOAD_NOT_JSON' });
    expect(error.violations[0]?.field).toBe('payload.data');
  });

  it('refuses a value under another content type', () => {
    const error = refusal(() => parse({ payload: { ...object({ a: 1 }), contentType: 'text/plain' } }));
    expect(error).toMatchObject({ reason: 'PAYLOAD_NOT_JSON', violations: [{ field: 'payload.content_type' }] });
  });

  it('refuses NaN', () => {
    expect(refusal(() => parse({ payload: object({ a: NaN }) })).reason).toBe('PAYLOAD_NOT_JSON');
  });

  it('takes a payload of exactly the bound', () => {
    expect(parse({ payload: data('1'.repeat(1_000)) }).body.payload.data.byteLength).toBe(1_000);
  });

  it('refuses a larger one, with both sizes and what to do', () => {
    const error = refusal(() => parse({ payload: data('1'.repeat(1_001)) }));
    expect(error).toMatchObject({
      code: Code.INVALID_ARGUMENT,
      reason: 'PAYLOAD_TOO_LARGE',
      metadata: { size_bytes: '1001', limit_bytes: '1000' },
      violations: [{ field: 'payload' }],
    });
    expect(error.message).toMatch(/1001 bytes.* 1000 .*--max-payload-bytes/);
  });

  it('leaves a large payload for the worker to look into', () => {
    expect(() => parse({ payload: data('x'.repeat(70_000)) }, { maxPayloadBytes: 100_000 })).not.toThrow();
  });
});

describe('parseTask, the digest', () => {
  const FULL = {
    priority: 1,
    requiredLabels: { zone: 'a', arch: 'b' },
    timeout: durationFromMs(1_000),
    deadline: at(HOUR_MS),
    runTime: at(1_000),
    retryPolicy: { maxAttempts: 2, nonRetryableReasons: ['A', 'B'] },
    metadata: { one: '1', two: '2' },
    traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  } satisfies OptionsInit;
  const digest = (options: OptionsInit, request: RequestInit = {}, context = {}) =>
    parse({ taskId: ID, payload: data('{}'), options, ...request } as RequestInit, context).digest;

  it.each<[string, OptionsInit, RequestInit]>([
    ['the same again', FULL, {}],
    ['another order of labels', { ...FULL, requiredLabels: { arch: 'b', zone: 'a' } }, {}],
    ['another order of metadata', { ...FULL, metadata: { two: '2', one: '1' } }, {}],
    ['another trace context', { ...FULL, traceparent: '' }, {}],
    [
      'a default that is written out',
      { ...FULL, retryPolicy: { ...FULL.retryPolicy, maxBackoff: durationFromMs(30_000) } },
      {},
    ],
    ['the content type written out', FULL, { payload: data('{}', 'application/json') }],
    ['the same payload as a value', FULL, { payload: object({}) }],
  ])('is the same for %s', (_what, options, request) => {
    expect(digest(options, request)).toBe(digest(FULL));
  });

  it("is the same whatever the call's deadline", () => {
    expect(digest({}, {}, { callDeadlineWallMs: WALL_MS + 1 })).toBe(digest({}));
  });

  it('is the same for the fields of a value in another order, since a protobuf map has none', () => {
    const nested = (fields: Record<string, number>) => {
      const inner = object(fields).body.value;
      const value = { kind: { case: 'listValue' as const, value: { values: [inner] } } };
      return { payload: { body: { case: 'value' as const, value } } };
    };
    expect(digest({}, { payload: object({ b: 1, a: 2 }) })).toBe(digest({}, { payload: object({ a: 2, b: 1 }) }));
    expect(digest({}, nested({ b: 1, a: 2 }))).toBe(digest({}, nested({ a: 2, b: 1 })));
    expect(digest({}, { payload: object({ b: 1, a: 2 }) })).not.toBe(digest({}, { payload: object({ a: 1, b: 2 }) }));
  });

  it.each<[string, OptionsInit, RequestInit]>([
    ['type', FULL, { type: 'other' }],
    ['payload', FULL, { payload: data('[]') }],
    ['content type', FULL, { payload: data('{}', 'text/plain') }],
    ['priority', { ...FULL, priority: 2 }, {}],
    ['labels', { ...FULL, requiredLabels: { zone: 'a' } }, {}],
    ['timeout', { ...FULL, timeout: durationFromMs(2) }, {}],
    ['deadline', { ...FULL, deadline: at(HOUR_MS + 1) }, {}],
    ['run_time', { ...FULL, runTime: at(2) }, {}],
    ['attempts', { ...FULL, retryPolicy: { ...FULL.retryPolicy, maxAttempts: 3 } }, {}],
    ['reasons', { ...FULL, retryPolicy: { ...FULL.retryPolicy, nonRetryableReasons: ['A'] } }, {}],
    ['metadata', { ...FULL, metadata: { one: '1', two: '3' } }, {}],
  ])('differs with another %s', (_what, options, request) => {
    expect(digest(options, request)).not.toBe(digest(FULL));
  });
});

describe('parseTaskId', () => {
  it('writes it in lower case', () => {
    expect(parseTaskId(ID)).toBe(ID.toLowerCase());
  });

  it.each(['', 'x', ID.slice(1), `${ID}\n`])('refuses %j', (taskId) => {
    expect(refusal(() => parseTaskId(taskId))).toMatchObject({
      code: Code.INVALID_ARGUMENT,
      reason: 'INVALID_TASK_ID',
      violations: [{ field: 'task_id' }],
    });
  });
});

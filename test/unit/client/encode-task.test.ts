import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { encodeTask, RUN_OPTION_NAMES, SUBMIT_OPTION_NAMES } from '../../../client/encode-task.js';
import type { FleetError } from '../../../proto/fleet-error.js';

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const TERMS = { maxPayloadBytes: 100, nowMs: 50, nowWallMs: 1_000_000, newTaskId: () => ID };

function encode(payload: unknown, options?: unknown, type: unknown = 'echo') {
  return encodeTask(type, payload, options, RUN_OPTION_NAMES, TERMS);
}

function fault(payload: unknown, options?: unknown, type?: unknown): FleetError {
  try {
    encode(payload, options, type);
  } catch (error) {
    return error as FleetError;
  }
  throw new Error('it was encoded');
}

function text({ task }: ReturnType<typeof encode>): string {
  return Buffer.from(task.payload?.body.value as Uint8Array).toString();
}

describe('encodeTask', () => {
  it('should write every option as the contract has it', () => {
    const { task, taskId, onAbandon } = encode(1, {
      ...{ taskId: ID.toUpperCase(), priority: 0, timeoutMs: 1_500, deadlineMs: 60_000, runAt: new Date(2_000_000) },
      ...{ requiredLabels: { zone: 'a' }, metadata: { order: '7' }, onAbandon: 'keep' },
      ...{ retry: { maxAttempts: 5, initialBackoffMs: 10, maxBackoffMs: 2_000, nonRetryableReasons: ['BAD'] } },
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    });
    expect({ taskId, onAbandon }).toEqual({ taskId: ID, onAbandon: 'keep' });
    expect(task).toMatchObject({ taskId: ID, type: 'echo', payload: { contentType: 'application/json' } });
    expect(task.options).toMatchObject({
      ...{ priority: 0, timeout: { seconds: 1n, nanos: 500_000_000 }, deadline: { seconds: 1_060n } },
      ...{ runTime: { seconds: 2_000n }, requiredLabels: { zone: 'a' }, metadata: { order: '7' } },
      retryPolicy: {
        ...{ maxAttempts: 5, nonRetryableReasons: ['BAD'] },
        ...{ initialBackoff: { nanos: 10_000_000 }, maxBackoff: { seconds: 2n } },
      },
    });
  });

  it('should leave to the coordinator what is not said', () => {
    const { task, onAbandon, signal } = encode(undefined);
    expect(text(encode(undefined))).toBe('null');
    expect(task.options).toMatchObject({ requiredLabels: {}, metadata: {}, traceparent: '' });
    expect([task.options?.priority, task.options?.timeout, task.options?.retryPolicy]).toEqual(
      Array(3).fill(undefined),
    );
    expect({ onAbandon, signal }).toEqual({ onAbandon: 'cancel', signal: undefined });
  });

  it('should send bytes as they were at the call, with their type', () => {
    const given = Buffer.from('abc');
    const encoded = encode(given, { contentType: 'image/png' });
    given[0] = 0;
    expect(text(encoded)).toBe('abc');
    expect(encoded.task.payload?.contentType).toBe('image/png');
    expect(encode(given).task.payload?.contentType).toBe('application/octet-stream');
  });

  it('should name every fault in one message', () => {
    const error = fault(
      'x'.repeat(200),
      {
        ...{ taskId: 'nine', priority: 101, timeoutMs: 0.5, deadlineMs: -1, deadline: 'soon', runAt: new Date(NaN) },
        ...{
          maxAttempts: 0,
          requiredLabels: { 'a b': 1 },
          metadata: ['a'],
          traceparent: 'x',
          contentType: 'image/png',
        },
        ...{
          retry: { maxAttempts: 101, times: 3, nonRetryableReasons: ['no'] },
          signal: {},
          onAbandon: 'drop',
          timeout: 5,
        },
      },
      'no type',
    );
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_TASK' });
    expect(error.violations.map(({ field }) => field).sort()).toEqual(
      [
        ...['payload', 'type', 'options.contentType', 'options.taskId', 'options.signal', 'options.onAbandon'],
        ...['options.priority', 'options.timeoutMs', 'options.deadlineMs', 'options.deadline', 'options.deadline'],
        ...[
          'options.runAt',
          'options.maxAttempts',
          'options.maxAttempts',
          'options.retry.maxAttempts',
          'options.timeout',
        ],
        ...['options.retry.times', 'options.retry.nonRetryableReasons', 'options.requiredLabels', 'options.metadata'],
        ...['options.requiredLabels["a b"]', 'options.traceparent'],
      ].sort(),
    );
    expect(error.violations.find(({ field }) => field === 'options.timeout')?.description).toMatch(
      /^is not known; known are taskId, .*timeoutMs/,
    );
  });

  it.each([
    [{ items: [1n] }, 'PAYLOAD_NOT_JSON', 'payload.items[0]: is a BigInt; pass Number(x) or String(x)'],
    [
      new ArrayBuffer(4),
      'PAYLOAD_NOT_JSON',
      'payload: is an ArrayBuffer; pass base64 text, or new Uint8Array(x) as the',
    ],
    [
      { a: new Uint8Array(4) },
      'PAYLOAD_NOT_JSON',
      'payload.a: is a typed array (Uint8Array); pass [...x] or base64 text',
    ],
    ['x'.repeat(99), 'PAYLOAD_TOO_LARGE', 'payload: has 101 bytes; at most 100 are allowed'],
  ])('should give a payload that cannot be sent a reason of its own', (payload, reason, message) => {
    expect(fault(payload)).toMatchObject({ reason, message: expect.stringContaining(message) });
  });

  it('should call options that are no object by their name', () => {
    expect(fault(1, null).message).toBe('options: is null; it must be an object');
    expect(fault(1, { retry: 3 }).message).toBe('options.retry: is 3; it must be an object');
  });

  it('should refuse a key that plain objects lose', () => {
    const error = fault(1, JSON.parse('{"requiredLabels":{"__proto__":"x"},"metadata":{"__proto__":"x"}}'));
    expect(error.violations.map(({ field }) => field)).toEqual(['options.requiredLabels', 'options.metadata']);
    expect(error.message).toContain('has the key "__proto__"; a key is 1 to 63 characters');
  });

  it('should know onAbandon for run alone', () => {
    expect(() => encodeTask('echo', 1, { onAbandon: 'keep' }, SUBMIT_OPTION_NAMES, TERMS)).toThrow(/onAbandon: is not/);
  });

  it('should tell how long the task may wait to be sent: until its deadline, if that has not passed before', () => {
    const deadlines = [{ deadlineMs: 500 }, { deadline: new Date(1_002_000) }, {}, { deadline: new Date(1_000_000) }];
    expect(deadlines.map((options) => encode(1, options).deadlineMs)).toEqual([550, 2_050, Infinity, Infinity]);
  });

  it('should tell about how much a task takes in a frame', () => {
    expect(encode('x'.repeat(90)).bytes).toBeGreaterThan(92);
    expect(encode(1, { metadata: { a: 'x'.repeat(1_000) } }).bytes).toBeGreaterThan(3_000);
  });
});

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { ConnectRequestSchema } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { parseFrame } from '../../../coordinator/session/parse-frame.js';
import { ref, refusal } from './session-support.js';

const MAX_PAYLOAD_BYTES = 100;

function parse(frame: MessageInitShape<typeof ConnectRequestSchema>) {
  return parseFrame(create(ConnectRequestSchema, frame), MAX_PAYLOAD_BYTES);
}

function data(text: string, contentType = '') {
  return { contentType, body: { case: 'data' as const, value: new TextEncoder().encode(text) } };
}

function report(changes: object) {
  const [parsed] = parse({ reports: [{ attempt: ref(1), outcome: AttemptOutcome.FAILED, ...changes }] }).reports;
  if (parsed === undefined) throw new Error('no report');
  return parsed;
}

function succeeded(result: object | undefined) {
  return report({ outcome: AttemptOutcome.SUCCEEDED, ...(result === undefined ? {} : { result }) });
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

describe('parseFrame', () => {
  it('takes an empty frame as a sign of life', () => {
    expect(parse({})).toEqual({
      started: [],
      reports: [],
      progress: [],
      notStarted: [],
      load: null,
      leaving: null,
    });
  });

  it('takes all that a frame says', () => {
    const frame = parse({
      started: [ref(1)],
      notStarted: [ref(2)],
      progress: [{ attempt: ref(3), number: 4, data: data('5') }],
      heartbeat: { cpuMillis: 1, rssBytes: 2n, handlerLoopLagMs: 3 },
      leaving: { drainTimeoutMs: 1_000 },
    });
    expect(frame).toMatchObject({
      started: [ref(1)],
      notStarted: [ref(2)],
      progress: [{ ref: ref(3), number: 4, data: { contentType: 'application/json' } }],
      load: { cpuMillis: 1, rssBytes: 2, handlerLoopLagMs: 3 },
      leaving: { drainTimeoutMs: 1_000 },
    });
  });

  it.each([
    [-1, 0],
    [0, 0],
    [86_400_001, 86_400_000],
  ])('bounds a drain of %i ms to %i', (drainTimeoutMs, expected) => {
    expect(parse({ leaving: { drainTimeoutMs } }).leaving).toEqual({ drainTimeoutMs: expected });
  });

  it('takes measurements that cannot be as 0', () => {
    const heartbeat = { cpuMillis: -1, rssBytes: 2n ** 60n, handlerLoopLagMs: -3 };
    expect(parse({ heartbeat }).load).toEqual({ cpuMillis: 0, rssBytes: 0, handlerLoopLagMs: 0 });
  });

  it('names every fault of a frame', () => {
    const error = refusal(() =>
      parse({ started: [{ ...ref(1), attempt: -1 }], reports: [{}], notStarted: [{ ...ref(1), leaseId: '' }] }),
    );
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_FRAME' });
    expect(error.violations.map(({ field }) => field)).toEqual([
      'started[0].attempt',
      'reports[0].attempt.task_id',
      'reports[0].attempt.attempt',
      'reports[0].attempt.lease_id',
      'not_started[0].lease_id',
    ]);
  });
});

describe('parseFrame, reports', () => {
  it.each([
    [AttemptOutcome.SUCCEEDED, 'SUCCEEDED'],
    [AttemptOutcome.FAILED, 'FAILED'],
    [AttemptOutcome.TIMED_OUT, 'TIMED_OUT'],
    [AttemptOutcome.CANCELLED, 'CANCELLED'],
    [AttemptOutcome.RELEASED, 'RELEASED'],
    [AttemptOutcome.WORKER_LOST, 'FAILED'],
    [AttemptOutcome.UNSPECIFIED, 'FAILED'],
    [99 as AttemptOutcome, 'FAILED'],
  ])('takes outcome %i as %s', (outcome, expected) => {
    expect(report({ outcome }).outcome).toBe(expected);
  });

  it('takes a result as it is, and none as JSON null', () => {
    expect(text(succeeded(data('{"a": 1}')).result?.data)).toBe('{"a": 1}');
    expect(text(succeeded(undefined).result?.data)).toBe('null');
    expect(succeeded(data('x', 'text/plain')).result?.contentType).toBe('text/plain');
  });

  it('copies a result out of its frame', () => {
    // As grpc-js gives it: a Buffer, whose slices share its memory.
    const value = Buffer.from('1');
    const { result } = succeeded({ body: { case: 'data', value } });
    value[0] = 0;
    expect(text(result?.data)).toBe('1');
  });

  it('takes a result of exactly the bound', () => {
    expect(succeeded(data('1'.repeat(MAX_PAYLOAD_BYTES))).outcome).toBe('SUCCEEDED');
  });

  it('makes a larger result a failure that names both sizes and what to do', () => {
    const { outcome, result, failure } = succeeded(data('1'.repeat(MAX_PAYLOAD_BYTES + 1)));
    expect({ outcome, result }).toEqual({ outcome: 'FAILED', result: null });
    expect(failure).toMatchObject({ reason: 'RESULT_TOO_LARGE', nonRetryable: true });
    expect(failure?.message).toMatch(/101 bytes.* 100;.*--max-payload-bytes/);
  });

  it('makes a value that is no JSON a failure', () => {
    const value = { kind: { case: 'numberValue', value: NaN } };
    const { outcome, failure } = succeeded({ body: { case: 'value', value } });
    expect(outcome).toBe('FAILED');
    expect(failure).toMatchObject({ reason: 'RESULT_NOT_JSON', nonRetryable: true });
  });

  it('refuses a content type that is too long', () => {
    const error = refusal(() => succeeded(data('1', 't'.repeat(128))));
    expect(error.violations[0]?.field).toBe('reports[0].result.content_type');
  });

  it('ignores the result of what did not succeed', () => {
    expect(report({ result: data('1') }).result).toBeNull();
  });

  it('takes a failure as the worker says it', () => {
    const failure = { reason: 'DISK_FULL', message: 'm', nonRetryable: true, stack: 's' };
    expect(report({ failure }).failure).toEqual(failure);
  });

  it.each(['', 'lower', 'A'.repeat(64), '1A'])('takes reason "%s" as HANDLER_ERROR', (reason) => {
    expect(report({ failure: { reason } }).failure?.reason).toBe('HANDLER_ERROR');
  });

  it('finds words for a failure without any', () => {
    expect(report({}).failure).toMatchObject({ reason: 'HANDLER_ERROR', nonRetryable: false });
    expect(report({}).failure?.message).not.toBe('');
  });

  it.each([
    ['letters', 'x'],
    ['characters of four bytes', '🐎'],
  ])('cuts long texts of %s within their bounds and between characters', (_what, character) => {
    const long = character.repeat(9_000);
    const failure = report({ failure: { reason: 'A', message: long, stack: long } }).failure;
    for (const [cut, bound] of [
      [failure?.message ?? '', 4_096],
      [failure?.stack ?? '', 8_192],
    ] as const) {
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(bound);
      expect(Buffer.byteLength(cut)).toBeGreaterThan(bound - 8);
      expect([...cut].slice(0, -1).every((found) => found === character)).toBe(true);
      expect(cut.endsWith('…')).toBe(true);
    }
  });

  it('leaves a text of exactly the bound alone', () => {
    const message = 'ä'.repeat(2_048);
    expect(report({ failure: { message } }).failure?.message).toBe(message);
  });

  it('takes negative spans as 0', () => {
    expect(report({ startDelayMs: -1, runMs: -1 })).toMatchObject({ startDelayMs: 0, runMs: 0 });
  });
});

describe('parseFrame, progress', () => {
  const BOUND = 64 * 1_024;

  it('takes 64 KiB', () => {
    const progress = [{ attempt: ref(1), number: 1, data: data('x'.repeat(BOUND), 'text/plain') }];
    expect(parse({ progress }).progress[0]?.data.data.byteLength).toBe(BOUND);
  });

  it.each([
    ['more', data('x'.repeat(BOUND + 1), 'text/plain'), 'progress[0].data'],
    ['a long content type', data('1', 't'.repeat(128)), 'progress[0].data.content_type'],
    [
      'a value that is no JSON',
      { body: { case: 'value' as const, value: { kind: { case: 'numberValue' as const, value: Infinity } } } },
      'progress[0].data.value',
    ],
  ])('refuses %s', (_what, content, field) => {
    const error = refusal(() => parse({ progress: [{ attempt: ref(1), number: 1, data: content }] }));
    expect(error.reason).toBe('INVALID_FRAME');
    expect(error.violations[0]?.field).toBe(field);
  });
});

import { randomUUID } from 'node:crypto';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { status as Code } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BadRequestSchema, ErrorInfoSchema } from '../../../proto/gen/google/rpc/error_details_pb.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, Stubs } from '../../support/stubs.js';
import { errorOf, RawWorker } from './support.js';

const BOUND_BYTES = 100_000;
let address: string;
let stubs: Stubs;

beforeAll(async () => {
  ({ address } = await startCoordinator(['--max-payload-bytes', String(BOUND_BYTES), '--max-open-tasks', '5000']));
  stubs = new Stubs(address);
});

afterAll(async () => {
  stubs[Symbol.dispose]();
  await endPrograms();
});

function bytes(count: number, contentType = 'text/plain') {
  return { contentType, body: { case: 'data' as const, value: new Uint8Array(count) } };
}

type Submit = Parameters<Stubs['submit']>[0];

describe('SubmitTask', () => {
  it('accepts a type that nobody handles, and says so', async () => {
    const answer = await stubs.submit({ type: 'nobody', payload: json({ a: 1 }) });
    expect(answer).toMatchObject({ state: TaskState.QUEUED, alreadyExisted: false, capableWorkerCount: 0 });
    expect(answer.taskId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(answer.notice).toContain('nobody');
  });

  it('counts the workers that could take it, by type and labels', async () => {
    const hello = { workerId: 'capable', taskTypes: [{ type: 'counted' }], labels: { zone: 'a' } };
    using worker = await RawWorker.join(address, { hello });
    expect(await stubs.submit({ type: 'counted' })).toMatchObject({
      state: TaskState.RUNNING,
      capableWorkerCount: 1,
      notice: '',
    });
    const elsewhere = await stubs.submit({ type: 'counted', options: { requiredLabels: { zone: 'b' } } });
    expect(elsewhere).toMatchObject({ state: TaskState.QUEUED, capableWorkerCount: 0 });
    expect(elsewhere.notice).toContain('zone');
    expect(worker.open).toBe(true);
  });

  it('answers a repeat with the task there is, in whatever case its id is written', async () => {
    const taskId = randomUUID();
    const task: Submit = { taskId, type: 'nobody', payload: json([1]), options: { metadata: { a: '1', b: '2' } } };
    expect(await stubs.submit(task)).toMatchObject({ taskId, alreadyExisted: false });
    const repeat = { ...task, taskId: taskId.toUpperCase(), options: { metadata: { b: '2', a: '1' } } };
    expect(await stubs.submit(repeat)).toMatchObject({ taskId, alreadyExisted: true, state: TaskState.QUEUED });
  });

  it('refuses other content under an id that is taken', async () => {
    const taskId = randomUUID();
    await stubs.submit({ taskId, type: 'nobody', payload: json(1) });
    const error = await errorOf(stubs.submit({ taskId, type: 'nobody', payload: json(2) }));
    expect(error).toMatchObject({ code: Code.ALREADY_EXISTS, reason: 'TASK_ID_TAKEN', metadata: { task_id: taskId } });
    expect(error.message).toContain(taskId);
  });

  it.each<[string, Submit, string, string]>([
    ['an id that is no UUID', { taskId: 'x', type: 't' }, 'INVALID_TASK', 'task_id'],
    ['an empty type', { type: '' }, 'INVALID_TASK', 'type'],
    ['a type out of form', { type: 'a b' }, 'INVALID_TASK', 'type'],
    [
      'malformed JSON',
      { type: 't', payload: { body: { case: 'data', value: Buffer.from('{') } } },
      'PAYLOAD_NOT_JSON',
      'payload.data',
    ],
    ['a payload over the bound', { type: 't', payload: bytes(BOUND_BYTES + 1) }, 'PAYLOAD_TOO_LARGE', 'payload'],
    ['a priority of 101', { type: 't', options: { priority: 101 } }, 'INVALID_TASK', 'options.priority'],
    ['a time-out of 0', { type: 't', options: { timeout: durationFromMs(0) } }, 'INVALID_TASK', 'options.timeout'],
    [
      'a deadline in the past',
      { type: 't', options: { deadline: timestampFromMs(1) } },
      'INVALID_TASK',
      'options.deadline',
    ],
    [
      'an empty label key',
      { type: 't', options: { requiredLabels: { '': 'v' } } },
      'INVALID_TASK',
      'options.required_labels',
    ],
    ['an empty metadata key', { type: 't', options: { metadata: { '': 'v' } } }, 'INVALID_TASK', 'options.metadata'],
    [
      '101 attempts',
      { type: 't', options: { retryPolicy: { maxAttempts: 101 } } },
      'INVALID_TASK',
      'options.retry_policy.max_attempts',
    ],
  ])('refuses %s, with reason and field', async (_what, task, reason, field) => {
    const error = await errorOf(stubs.submit(task));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason });
    expect(error.violations.map((violation) => violation.field)).toEqual([field]);
    expect(error.message).toContain(field);
  });

  it('takes a payload of exactly the bound', async () => {
    expect(await stubs.submit({ type: 'nobody', payload: bytes(BOUND_BYTES) })).toMatchObject({
      alreadyExisted: false,
    });
  });

  it('refuses a payload beyond what one gRPC message may have', async () => {
    const error = await errorOf(stubs.submit({ type: 'nobody', payload: bytes(5 * 1_048_576) }));
    expect(error.code).toBe(Code.RESOURCE_EXHAUSTED);
    expect(error.message).toContain('larger than max');
    expect(await stubs.submit({ type: 'nobody' })).toMatchObject({ state: TaskState.QUEUED });
  });
});

describe('SubmitTasks', () => {
  it('judges each task by itself, in order', async () => {
    const taskId = randomUUID();
    const { results } = await stubs.submitMany([
      { taskId, type: 'nobody', payload: json(1) },
      { type: '' },
      { taskId, type: 'nobody', payload: json(1) },
      { taskId, type: 'nobody', payload: json(2) },
    ]);
    expect(results.map(({ result }) => result.case)).toEqual(['submitted', 'error', 'submitted', 'error']);
    expect(results[0]?.result.value).toMatchObject({ taskId, alreadyExisted: false });
    expect(results[2]?.result.value).toMatchObject({ taskId, alreadyExisted: true });
    const [invalid, taken] = [results[1]?.result, results[3]?.result];
    if (invalid?.case !== 'error' || taken?.case !== 'error') throw new Error('unreachable');
    expect(invalid.value.code).toBe(Code.INVALID_ARGUMENT);
    expect(invalid.value.details.map((any) => anyUnpack(any, ErrorInfoSchema)?.reason)).toContain('INVALID_TASK');
    expect(invalid.value.details.map((any) => anyUnpack(any, BadRequestSchema)?.fieldViolations[0]?.field)).toContain(
      'type',
    );
    expect(taken.value.code).toBe(Code.ALREADY_EXISTS);
    expect(anyUnpack(taken.value.details[0]!, ErrorInfoSchema)).toMatchObject({
      reason: 'TASK_ID_TAKEN',
      domain: 'remuda',
    });
  });

  it('takes 1,000 tasks', async () => {
    const { results } = await stubs.submitMany(Array.from({ length: 1_000 }, () => ({ type: 'nobody' })));
    expect(results.every(({ result }) => result.case === 'submitted')).toBe(true);
  });

  it.each([0, 1_001])('refuses a batch of %i', async (count) => {
    const error = await errorOf(stubs.submitMany(Array.from({ length: count }, () => ({ type: 'nobody' }))));
    expect(error).toMatchObject({
      code: Code.INVALID_ARGUMENT,
      reason: 'INVALID_TASK',
      violations: [{ field: 'tasks' }],
    });
  });
});

describe('a full queue', () => {
  it('refuses more, tells when to try again, and still knows the repeats', async () => {
    const { address: full } = await startCoordinator(['--max-open-tasks', '1']);
    using few = new Stubs(full);
    const taskId = randomUUID();
    await few.submit({ taskId, type: 'nobody' });
    const error = await errorOf(few.submit({ type: 'nobody' }));
    expect(error).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'QUEUE_FULL' });
    expect(error.retryDelayMs).toBeGreaterThan(0);
    expect(error.quota).toMatchObject({ subject: 'coordinator' });
    expect(await few.submit({ taskId, type: 'nobody' })).toMatchObject({ alreadyExisted: true });
  });
});

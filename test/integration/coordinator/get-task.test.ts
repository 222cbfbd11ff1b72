import { randomUUID } from 'node:crypto';
import { durationFromMs, timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { status as Code } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PayloadView } from '../../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState, WaitingReason } from '../../../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, parsed, Stubs } from '../../support/stubs.js';
import { ended, errorOf, poll, RawWorker } from './support.js';

let address: string;
let stubs: Stubs;

beforeAll(async () => {
  ({ address } = await startCoordinator());
  stubs = new Stubs(address);
});

afterAll(async () => {
  stubs[Symbol.dispose]();
  await endPrograms();
});

async function view(taskId: string, payloadView: PayloadView) {
  const { task } = await stubs.call(TaskService.method.getTask, { taskId, payloadView }).response;
  if (task === undefined) throw new Error('no task');
  return task;
}

describe('GetTask', () => {
  it('shows what was submitted, defaults filled in, and why it waits', async () => {
    const options = {
      priority: 50,
      requiredLabels: { zone: 'a' },
      timeout: durationFromMs(1_500),
      deadline: timestampFromMs(Date.now() + 60_000),
      retryPolicy: { maxAttempts: 7, nonRetryableReasons: ['NO'] },
      metadata: { who: 'me' },
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    };
    const { taskId } = await stubs.submit({ type: 'nobody', payload: json({ n: 1 }), options });
    const task = await stubs.get(taskId);
    expect(task).toMatchObject({
      taskId,
      type: 'nobody',
      state: TaskState.QUEUED,
      attempt: 0,
      attempts: [],
      waiting: { reason: WaitingReason.NO_WORKER_FOR_TYPE },
    });
    expect(task.options).toMatchObject({
      ...options,
      retryPolicy: { ...options.retryPolicy, initialBackoff: durationFromMs(200), maxBackoff: durationFromMs(30_000) },
    });
    expect(task.waiting?.message).toContain('nobody');
    expect(task.createTime).toBeDefined();
    expect([task.endTime, task.dueTime, task.options?.runTime, task.failure, task.result]).toEqual(
      Array.from({ length: 5 }, () => undefined),
    );
    expect(parsed(task.payload)).toEqual({ n: 1 });
  });

  it('shows when a task with a run_time is due', async () => {
    const runTime = timestampFromMs(Date.now() + 3_600_000);
    const { taskId, state } = await stubs.submit({ type: 'nobody', options: { runTime } });
    expect(state).toBe(TaskState.SCHEDULED);
    const task = await stubs.get(taskId);
    expect(task).toMatchObject({
      state: TaskState.SCHEDULED,
      dueTime: runTime,
      waiting: { reason: WaitingReason.RUN_TIME },
    });
    expect(task.options?.runTime).toEqual(runTime);
  });

  it('shows a running attempt with its progress, and then how it ended', async () => {
    using worker = await RawWorker.join(address, { hello: { workerId: 'shown' } });
    const { taskId } = await stubs.submit({ type: 'echo', payload: json('x') });
    const { attempt, payload } = await worker.assignment();
    if (attempt === undefined) throw new Error('no attempt');
    expect(parsed(payload)).toBe('x');
    worker.say({ started: [attempt], progress: [{ attempt, number: 1, data: json({ percent: 40 }) }] });
    const running = await poll(
      () => stubs.get(taskId),
      ({ progress }) => progress !== undefined,
      'progress',
    );
    expect(running).toMatchObject({
      state: TaskState.RUNNING,
      attempt: 1,
      attempts: [{ attempt: 1, workerId: 'shown' }],
    });
    expect(running.attempts[0]?.endTime).toBeUndefined();
    expect(running.waiting).toBeUndefined();
    expect(parsed(running.progress)).toEqual({ percent: 40 });

    worker.report(attempt, { ok: true });
    const task = await ended(stubs, taskId);
    expect(task).toMatchObject({ state: TaskState.SUCCEEDED, attempts: [{ attempt: 1 }] });
    expect(parsed(task.result)).toEqual({ ok: true });
    expect(task.progress).toBeUndefined();
    const [times] = task.attempts;
    expect(timestampMs(task.endTime!)).toBeGreaterThanOrEqual(timestampMs(times!.assignTime!));
  });

  it('writes the payload in the form asked for', async () => {
    const { taskId } = await stubs.submit({ type: 'nobody', payload: json({ n: 1 }) });
    expect((await view(taskId, PayloadView.UNSPECIFIED)).payload?.body.case).toBe('data');
    expect((await view(taskId, PayloadView.DATA)).payload?.body.case).toBe('data');
    expect((await view(taskId, PayloadView.VALUE)).payload?.body.case).toBe('value');
    expect((await view(taskId, PayloadView.NONE)).payload).toBeUndefined();
  });

  it('leaves what is no JSON as bytes', async () => {
    const payload = { contentType: 'text/plain', body: { case: 'data' as const, value: Buffer.from('hi') } };
    const { taskId } = await stubs.submit({ type: 'nobody', payload });
    expect((await view(taskId, PayloadView.VALUE)).payload).toMatchObject({
      contentType: 'text/plain',
      body: { case: 'data' },
    });
  });

  it('finds a task by its id in capitals', async () => {
    const { taskId } = await stubs.submit({ type: 'nobody' });
    expect((await stubs.get(taskId.toUpperCase())).taskId).toBe(taskId);
  });

  it('says that there is no such task', async () => {
    const taskId = randomUUID();
    const error = await errorOf(stubs.get(taskId));
    expect(error).toMatchObject({ code: Code.NOT_FOUND, reason: 'TASK_NOT_FOUND', metadata: { task_id: taskId } });
  });

  it.each(['', 'x'])('refuses "%s", which is no id', async (taskId) => {
    const error = await errorOf(stubs.get(taskId));
    expect(error).toMatchObject({
      code: Code.INVALID_ARGUMENT,
      reason: 'INVALID_TASK_ID',
      violations: [{ field: 'task_id' }],
    });
  });
});

import { randomUUID } from 'node:crypto';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { status as Code, type CallOptions } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PayloadView } from '../../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { OnAbandon, TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { CancelReason } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, parsed, Stubs } from '../../support/stubs.js';
import { ended, errorOf, RawWorker } from './support.js';

let address: string;
let stubs: Stubs;
let workers = 0;

beforeAll(async () => {
  ({ address } = await startCoordinator());
  stubs = new Stubs(address);
});

afterAll(async () => {
  stubs[Symbol.dispose]();
  await endPrograms();
});

/** A worker for one type, and a call that runs a task of that type. */
async function setup(options: CallOptions = {}, request: { onAbandon?: OnAbandon; payloadView?: PayloadView } = {}) {
  workers += 1;
  const type = `type-${workers}`;
  const worker = await RawWorker.join(address, { hello: { workerId: `w-${workers}`, taskTypes: [{ type }] } });
  const taskId = randomUUID();
  const task = { taskId, type, payload: json({ n: 1 }) };
  const call = stubs.call(TaskService.method.runTask, { task, ...request }, options);
  return { worker, taskId, type, call };
}

describe('RunTask', () => {
  it('answers with the ended task', async () => {
    const { worker, taskId, call } = await setup();
    using _ = worker;
    const { attempt, payload } = await worker.assignment();
    expect(parsed(payload)).toEqual({ n: 1 });
    worker.report(attempt, { doubled: 2 });
    const { task } = await call.response;
    expect(task).toMatchObject({ taskId, state: TaskState.SUCCEEDED, attempt: 1 });
    expect(parsed(task?.result)).toEqual({ doubled: 2 });
  });

  it('tells the id at once in the initial metadata, also one that it makes', async () => {
    const given = randomUUID();
    for (const taskId of [given, '']) {
      const call = stubs.call(TaskService.method.runTask, { task: { taskId, type: 'nobody' } });
      const [told] = (await call.initialMetadata).get('remuda-task-id');
      expect(taskId === '' ? String(told).length : told).toBe(taskId === '' ? 36 : given);
      call.cancel();
      expect((await errorOf(call.response)).code).toBe(Code.CANCELLED);
    }
  });

  it('takes a task that fails as an answer, not as an error of the call', async () => {
    const { worker, call } = await setup();
    using _ = worker;
    worker.fail((await worker.assignment()).attempt, 'NO_SUCH_FILE');
    const { task } = await call.response;
    expect(task).toMatchObject({
      state: TaskState.DEAD_LETTERED,
      failureCount: 1,
      failure: { reason: 'NO_SUCH_FILE' },
    });
    expect(task?.result).toBeUndefined();
  });

  it('answers a repeat under the same id with the same task, which runs once', async () => {
    const { worker, taskId, type, call } = await setup();
    using _ = worker;
    const { attempt } = await worker.assignment();
    const again = stubs.call(TaskService.method.runTask, { task: { taskId, type, payload: json({ n: 1 }) } });
    await again.initialMetadata;
    worker.report(attempt, 'once');
    expect(parsed((await call.response).task?.result)).toBe('once');
    expect(parsed((await again.response).task?.result)).toBe('once');
    const late = await stubs.run({ task: { taskId, type, payload: json({ n: 1 }) } });
    expect(parsed(late.task?.result)).toBe('once');
    expect(late.task?.attempt).toBe(1);
  });

  it('refuses other content under an id that is taken', async () => {
    const { taskId } = await stubs.submit({ type: 'nobody', payload: json(1) });
    const error = await errorOf(stubs.run({ task: { taskId, type: 'nobody', payload: json(2) } }));
    expect(error).toMatchObject({ code: Code.ALREADY_EXISTS, reason: 'TASK_ID_TAKEN' });
  });

  it.each([
    ['no task', {}, 'task'],
    ['an empty type', { task: { type: '' } }, 'type'],
    ['an unknown on_abandon', { task: { type: 't' }, onAbandon: 7 as OnAbandon }, 'on_abandon'],
  ])('refuses %s', async (_what, request, field) => {
    const error = await errorOf(stubs.run(request));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_TASK', violations: [{ field }] });
  });
});

describe('RunTask, views', () => {
  async function result(payloadView: PayloadView | undefined, payload: ReturnType<typeof json> | object) {
    workers += 1;
    const type = `type-${workers}`;
    using worker = await RawWorker.join(address, { hello: { workerId: `w-${workers}`, taskTypes: [{ type }] } });
    const answer = stubs.run({ task: { type, payload }, ...(payloadView === undefined ? {} : { payloadView }) });
    worker.report((await worker.assignment()).attempt, { a: [1] });
    const { task } = await answer;
    return [task?.payload?.body.case, task?.result?.body.case];
  }

  const value = { body: { case: 'value' as const, value: { kind: { case: 'numberValue' as const, value: 1 } } } };

  it('answers in the form in which the payload came, unless another is asked for', async () => {
    expect(await result(undefined, json(1))).toEqual(['data', 'data']);
    expect(await result(undefined, value)).toEqual(['value', 'value']);
    expect(await result(PayloadView.DATA, value)).toEqual(['data', 'data']);
    expect(await result(PayloadView.VALUE, json(1))).toEqual(['value', 'value']);
    expect(await result(PayloadView.NONE, value)).toEqual([undefined, undefined]);
  });
});

describe('RunTask, a call that ends before its task', () => {
  it('cancels the task with the call', async () => {
    const { worker, taskId, call } = await setup();
    using _ = worker;
    const { attempt } = await worker.assignment();
    call.cancel();
    expect((await errorOf(call.response)).code).toBe(Code.CANCELLED);
    const frame = await worker.frame(({ cancels }) => cancels.length > 0, 'cancel');
    expect(frame.cancels).toMatchObject([{ attempt, reason: CancelReason.REQUESTED }]);
    worker.fail(attempt, 'STOPPED');
    expect(await ended(stubs, taskId)).toMatchObject({ state: TaskState.CANCELLED, cancelRequested: true });
  });

  it('cancels a task that waits', async () => {
    const taskId = randomUUID();
    const call = stubs.call(TaskService.method.runTask, { task: { taskId, type: 'nobody' } });
    await call.initialMetadata;
    await stubs.get(taskId);
    call.cancel();
    await errorOf(call.response);
    expect((await ended(stubs, taskId)).state).toBe(TaskState.CANCELLED);
  });

  it('cancels the task when the connection is cut', async () => {
    const taskId = randomUUID();
    const cut = new Stubs(address);
    const call = cut.call(TaskService.method.runTask, { task: { taskId, type: 'nobody' } });
    const error = errorOf(call.response);
    await call.initialMetadata;
    await stubs.get(taskId);
    cut[Symbol.dispose]();
    call.cancel();
    await error;
    expect((await ended(stubs, taskId)).state).toBe(TaskState.CANCELLED);
  });

  it('leaves the task alone with KEEP', async () => {
    const { worker, taskId, call } = await setup({}, { onAbandon: OnAbandon.KEEP });
    using _ = worker;
    const { attempt } = await worker.assignment();
    call.cancel();
    await errorOf(call.response);
    worker.report(attempt, 'kept');
    const task = await ended(stubs, taskId);
    expect(task).toMatchObject({ state: TaskState.SUCCEEDED, cancelRequested: false });
    expect(worker.frames.flatMap(({ cancels }) => cancels)).toEqual([]);
  });

  it("makes the call's deadline the task's, and the task EXPIRED with it", async () => {
    const { worker, taskId, call } = await setup({ deadline: Date.now() + 500 });
    using _ = worker;
    const { attempt } = await worker.assignment();
    expect((await stubs.get(taskId)).options?.deadline).toBeDefined();
    expect((await errorOf(call.response)).code).toBe(Code.DEADLINE_EXCEEDED);
    const frame = await worker.frame(({ cancels }) => cancels.length > 0, 'cancel');
    expect(frame.cancels).toMatchObject([{ attempt, reason: CancelReason.DEADLINE }]);
    worker.fail(attempt, 'STOPPED');
    expect(await ended(stubs, taskId)).toMatchObject({ state: TaskState.EXPIRED, cancelRequested: false });
  });

  it('bounds only the waiting by the deadline of a call with KEEP', async () => {
    const { worker, taskId, call } = await setup({ deadline: Date.now() + 300 }, { onAbandon: OnAbandon.KEEP });
    using _ = worker;
    const { attempt } = await worker.assignment();
    expect((await errorOf(call.response)).code).toBe(Code.DEADLINE_EXCEEDED);
    expect((await stubs.get(taskId)).options?.deadline).toBeUndefined();
    worker.report(attempt, 'kept');
    expect((await ended(stubs, taskId)).state).toBe(TaskState.SUCCEEDED);
  });

  it("prefers the task's own deadline to the call's", async () => {
    const task = { taskId: randomUUID(), type: 'nobody', options: { timeout: durationFromMs(1_000) } };
    const deadline = { seconds: BigInt(Math.floor(Date.now() / 1_000) + 3_600), nanos: 0 };
    const options = { ...task.options, deadline };
    const call = stubs.call(
      TaskService.method.runTask,
      { task: { ...task, options }, onAbandon: OnAbandon.KEEP },
      { deadline: Date.now() + 200 },
    );
    await errorOf(call.response);
    expect((await stubs.get(task.taskId)).options?.deadline).toMatchObject(deadline);
  });
});

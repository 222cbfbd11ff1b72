import { randomUUID } from 'node:crypto';
import { status as Code } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, parsed, Stubs } from '../../support/stubs.js';
import { RawClient } from './raw-client.js';
import { ended, poll, RawWorker } from './support.js';

let address: string;
let stubs: Stubs;
let workers = 0;

beforeAll(async () => {
  ({ address } = await startCoordinator(['--store', 'memory:']));
  stubs = new Stubs(address);
});

afterAll(async () => {
  stubs[Symbol.dispose]();
  await endPrograms();
});

/** A worker for one type, and a client. */
async function setup() {
  workers += 1;
  const type = `type-${workers}`;
  const worker = await RawWorker.join(address, {
    hello: { workerId: `w-${workers}`, taskTypes: [{ type }], slots: 100 },
  });
  const client = new RawClient(address);
  const task = (taskId: string = randomUUID(), n: unknown = 1) => ({ taskId, type, payload: json({ n }) });
  const dispose = (): void => {
    worker[Symbol.dispose]();
    client[Symbol.dispose]();
  };
  return { worker, client, task, [Symbol.dispose]: dispose };
}

function errorIn({ error }: { error?: Parameters<typeof FleetError.fromStatusMessage>[0] | undefined }): FleetError {
  if (error === undefined) throw new Error('it was not refused');
  return FleetError.fromStatusMessage(error);
}

describe('OpenTaskStream', () => {
  it('answers a submit, and tells the end of what is awaited', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    const one = task();
    client.say({ submits: [{ task: one, await: true }] });
    expect(await client.acked()).toMatchObject([
      { taskId: one.taskId, alreadyExisted: false, capableWorkerCount: 1, notice: '' },
    ]);
    const { attempt, payload } = await worker.assignment();
    expect(parsed(payload)).toEqual({ n: 1 });
    worker.report(attempt, { doubled: 2 });
    const [result] = await client.told();
    expect(result).toMatchObject({ taskId: one.taskId, state: TaskState.SUCCEEDED });
    expect(result?.task).toBeUndefined();
    expect(parsed(result?.result)).toEqual({ doubled: 2 });
  });

  it('tells of an end other than success the whole task without its payload', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    client.say({ submits: [{ task: task(), await: true }] });
    worker.fail((await worker.assignment()).attempt, 'BROKEN');
    const [result] = await client.told();
    expect(result).toMatchObject({ state: TaskState.DEAD_LETTERED, task: { failure: { reason: 'BROKEN' } } });
    expect(result?.task?.attempts).toHaveLength(1);
    expect(result?.task?.payload).toBeUndefined();
  });

  it('does not tell the end of what is not awaited, or not any more', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    const [quiet, detached, wanted] = [task(), task(), task()];
    client.say({ submits: [{ task: quiet }, { task: detached, await: true }, { task: wanted, await: true }] });
    await client.acked(3);
    client.say({ detaches: [detached.taskId] });
    const attempts = [await worker.assignment(0), await worker.assignment(1), await worker.assignment(2)];
    for (const { attempt } of attempts) worker.report(attempt, 1);
    await client.told();
    client.close();
    expect((await client.end()).code).toBe(Code.OK);
    expect(client.results.map(({ taskId }) => taskId)).toEqual([wanted.taskId]);
    expect((await ended(stubs, detached.taskId)).state).toBe(TaskState.SUCCEEDED);
  });

  it('takes a detach that overtakes the answer to its submit, and an await after it', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    const [gone, back] = [task(), task()];
    client.say({
      submits: [
        { task: gone, await: true },
        { task: back, await: true },
      ],
      detaches: [gone.taskId, back.taskId],
    });
    client.say({ awaits: [back.taskId] });
    for (const n of [0, 1]) worker.report((await worker.assignment(n)).attempt, n);
    expect((await client.told()).map(({ taskId }) => taskId)).toEqual([back.taskId]);
    client.close();
    expect((await client.end()).code).toBe(Code.OK);
  });

  it('tells an end that has come before it was awaited, whoever submitted the task', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    const one = task();
    await stubs.submit(one);
    worker.report((await worker.assignment()).attempt, 'done');
    await ended(stubs, one.taskId);
    client.say({ awaits: [one.taskId.toUpperCase()], submits: [{ task: one, await: true }] });
    expect(await client.acked()).toMatchObject([{ alreadyExisted: true, state: TaskState.SUCCEEDED }]);
    const [result] = await client.told();
    expect(parsed(result?.result)).toBe('done');
  });

  it('refuses single submits with their own errors, in the order of the submits', async () => {
    using fleet = await setup();
    const { client, task } = fleet;
    const taken = task();
    await stubs.submit(taken);
    const fine = task();
    client.say({
      submits: [
        { task: { ...task(), type: 'no good' }, await: true },
        { task: { ...taken, payload: json('other') }, await: true },
        { task: { ...fine, taskId: '' } },
        { task: fine },
        {},
      ],
    });
    const acks = await client.acked(5);
    expect(acks.map((ack) => (ack.error === undefined ? ack.taskId : errorIn(ack).reason))).toEqual([
      'INVALID_TASK',
      'TASK_ID_TAKEN',
      'INVALID_TASK',
      fine.taskId,
      'INVALID_TASK',
    ]);
    expect(errorIn(acks[0] ?? {})).toMatchObject({ code: Code.INVALID_ARGUMENT, violations: [{ field: 'type' }] });
    client.close();
    expect((await client.end()).code).toBe(Code.OK);
  });

  it('tells who awaits an unknown task that there is none', async () => {
    using client = new RawClient(address);
    const taskId = randomUUID();
    client.say({ awaits: [taskId] });
    const [result] = await client.told();
    expect(result?.taskId).toBe(taskId);
    expect(errorIn(result ?? {})).toMatchObject({ code: Code.NOT_FOUND, reason: 'TASK_NOT_FOUND' });
  });

  it('ends well once the client has closed its side and knows everything', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    client.say({ submits: [{ task: task(), await: true }] });
    client.close();
    worker.report((await worker.assignment()).attempt, 1);
    expect((await client.end()).code).toBe(Code.OK);
    expect(client.results).toHaveLength(1);
  });

  it('cancels nothing when it is cut', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    const one = task();
    client.say({ submits: [{ task: one, await: true }] });
    const { attempt } = await worker.assignment();
    client[Symbol.dispose]();
    await client.end();
    worker.report(attempt, 1);
    expect(await ended(stubs, one.taskId)).toMatchObject({ state: TaskState.SUCCEEDED, cancelRequested: false });
  });

  it.each([
    ['an id that is no UUID', { awaits: ['nonsense'] }, 'awaits: has "nonsense"'],
    ['too many elements', { resultAcks: Array.from({ length: 1_025 }, () => randomUUID()) }, 'has 1025 elements'],
  ])('ends with INVALID_FRAME for %s', async (_what, frame, message) => {
    using client = new RawClient(address);
    client.say(frame);
    const error = await client.end();
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_FRAME' });
    expect(error.message).toContain(message);
  });

  it('is not ended for reading slowly: results beyond the outbox come from the store', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    const tasks = Array.from({ length: 24 }, (_, n) => task(randomUUID(), n));
    client.say({ submits: tasks.map((one) => ({ task: one, await: true })) });
    await client.acked(24);
    client.reading = false;
    const big = 'x'.repeat(900_000);
    for (let n = 0; n < 24; n += 1) {
      const { attempt, payload } = await worker.assignment(n);
      worker.report(attempt, { ...(parsed(payload) as object), big });
    }
    for (const { taskId } of tasks) await ended(stubs, taskId);
    client.reading = true;
    const results = await client.told(24);
    const numbers = results.map(({ result }) => (parsed(result) as { n: number }).n);
    expect(numbers).toEqual(tasks.map((_, n) => n));
  });
});

describe('OpenTaskStream and a coordinator that goes away', () => {
  it('ends with COORDINATOR_STOPPING when it stops', async () => {
    const { program, address: own } = await startCoordinator(['--store', 'memory:']);
    using client = new RawClient(own);
    client.say({ submits: [{ task: { taskId: randomUUID(), type: 'nobody' }, await: true }] });
    await client.acked();
    program.kill('SIGTERM');
    expect(await client.end()).toMatchObject({ code: Code.UNAVAILABLE, reason: 'COORDINATOR_STOPPING' });
    expect((await program.exit()).code).toBe(0);
  });
});

describe('CancelTask', () => {
  it('ends a task that waits, as often as it is asked for', async () => {
    const taskId = randomUUID();
    await stubs.submit({ taskId, type: 'nobody' });
    const cancel = () => stubs.call(TaskService.method.cancelTask, { taskId }).response;
    const [first, second] = await Promise.all([cancel(), cancel()]);
    expect([first.state, second.state, (await cancel()).state]).toEqual(Array(3).fill(TaskState.CANCELLED));
  });

  it('tells the worker of a task that runs', async () => {
    using fleet = await setup();
    const { worker, client, task } = fleet;
    const one = task();
    client.say({ submits: [{ task: one, await: true }] });
    const { attempt } = await worker.assignment();
    const { state } = await stubs.call(TaskService.method.cancelTask, { taskId: one.taskId }).response;
    expect(state).toBe(TaskState.RUNNING);
    await worker.frame(({ cancels }) => cancels.length > 0, 'cancel');
    worker.fail(attempt, 'STOPPED');
    expect(await client.told()).toMatchObject([{ state: TaskState.CANCELLED }]);
  });
});

describe('WatchTask', () => {
  it('shows the task as it stands and after each change, to its end', async () => {
    using fleet = await setup();
    const { worker, task } = fleet;
    const one = task();
    const watch = stubs.stream(TaskService.method.watchTask, { taskId: one.taskId });
    expect(FleetError.from(await watch.error())).toMatchObject({ code: Code.NOT_FOUND, reason: 'TASK_NOT_FOUND' });
    await stubs.submit(one);
    const seen = stubs.stream(TaskService.method.watchTask, { taskId: one.taskId });
    const { attempt } = await worker.assignment();
    await poll(
      async () => seen.messages.length,
      (count) => count > 0,
      'first answer',
    );
    worker.say({ progress: [{ ...(attempt === undefined ? {} : { attempt }), number: 1, data: json('half') }] });
    await poll(
      async () => seen.messages.at(-1)?.task?.progress,
      (progress) => progress !== undefined,
      'progress',
    );
    worker.report(attempt, 'whole');
    await seen.done();
    expect(seen.messages.at(-1)?.task?.state).toBe(TaskState.SUCCEEDED);
    expect(new Set(seen.messages.map(({ resumeToken }) => resumeToken)).size).toBe(seen.messages.length);
    const again = stubs.stream(TaskService.method.watchTask, {
      taskId: one.taskId,
      resumeToken: seen.messages.at(-1)?.resumeToken ?? '',
    });
    await again.done();
    expect(again.messages).toEqual([]);
  });

  it('refuses tokens that are made up', async () => {
    const watch = stubs.stream(TaskService.method.watchTask, { taskId: randomUUID(), resumeToken: 'made-up' });
    expect(FleetError.from(await watch.error())).toMatchObject({ reason: 'INVALID_RESUME_TOKEN' });
  });
});

import { randomUUID } from 'node:crypto';
import { status as Code } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, FleetError, TaskFailedError } from '../../../client/index.js';
import { CancelReason } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { parsed, Stubs } from '../../support/stubs.js';
import { ended } from '../coordinator/support.js';
import { failure, next, refusal, setup } from './support.js';

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

describe('submit', () => {
  it('resolves when the task is durable, and is the same task when it is repeated', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const receipt = await client.submit(type, { n: 1 }, { metadata: { order: '7' } });
    expect(receipt).toEqual({
      ...{ taskId: expect.stringMatching(/^[0-9a-f-]{14}7/), state: 'RUNNING', alreadyExisted: false },
      ...{ capableWorkerCount: 1, notice: '' },
    });
    const { taskId } = receipt;
    const again = await client.submit(type, { n: 1 }, { taskId: taskId.toUpperCase(), metadata: { order: '7' } });
    expect(again).toMatchObject({ taskId, alreadyExisted: true });
    const other = await refusal(client.submit(type, { n: 2 }, { taskId }));
    expect(other).toMatchObject({ code: Code.ALREADY_EXISTS, reason: 'TASK_ID_TAKEN', metadata: { task_id: taskId } });
  });

  it('says when nobody could run it', async () => {
    await using world = await setup(address);
    const { notice, state, capableWorkerCount } = await world.client.submit('nobody.does', null);
    expect({ state, capableWorkerCount }).toEqual({ state: 'QUEUED', capableWorkerCount: 0 });
    expect(notice).toContain('nobody.does');
  });

  it('answers each of many by itself, in order', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const taskId = randomUUID();
    const answers = await client.submitMany([
      ...Array.from({ length: 3_000 }, (_, n) => ({ type, payload: n })),
      { type, payload: 1, options: { taskId } },
      { type: 'no type', payload: 1 },
      { type, payload: 2, options: { taskId } },
      null as never,
    ]);
    expect(answers).toHaveLength(3_004);
    expect(answers.slice(0, 3_001).filter((answer) => answer instanceof FleetError)).toEqual([]);
    const taskIds = answers.flatMap((answer) => ('taskId' in answer ? [answer.taskId] : []));
    expect(taskIds.slice(0, 3_000)).toEqual([...new Set(taskIds.slice(0, 3_000))].sort());
    expect(answers.slice(3_001).map((answer) => answer instanceof FleetError && answer.reason)).toEqual([
      ...['INVALID_TASK', 'TASK_ID_TAKEN', 'INVALID_TASK'],
    ]);
  });

  it('lets calls wait their turn beyond the bound, and shows how many', async () => {
    await using world = await setup(address, { maxInFlight: 2 });
    const { client, type, worker } = world;
    const runs = [1, 2, 3, 4].map((n) => client.run(type, n));
    expect(client.stats).toMatchObject({ inFlight: 2, waiting: 2, connected: false, reconnects: 0 });
    for (let n = 0; n < 4; n += 1) {
      const { attempt, payload } = await worker.assignment(n);
      worker.report(attempt, parsed(payload));
    }
    expect(await Promise.all(runs)).toEqual([1, 2, 3, 4]);
    expect(client.stats).toEqual({ inFlight: 0, inFlightBytes: 0, waiting: 0, connected: true, reconnects: 0 });
  });
});

describe('run', () => {
  it('resolves with the result as its handler returned it', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const running = client.run(type, { n: 1 });
    const { attempt, payload } = await worker.assignment();
    expect(parsed(payload)).toEqual({ n: 1 });
    worker.report(attempt, { doubled: 2 });
    expect(await running).toEqual({ doubled: 2 });
  });

  it('takes and gives bytes with their content type', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const running = client.run(type, new Uint8Array([1, 2]), { contentType: 'image/png' });
    const { attempt, payload } = await worker.assignment();
    expect(payload).toMatchObject({ contentType: 'image/png', body: { value: Buffer.from([1, 2]) } });
    const result = { contentType: 'image/jpeg', body: { case: 'data' as const, value: new Uint8Array([3]) } };
    worker.say({ reports: [{ attempt: attempt!, outcome: AttemptOutcome.SUCCEEDED, result }] });
    expect(await running).toEqual({ contentType: 'image/jpeg', data: new Uint8Array([3]) });
  });

  it('says so when a result that should be JSON is none, which get() still shows', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const running = refusal(client.run(type, null));
    const { attempt } = await worker.assignment();
    const broken = { body: { case: 'data' as const, value: Buffer.from('{') } };
    worker.say({ reports: [{ attempt: attempt!, outcome: AttemptOutcome.SUCCEEDED, result: broken }] });
    const { reason, metadata, message } = await running;
    expect({ reason, metadata }).toEqual({ reason: 'RESULT_NOT_JSON', metadata: { task_id: attempt!.taskId } });
    expect(message).toContain('get() shows them');
    expect((await client.get(attempt!.taskId)).result).toMatchObject({ data: new Uint8Array([123]) });
  });

  it('throws what became of a task that did not succeed, with every attempt', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const retry = { maxAttempts: 2, initialBackoffMs: 1, nonRetryableReasons: ['HOPELESS'] };
    const running = failure(client.run(type, null, { retry }));
    worker.fail((await worker.assignment(0)).attempt, 'FLAKY', false);
    worker.fail((await worker.assignment(1)).attempt, 'HOPELESS', false);
    const error = await running;
    if (!(error instanceof TaskFailedError)) throw error;
    expect(error).toMatchObject({ name: 'TaskFailedError', state: 'DEAD_LETTERED', reason: 'HOPELESS' });
    expect(error.message).toMatch(
      /^task \S+ of type \S+ ended DEAD_LETTERED after 2 attempts .*: HOPELESS: on purpose$/,
    );
    expect(error.attempts).toMatchObject([
      { attempt: 1, outcome: 'FAILED', charge: 'FAILURE', failure: { reason: 'FLAKY', message: 'on purpose' } },
      { attempt: 2, outcome: 'FAILED', failure: { reason: 'HOPELESS' }, workerId: expect.any(String) },
    ]);
    expect(error.task).toMatchObject({ taskId: error.taskId, failureCount: 2, payload: undefined });
    expect(error.task.endTime).toBeInstanceOf(Date);
  });

  it('gives a task up at its deadline', async () => {
    await using world = await setup(address);
    const error = await failure(world.client.run('nobody.does', null, { deadlineMs: 300 }));
    expect(error).toMatchObject({ name: 'TaskFailedError', state: 'EXPIRED', reason: 'DEADLINE_PASSED', attempts: [] });
  });

  it('gives a task up at its deadline that still waits in the client, and never sends it', async () => {
    await using world = await setup(address, { maxInFlight: 1 });
    const { client, type, worker } = world;
    const first = client.run(type, 1);
    const { attempt } = await worker.assignment();
    const taskId = randomUUID();
    const error = await refusal(client.run(type, 2, { taskId, deadlineMs: 50 }));
    expect(error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, reason: 'DEADLINE_PASSED' });
    expect(error.message).toContain('it was never sent');
    worker.report(attempt, 'done');
    expect(await first).toBe('done');
    expect(await refusal(client.get(taskId))).toMatchObject({ reason: 'TASK_NOT_FOUND' });
  });

  it('leaves a deadline that has passed before the call to the coordinator, which knows a repeat', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const [taskId, deadline] = [randomUUID(), new Date(Date.now() + 300)];
    await client.submit(type, 1, { taskId, deadline });
    expect(await failure(client.result(taskId))).toMatchObject({ state: 'EXPIRED' });
    expect(await client.submit(type, 1, { taskId, deadline })).toMatchObject({
      alreadyExisted: true,
      state: 'EXPIRED',
    });
    expect(await refusal(client.submit(type, 1, { deadline }))).toMatchObject({ reason: 'INVALID_TASK' });
  });

  it('cancels its task when it is aborted', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const controller = new AbortController();
    const running = refusal(client.run(type, null, { signal: controller.signal }));
    const { attempt } = await worker.assignment();
    // Acknowledgements come in order.
    await client.submit(type, 'behind it');
    controller.abort('enough');
    const error = await running;
    expect(error).toMatchObject({ code: Code.CANCELLED, reason: 'WAIT_ABORTED', cause: 'enough' });
    const cancelled = await worker.frame(({ cancels }) => cancels.length > 0, 'cancel');
    expect(cancelled.cancels).toMatchObject([{ attempt: { taskId: attempt!.taskId }, reason: CancelReason.REQUESTED }]);
  });

  it('lets its task go on when that was asked for; result() waits for it again', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const controller = new AbortController();
    const running = refusal(client.run(type, null, { signal: controller.signal, onAbandon: 'keep' }));
    const { attempt } = await worker.assignment();
    await client.submit(type, 'behind it');
    controller.abort();
    expect(await running).toMatchObject({ reason: 'WAIT_ABORTED', message: expect.stringContaining('goes on') });
    const result = client.result(attempt!.taskId);
    worker.report(attempt, 'late');
    expect(await result).toBe('late');
    expect(await client.result(attempt!.taskId)).toBe('late');
  });

  it('sends nothing for a signal that is aborted already', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const taskId = randomUUID();
    const error = await refusal(client.run(type, null, { taskId, signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ reason: 'NOT_SENT' });
    expect(await refusal(client.get(taskId))).toMatchObject({ reason: 'TASK_NOT_FOUND' });
  });

  it('bears one signal for thousands of calls, without a warning', async () => {
    await using world = await setup(address);
    const warnings: string[] = [];
    const onWarning = ({ message }: Error): void => void warnings.push(message);
    process.on('warning', onWarning);
    const controller = new AbortController();
    const runs = Array.from({ length: 2_000 }, () =>
      refusal(world.client.run('nobody.does', null, { signal: controller.signal })),
    );
    const accepted = await world.client.submit('nobody.does', null);
    expect(accepted.state).toBe('QUEUED');
    controller.abort();
    const reasons = new Set((await Promise.all(runs)).map(({ reason }) => reason));
    process.off('warning', onWarning);
    expect({ reasons, warnings }).toEqual({ reasons: new Set(['WAIT_ABORTED']), warnings: [] });
  });
});

describe('result', () => {
  it('says so for a task that there is not', async () => {
    await using world = await setup(address);
    const { client } = world;
    expect(await refusal(client.result(randomUUID()))).toMatchObject({
      code: Code.NOT_FOUND,
      reason: 'TASK_NOT_FOUND',
    });
    expect(await refusal(client.result('nine'))).toMatchObject({
      ...{ code: Code.INVALID_ARGUMENT, reason: 'INVALID_TASK_ID', message: 'taskId: is "nine"; it must be a UUID' },
    });
  });
});

describe('a task that is larger than the coordinator takes', () => {
  it('is refused alone, also when it is larger than a frame may be', async () => {
    const small = await startCoordinator(['--max-payload-bytes', '1024']);
    await using world = await setup(small.address, { maxPayloadBytes: 8 * 1_048_576 });
    const { client, type, worker } = world;
    const neighbour = client.run(type, 'small');
    const large = [2_000, 3 * 1_048_576].map((chars) => refusal(client.submit(type, 'x'.repeat(chars))));
    for (const error of await Promise.all(large)) {
      expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'PAYLOAD_TOO_LARGE' });
      expect(error.message).toContain('--max-payload-bytes');
    }
    worker.report((await worker.assignment()).attempt, 'done');
    expect(await neighbour).toBe('done');
  });
});

describe('close', () => {
  it('fails what is under way, cancels nothing, and refuses all that follows', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const running = refusal(client.run(type, null));
    const { attempt } = await worker.assignment();
    await client.close();
    expect(await running).toMatchObject({ code: Code.FAILED_PRECONDITION, reason: 'CLIENT_CLOSED' });
    worker.report(attempt, 1);
    expect((await ended(stubs, attempt!.taskId)).cancelRequested).toBe(false);
    const id = randomUUID();
    const calls = [
      ...[client.submit(type, 1), client.submitMany([]), client.run(type, 1), client.result(id), client.get(id)],
      ...[client.cancel(id), client.requeue([id]), client.delete([id])],
    ];
    for (const call of calls) expect(await refusal(call)).toMatchObject({ reason: 'CLIENT_CLOSED' });
    expect(() => client.watch(id)).toThrow(expect.objectContaining({ reason: 'CLIENT_CLOSED' }));
    expect(() => client.list()).toThrow(expect.objectContaining({ reason: 'CLIENT_CLOSED' }));
    await client.close();
  });

  it('lets what is under way end first when there is time for it', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const running = client.run(type, null);
    const { attempt } = await worker.assignment();
    const closed = client.close({ drainTimeoutMs: 10_000 });
    worker.report(attempt, 'done');
    expect(await running).toBe('done');
    await closed;
  });

  it('submits the rest of a submitMany() while there is time for it', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const submitted = client.submitMany(Array.from({ length: 3_000 }, (_, n) => ({ type, payload: n })));
    await client.close({ drainTimeoutMs: 30_000 });
    expect((await submitted).filter((answer) => answer instanceof FleetError)).toEqual([]);
  });

  it('lets watches, lists and calls go on while there is time for it', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const { taskId } = await client.submit(type, null);
    const { attempt } = await worker.assignment();
    const watch = client.watch(taskId);
    await next(watch);
    const list = client.list({ type, pageSize: 1 });
    await client.submit(type, null);
    await next(list);
    const task = client.get(taskId);
    const closed = client.close({ drainTimeoutMs: 30_000 });
    expect(await refusal(client.get(taskId))).toMatchObject({ reason: 'CLIENT_CLOSED' });
    expect((await task).state).toBe('RUNNING');
    expect((await next(list)).taskId).toBe(taskId);
    expect((await list.next()).done).toBe(true);
    const last = next(watch);
    worker.report(attempt, 'done');
    expect((await last).state).toBe('SUCCEEDED');
    expect((await watch.next()).done).toBe(true);
    await closed;
  });

  it('ends them when a repeat brings the end forward, also those that nobody reads', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const { taskId } = await client.submit(type, null);
    await client.submit(type, null);
    await next(client.list({ type, pageSize: 1 }));
    const watch = client.watch(taskId);
    await next(watch);
    const waiting = refusal(watch.next());
    const closed = client.close({ drainTimeoutMs: 86_400_000 });
    await client.close();
    await closed;
    expect(await waiting).toMatchObject({ reason: 'CLIENT_CLOSED' });
  });

  it('sends the cancels of runs that were aborted just before', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const controller = new AbortController();
    const running = refusal(client.run(type, null, { signal: controller.signal }));
    await worker.assignment();
    controller.abort();
    await Promise.all([running, client.close()]);
    await worker.frame(({ cancels }) => cancels.length > 0, 'cancel');
  });

  it('ends watches and calls under way', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const { taskId } = await client.submit(type, null);
    const watch = client.watch(taskId);
    await watch.next();
    const waiting = refusal(watch.next());
    await client.close();
    expect(await waiting).toMatchObject({ reason: 'CLIENT_CLOSED' });
  });
});

describe('bad input', () => {
  it('is refused in one message, before anything is sent', async () => {
    await using client = createClient({ address: '127.0.0.1:1' });
    const options = { priority: 101, timeoutMs: 0, deadline: 'soon', labels: {} };
    const error = await refusal(client.run('no type', 1n, options as never));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_TASK' });
    for (const part of [
      'payload: is a BigInt',
      'type: is "no type"',
      'options.priority: is 101',
      'options.labels: is not',
    ]) {
      expect(error.message).toContain(part);
    }
    expect(await refusal(client.requeue(['nine']))).toMatchObject({ reason: 'INVALID_TASK_ID' });
    expect(await refusal(client.get(randomUUID(), { signal: 1 } as never))).toMatchObject({
      reason: 'INVALID_OPTIONS',
    });
    expect(() => client.list({ states: ['DONE'], pageSize: 0 } as never)).toThrow(
      /options.states: has "DONE"; states are SCHEDULED, .*; options.pageSize: is 0; it must be a whole number from 1 to 1000/,
    );
    expect(await refusal(client.close({ drainTimeoutMs: -1 }))).toMatchObject({ reason: 'INVALID_OPTIONS' });
  });

  it('is named option by option when a client is made', () => {
    const options = { address: 'nowhere', maxInFlight: 0, connectTimeoutMs: '5s', retries: 3 };
    expect(() => createClient(options as never)).toThrow(
      expect.objectContaining({
        reason: 'INVALID_OPTIONS',
        message:
          'options.retries: is not known; known are address, connectTimeoutMs, waitForReady, callTimeoutMs, maxInFlight, ' +
          'maxInFlightBytes, maxWaiting, maxPayloadBytes; ' +
          'address: is "nowhere"; it must be HOST:PORT or unix:PATH, for instance 127.0.0.1:7070; ' +
          'connectTimeoutMs: is "5s"; it must be a whole number from 1 to 3600000 (milliseconds); ' +
          'maxInFlight: is 0; it must be a whole number from 1 to 65536',
      }),
    );
  });
});

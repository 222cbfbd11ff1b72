import { status as Code } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AttemptState, FleetService, WorkerState } from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { Stubs } from '../../support/stubs.js';
import { ended, errorOf, poll, RawWorker, type HelloInit } from './support.js';

let address: string;
let stubs: Stubs;
let joined: RawWorker[];

let shared: string;

beforeAll(async () => {
  shared = (await startCoordinator()).address;
});

beforeEach(() => {
  joined = [];
  address = shared;
  stubs = new Stubs(address);
});

afterEach(() => {
  for (const worker of joined) worker[Symbol.dispose]();
  stubs[Symbol.dispose]();
});

afterAll(async () => {
  await endPrograms();
});

/** For tests that look at the whole fleet. */
async function ofItsOwn(): Promise<void> {
  stubs[Symbol.dispose]();
  ({ address } = await startCoordinator());
  stubs = new Stubs(address);
}

async function join(hello: HelloInit): Promise<RawWorker> {
  const worker = await RawWorker.join(address, { hello });
  joined.push(worker);
  return worker;
}

function list(request: { pageSize?: number; pageToken?: string }) {
  return stubs.call(FleetService.method.listWorkers, request).response;
}

function getWorker(workerId: string) {
  return stubs.call(FleetService.method.getWorker, { workerId }).response;
}

describe('ListWorkers', () => {
  it('gives every worker once over its pages, by worker_id', async () => {
    await ofItsOwn();
    const ids = ['a', 'b', 'c/1', 'c:2', 'd@e'];
    for (const workerId of [...ids].reverse()) await join({ workerId });
    const seen: string[][] = [];
    let pageToken = '';
    do {
      const page = await list({ pageSize: 2, pageToken });
      seen.push(page.workers.map(({ workerId }) => workerId));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(seen).toEqual([['a', 'b'], ['c/1', 'c:2'], ['d@e']]);
  });

  it('has no next page when the last is just full, and none at all without workers', async () => {
    await ofItsOwn();
    expect(await list({})).toMatchObject({ workers: [], nextPageToken: '' });
    await join({ workerId: 'a' });
    await join({ workerId: 'b' });
    expect((await list({ pageSize: 2 })).nextPageToken).toBe('');
    expect((await list({ pageSize: 5_000 })).workers).toHaveLength(2);
  });

  it('goes on after a worker that has left meanwhile', async () => {
    await ofItsOwn();
    for (const workerId of ['a', 'b', 'c']) await join({ workerId });
    const { nextPageToken } = await list({ pageSize: 1 });
    const [a] = joined;
    a?.say({ leaving: {} });
    await a?.frame(({ drain }) => drain !== undefined, 'drain');
    a?.close();
    await poll(
      () => stubs.workers(),
      (workers) => workers.length === 2,
      'end of a',
    );
    const rest = await list({ pageToken: nextPageToken });
    expect(rest.workers.map(({ workerId }) => workerId)).toEqual(['b', 'c']);
  });

  it.each([
    ['a negative page_size', { pageSize: -1 }, 'page_size'],
    ['a made-up page_token', { pageToken: 'made up' }, 'page_token'],
    ['a page_token of no worker_id', { pageToken: Buffer.from('?').toString('base64url') }, 'page_token'],
    ['a padded page_token', { pageToken: 'YQ==' }, 'page_token'],
  ])('refuses %s', async (_what, request, field) => {
    const error = await errorOf(list(request));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_PAGE', violations: [{ field }] });
  });
});

describe('GetWorker', () => {
  it('shows what a worker said, holds and measured', async () => {
    const hello = {
      workerId: 'w',
      version: '1.2',
      host: 'h',
      pid: 42,
      labels: { zone: 'a' },
      slots: 3,
      prefetch: 1,
      taskTypes: [{ type: 'echo', slots: 2 }, { type: 'all' }],
    };
    const worker = await join(hello);
    const { taskId } = await stubs.submit({ type: 'echo' });
    const { attempt } = await worker.assignment();
    if (attempt === undefined) throw new Error('no attempt');
    worker.say({ started: [attempt], heartbeat: { cpuMillis: 7, rssBytes: 8n, handlerLoopLagMs: 9 } });
    const { worker: shown } = await poll(
      () => getWorker('w'),
      (answer) => answer.worker?.heartbeat !== undefined,
      'heartbeat',
    );
    expect(shown).toMatchObject({
      workerId: 'w',
      incarnation: worker.hello.incarnation,
      sessionNumber: 1,
      state: WorkerState.READY,
      version: '1.2',
      host: 'h',
      pid: 42,
      labels: { zone: 'a' },
      taskTypes: [
        { type: 'echo', slots: 2 },
        { type: 'all', slots: 3 },
      ],
      slotCount: 3,
      prefetchCount: 1,
      slotUsedCount: 1,
      attempts: [{ taskId, type: 'echo', attempt: 1, state: AttemptState.STARTED }],
      attemptDoneCount: 0,
      heartbeat: { cpuMillis: 7, rssBytes: 8n, handlerLoopLagMs: 9 },
    });
    const { connectTime, lastFrameTime, leaseEndTime } = shown ?? {};
    expect([connectTime, lastFrameTime, leaseEndTime].every((time) => time !== undefined)).toBe(true);

    worker.report(attempt, 1);
    await ended(stubs, taskId);
    expect((await getWorker('w')).worker).toMatchObject({ slotUsedCount: 0, attempts: [], attemptDoneCount: 1 });
  });

  it('shows a worker without a stream until its lease is over', async () => {
    const worker = await join({ workerId: 'gone' });
    worker[Symbol.dispose]();
    const { worker: shown } = await poll(
      () => getWorker('gone'),
      (answer) => answer.worker?.state === WorkerState.DISCONNECTED,
      'disconnected worker',
    );
    expect(shown?.stateMessage).not.toBe('');
  });

  it('says that there is no such worker', async () => {
    const error = await errorOf(getWorker('nobody'));
    expect(error).toMatchObject({
      code: Code.NOT_FOUND,
      reason: 'WORKER_NOT_FOUND',
      metadata: { worker_id: 'nobody' },
    });
  });

  it.each(['', 'a b', 'w'.repeat(128)])('refuses "%s", which is no id', async (workerId) => {
    const error = await errorOf(getWorker(workerId));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_WORKER_ID' });
    expect(error.violations).toMatchObject([{ field: 'worker_id' }]);
  });
});

describe('GetFleetStats', () => {
  it('counts tasks, workers, slots and what has happened', async () => {
    await ofItsOwn();
    const worker = await join({ workerId: 'w', slots: 2 });
    const first = await stubs.submit({ type: 'echo' });
    worker.report((await worker.assignment()).attempt, 1);
    await ended(stubs, first.taskId);
    await stubs.submit({ type: 'echo' });
    const { attempt } = await worker.assignment(1);
    worker.fail(attempt, 'NO');
    await stubs.submit({ type: 'echo' });
    await worker.assignment(2);
    await stubs.submit({ type: 'nobody' });
    const runTime = { seconds: BigInt(Math.floor(Date.now() / 1_000) + 3_600), nanos: 0 };
    await stubs.submit({ type: 'nobody', options: { runTime } });

    const stats = await poll(
      () => stubs.stats(),
      ({ totals }) => totals?.deadLetteredCount === 1n,
      'dead letter',
    );
    expect(stats).toMatchObject({
      tasks: { scheduledCount: 1, queuedCount: 1, runningCount: 1 },
      workers: { readyCount: 1, suspectCount: 0, disconnectedCount: 0, slotCount: 2, slotUsedCount: 1 },
      attempts: { sentCount: 0, abandonedCount: 0 },
      totals: { submittedCount: 5n, assignedCount: 3n, succeededCount: 1n, deadLetteredCount: 1n, failureCount: 1n },
    });
    const types = Object.fromEntries(stats.types.map((counts) => [counts.type, counts]));
    expect(types['echo']).toMatchObject({ tasks: { runningCount: 1 }, readyWorkerCount: 1 });
    expect(types['nobody']).toMatchObject({ tasks: { scheduledCount: 1, queuedCount: 1 }, readyWorkerCount: 0 });
    expect(stats.version).toMatch(/^\d+\./);
    expect(stats.startTime).toBeDefined();
    // Two attempts have ended; the second was in a process that had run one before.
    expect(stats.totals?.reuseRate).toBe(0.5);
  });
});

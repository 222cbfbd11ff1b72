import { randomUUID } from 'node:crypto';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FleetService, WorkerState } from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import { endPrograms, startCoordinator, type Program } from '../../support/programs.js';
import { Stubs } from '../../support/stubs.js';
import { freshFolder } from '../../store/places.js';
import { ended, errorOf, RawWorker } from './support.js';

let program: Program;
let address: string;
let stubs: Stubs;
const joined: RawWorker[] = [];

beforeEach(async () => {
  ({ program, address } = await startCoordinator(['--store', 'memory:']));
  stubs = new Stubs(address);
});

afterEach(async () => {
  for (const worker of joined.splice(0)) worker[Symbol.dispose]();
  stubs[Symbol.dispose]();
  await endPrograms();
});

async function join(workerId: string, at = address): Promise<RawWorker> {
  const worker = await RawWorker.join(at, { hello: { workerId } });
  joined.push(worker);
  return worker;
}

function drain(workerPatterns: string[], waitMs?: number) {
  const wait = waitMs === undefined ? {} : { waitTimeout: durationFromMs(waitMs) };
  return stubs.call(FleetService.method.drainWorkers, { workerPatterns, ...wait });
}

function resume(...workerPatterns: string[]) {
  return stubs.call(FleetService.method.resumeWorkers, { workerPatterns }).response;
}

async function stateOf(workerId: string): Promise<WorkerState | undefined> {
  return (await stubs.workers()).find((worker) => worker.workerId === workerId)?.state;
}

describe('DrainWorkers', () => {
  it('keeps new work from a worker, across its reconnects, until it is resumed', async () => {
    const first = await join('host-1/a');
    expect(await drain(['host-1/*']).response).toMatchObject({ workerCount: 1, busyWorkerCount: 0 });
    first[Symbol.dispose]();
    await first.end();
    const back = await join('host-1/a');
    const { taskId, notice } = await stubs.submit({ taskId: randomUUID(), type: 'echo' });
    expect(notice).toBe('');
    expect(await stateOf('host-1/a')).toBe(WorkerState.DRAINING);
    expect((await stubs.get(taskId)).waiting?.message).toContain('draining');
    expect(await resume('host-1/*')).toMatchObject({
      drains: [{ workerPattern: 'host-1/*' }],
      resumedWorkerCount: 1,
    });
    back.report((await back.assignment()).attempt, 1);
    await ended(stubs, taskId);
    expect(await stateOf('host-1/a')).toBe(WorkerState.READY);
  });

  it('waits until the workers are idle', async () => {
    const worker = await join('w');
    await stubs.submit({ taskId: randomUUID(), type: 'echo' });
    const { attempt } = await worker.assignment();
    const waiting = drain(['w'], 60_000).response;
    expect((await drain(['w']).response).busyWorkerCount).toBe(1);
    worker.report(attempt, 1);
    expect(await waiting).toMatchObject({ workers: [{ workerId: 'w', attemptCount: 0 }], busyWorkerCount: 0 });
  });

  it('answers as it stands when the time to wait is over', async () => {
    const worker = await join('w');
    await stubs.submit({ taskId: randomUUID(), type: 'echo' });
    await worker.assignment();
    expect(await drain(['w'], 50).response).toMatchObject({ workerCount: 1, busyWorkerCount: 1 });
    expect(await stateOf('w')).toBe(WorkerState.DRAINING);
  });

  it('holds when its caller is cut while it waits', async () => {
    const worker = await join('w');
    await stubs.submit({ taskId: randomUUID(), type: 'echo' });
    await worker.assignment();
    const call = drain(['w'], 60_000);
    while ((await stateOf('w')) !== WorkerState.DRAINING) await stubs.stats();
    call.cancel();
    expect((await errorOf(call.response)).code).toBe(Code.CANCELLED);
    expect(await stateOf('w')).toBe(WorkerState.DRAINING);
  });

  it('is shown with the stats, and told in the log', async () => {
    await join('w');
    await drain(['w', 'x*']).response;
    expect((await stubs.stats()).drains.map(({ workerPattern }) => workerPattern)).toEqual(['w', 'x*']);
    const line = await program.line(({ json }) => json?.['msg'] === 'worker-draining', 'worker-draining');
    expect(line.json).toMatchObject({ worker_id: 'w', detail: 'an operator drained "w"; it gets nothing new' });
    await resume('*');
    await program.line(({ json }) => json?.['msg'] === 'worker-resumed', 'worker-resumed');
  });

  it('outlives a coordinator that is killed', async () => {
    const store = `sqlite:${freshFolder()}/remuda.db`;
    const before = await startCoordinator(['--store', store]);
    using first = new Stubs(before.address);
    await first.call(FleetService.method.drainWorkers, { workerPatterns: ['w'] }).response;
    before.program.kill('SIGKILL');
    await before.program.exit();
    const after = await startCoordinator(['--store', store]);
    using second = new Stubs(after.address);
    await join('w', after.address);
    const [worker] = await second.workers();
    expect(worker?.state).toBe(WorkerState.DRAINING);
    expect((await second.stats()).drains).toMatchObject([{ workerPattern: 'w' }]);
  });

  it.each([
    [[], undefined, 'worker_patterns'],
    [['no good', ''], undefined, 'worker_patterns[0]'],
    [['w'], 3_600_001, 'wait_timeout'],
    [['w'], -1, 'wait_timeout'],
  ])('refuses %j, waiting %s ms', async (patterns, waitMs, field) => {
    const error = await errorOf(drain(patterns, waitMs).response);
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_WORKER_ID' });
    expect(error.violations[0]?.field).toBe(field);
  });
});

describe('ResumeWorkers', () => {
  it('refuses what no drain fits, and names those that are held', async () => {
    await drain(['host-1/*']).response;
    const error = await errorOf(resume('host-1/3'));
    expect(error).toMatchObject({
      ...{ code: Code.NOT_FOUND, reason: 'DRAIN_NOT_FOUND', metadata: { held: 'host-1/*' } },
    });
    expect(error.message).toContain('held are "host-1/*"');
  });
});

describe('ListQueues', () => {
  it('gives every type once over its pages', async () => {
    await join('w');
    for (const type of ['b', 'a', 'c']) await stubs.submit({ taskId: randomUUID(), type });
    const queues: string[] = [];
    let pageToken = '';
    do {
      const page = await stubs.call(FleetService.method.listQueues, { pageSize: 2, pageToken }).response;
      queues.push(
        ...page.queues.map(({ type, tasks, slotFreeCount }) => `${type} ${tasks?.queuedCount} ${slotFreeCount}`),
      );
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(queues).toEqual(['a 1 0', 'b 1 0', 'c 1 0', 'echo 0 1']);
  });

  it('refuses made-up tokens', async () => {
    const error = await errorOf(stubs.call(FleetService.method.listQueues, { pageToken: '!' }).response);
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_PAGE' });
  });
});

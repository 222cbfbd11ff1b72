/** A coordinator on a disk that fills, and is emptied again: a real one of a few mebibytes. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { afterEach, describe, expect, it, type TestContext } from 'vitest';
import { FleetService } from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { endPrograms, startCoordinator, type Program } from '../../support/programs.js';
import { SmallDisk } from '../../support/small-disk.js';
import { Stubs } from '../../support/stubs.js';
import { ended, errorOf, poll, RawWorker } from './support.js';

const MIB = 1_048_576;

let disk: SmallDisk | undefined;

afterEach(async () => {
  await endPrograms();
  disk?.[Symbol.dispose]();
  disk = undefined;
});

function smallDisk(context: TestContext, mebibytes: number): SmallDisk {
  disk = new SmallDisk(context, mebibytes);
  return disk;
}

const said = (program: Program, msg: string) => program.line(({ json }) => json?.['msg'] === msg, `line ${msg}`);
const payload = (bytes: number) => ({
  contentType: 'text/plain',
  body: { case: 'data' as const, value: new Uint8Array(bytes) },
});

/** A gauge or counter without labels. */
async function metric(http: string, name: string): Promise<number> {
  const text = await (await fetch(`http://${http}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

describe('a coordinator whose disk fills', () => {
  it('refuses new tasks below its watermark, finishes those that it has, and takes new ones again', async (context) => {
    const small = smallDisk(context, 48);
    const { folder } = small;
    const store = join(folder, 'remuda.db');
    const { program, address, http } = await startCoordinator([
      ...['--store', `sqlite:${store}`, '--min-free-bytes', String(16 * MIB)],
    ]);
    using stubs = new Stubs(address);
    using worker = await RawWorker.join(address, { hello: { slots: 3 } });
    const running = await stubs.submit({ type: 'echo', payload: payload(1_000) });
    const { attempt } = await worker.assignment();
    const isCounted = (bytes: number): boolean => bytes === 19 * MIB;
    await poll(() => metric(http, 'remuda_store_min_free_bytes'), isCounted, 'the slots on the watermark');
    expect(await metric(http, 'remuda_store_free_bytes')).toBeGreaterThan(40 * MIB);

    // Nothing is committed meanwhile: it is noticed at rest.
    small.fill(18 * MIB);
    const { json: low } = await said(program, 'disk-low');
    expect(low).toMatchObject({ folder, min_free_bytes: 19 * MIB, detail: expect.stringContaining('make room') });
    const refused = await errorOf(stubs.submit({ type: 'echo' }));
    expect(refused).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'STORE_FULL', retryDelayMs: 1_000 });
    expect(refused.metadata).toMatchObject({ folder, min_free_bytes: String(19 * MIB) });
    for (const text of [folder, String(refused.metadata['free_bytes']), '--min-free-bytes', 'make room there'])
      expect(refused.message).toContain(text);
    const repeat = { taskId: running.taskId, type: 'echo', payload: payload(1_000) };
    expect(await stubs.submit(repeat)).toMatchObject({ alreadyExisted: true });
    const { store: kept } = await stubs.call(FleetService.method.getFleetStats, {}).response;
    expect(Number(kept?.freeBytes)).toBeLessThan(Number(kept?.minFreeBytes));
    // Workers must find it, so that they can report.
    expect((await fetch(`http://${http}/readyz`)).status).toBe(200);
    worker.report(attempt, 'x'.repeat(1_000_000));
    expect((await ended(stubs, running.taskId)).state).toBe(TaskState.SUCCEEDED);

    small.empty();
    await said(program, 'disk-recovered');
    expect(await stubs.submit({ type: 'echo' })).toMatchObject({ alreadyExisted: false });
    expect(program.lines.filter(({ json }) => json?.['msg'] === 'disk-low')).toHaveLength(1);
  });

  it('takes new tasks again where others have gone, though its file keeps its size', async (context) => {
    const { folder } = smallDisk(context, 48);
    const { program, address } = await startCoordinator([
      ...['--store', `sqlite:${join(folder, 'remuda.db')}`, '--min-free-bytes', String(16 * MIB)],
    ]);
    using stubs = new Stubs(address);
    const taskIds: string[] = [];
    const submit = () => stubs.submit({ type: 'nobody', payload: payload(200_000) });
    const fill = async (): Promise<void> => {
      while (taskIds.length < 200) taskIds.push((await submit()).taskId);
    };
    const refused = await errorOf(fill());
    expect(refused).toMatchObject({ reason: 'STORE_FULL', metadata: { reusable_bytes: expect.any(String) } });
    await said(program, 'disk-low');
    await Promise.all(taskIds.map((taskId) => stubs.call(TaskService.method.cancelTask, { taskId }).response));
    await stubs.call(TaskService.method.deleteTasks, { taskIds }).response;
    await said(program, 'disk-recovered');
    expect(await submit()).toMatchObject({ alreadyExisted: false });
    const { store } = await stubs.call(FleetService.method.getFleetStats, {}).response;
    expect(Number(store?.reusableBytes)).toBeGreaterThan(8 * MIB);
  });

  it('repeats what a full disk refuses, and loses nothing that it has acknowledged', async (context) => {
    const small = smallDisk(context, 24);
    const store = `sqlite:${join(small.folder, 'remuda.db')}`;
    const first = await startCoordinator(['--store', store, '--min-free-bytes', '0']);
    using stubs = new Stubs(first.address);
    using worker = await RawWorker.join(first.address);
    const running = await stubs.submit({ type: 'echo' });
    const { attempt } = await worker.assignment();
    small.fill(12 * MIB);

    // As long as it goes: the last ones wait for room.
    const acknowledged = new Set([running.taskId]);
    const waiting: Promise<unknown>[] = [];
    const refused = said(first.program, 'store-refuses');
    const load = async (): Promise<void> => {
      while (!isFull) {
        const taskId = randomUUID();
        const answer = stubs.submit({ taskId, type: 'nobody', payload: payload(50_000) });
        waiting.push(answer.then(() => acknowledged.add(taskId)).catch(() => undefined));
        await Promise.race([answer.catch(() => undefined), refused]);
      }
    };
    let isFull = false;
    void refused.then(() => {
      isFull = true;
    });
    await Promise.all(Array.from({ length: 8 }, load));
    expect(acknowledged.size).toBeGreaterThan(50);
    expect((await refused).json).toMatchObject({ detail: expect.stringContaining('make room on its disk') });
    const turnedAway = await errorOf(stubs.submit({ type: 'nobody' }));
    expect(turnedAway).toMatchObject({ code: Code.UNAVAILABLE, reason: 'STORE_UNAVAILABLE' });
    worker.report(attempt, 'done');

    small.empty();
    await said(first.program, 'store-recovered');
    await Promise.all(waiting);
    expect((await ended(stubs, running.taskId)).state).toBe(TaskState.SUCCEEDED);
    first.program.kill('SIGKILL');
    await first.program.exit();

    const again = await startCoordinator(['--store', store, '--min-free-bytes', '0']);
    using after = new Stubs(again.address);
    const found = await Promise.all([...acknowledged].map((taskId) => after.get(taskId)));
    expect(found.filter(({ state }) => state !== TaskState.QUEUED).map(({ taskId }) => taskId)).toEqual([
      running.taskId,
    ]);
  });
});

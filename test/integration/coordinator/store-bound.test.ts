/** What a coordinator keeps, and what it does when its store is full. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SqliteStore } from '../../../coordinator/store/sqlite/sqlite-store.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { aBody, aRow } from '../../store/rows.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { Stubs } from '../../support/stubs.js';
import { RawClient } from './raw-client.js';
import { ended, errorOf, RawWorker } from './support.js';

const LIMIT_BYTES = 16 * 1_048_576;
const DAY_MS = 86_400_000;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bound-'));
});

afterEach(async () => {
  await endPrograms();
  await rm(folder, { recursive: true });
});

/** A gauge or counter without labels. */
async function metric(http: string, name: string): Promise<number> {
  const text = await (await fetch(`http://${http}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

const mebibyte = { contentType: 'text/plain', body: { case: 'data' as const, value: new Uint8Array(1_048_576) } };

describe('a coordinator whose store is full', () => {
  it.each(['memory:', 'sqlite:'])('refuses new tasks and finishes those that it has, with %s', async (kind) => {
    const store = kind === 'memory:' ? kind : `${kind}${join(folder, 'full.db')}`;
    const { address, http } = await startCoordinator(['--store', store, '--max-store-bytes', String(LIMIT_BYTES)]);
    using stubs = new Stubs(address);
    using worker = await RawWorker.join(address);
    const running = await stubs.submit({ type: 'echo', payload: mebibyte });
    const { attempt } = await worker.assignment();
    const taskIds = Array.from({ length: 20 }, () => randomUUID());
    const answers = await Promise.allSettled(
      taskIds.map((taskId) => stubs.submit({ taskId, type: 'nobody', payload: mebibyte })),
    );
    const accepted = taskIds.filter((_, index) => answers[index]?.status === 'fulfilled');
    expect(accepted.length).toBeGreaterThan(10);
    expect(accepted.length).toBeLessThan(16);
    const refused = await errorOf(stubs.submit({ type: 'nobody', payload: mebibyte }));
    expect(refused).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'STORE_FULL' });
    expect(refused.message).toContain('--max-store-bytes');
    const repeat = { taskId: accepted[0] ?? '', type: 'nobody', payload: mebibyte };
    expect(await stubs.submit(repeat)).toMatchObject({ alreadyExisted: true });

    worker.report(attempt, 'x'.repeat(1_000_000));
    expect((await ended(stubs, running.taskId)).state).toBe(TaskState.SUCCEEDED);
    expect(await metric(http, 'remuda_store_limit_bytes')).toBe(LIMIT_BYTES);
    expect(await metric(http, 'remuda_store_bytes')).toBeGreaterThan(LIMIT_BYTES - 2 * 1_048_576);
    expect(await metric(http, 'remuda_store_ended_tasks')).toBe(1);
    // Only what is on a disk can leave it too full.
    expect((await metric(http, 'remuda_store_free_bytes')) > 0).toBe(kind === 'sqlite:');
  });

  it('takes new tasks again after a start with more room', async () => {
    const store = `sqlite:${join(folder, 'grown.db')}`;
    const first = await startCoordinator(['--store', store, '--max-store-bytes', String(LIMIT_BYTES)]);
    using stubs = new Stubs(first.address);
    await Promise.allSettled(Array.from({ length: 20 }, () => stubs.submit({ type: 'nobody', payload: mebibyte })));
    first.program.kill('SIGTERM');
    await first.program.exit();
    const { address } = await startCoordinator(['--store', store, '--max-store-bytes', String(2 * LIMIT_BYTES)]);
    using again = new Stubs(address);
    expect(await again.submit({ type: 'nobody', payload: mebibyte })).toMatchObject({ state: TaskState.QUEUED });
  });
});

describe('a coordinator whose results are acknowledged', () => {
  it.each(['memory:', 'sqlite:'])('makes room with them, the oldest first, with %s', async (kind) => {
    const store = kind === 'memory:' ? kind : `${kind}${join(folder, 'seen.db')}`;
    const { address } = await startCoordinator(['--store', store, '--max-store-bytes', String(LIMIT_BYTES)]);
    using stubs = new Stubs(address);
    using worker = await RawWorker.join(address);
    using client = new RawClient(address);
    // Three times what it has room for.
    const taskIds = Array.from({ length: 48 }, () => uuidv7());
    for (const [n, taskId] of taskIds.entries()) {
      client.say({ submits: [{ task: { taskId, type: 'echo', payload: mebibyte }, await: true }] });
      worker.report((await worker.assignment(n)).attempt, n);
      await client.told(n + 1);
      client.say({ resultAcks: [taskId] });
    }
    expect(client.acks.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(await errorOf(stubs.get(taskIds[0] ?? ''))).toMatchObject({ code: Code.NOT_FOUND, reason: 'PURGED' });
    expect((await stubs.get(taskIds[47] ?? '')).state).toBe(TaskState.SUCCEEDED);
    expect(await errorOf(stubs.get(uuidv7()))).toMatchObject({ code: Code.NOT_FOUND, reason: 'TASK_NOT_FOUND' });
  });
});

describe('a coordinator that finds what is too old', () => {
  it('removes it, and raises an alarm for dead letters', async () => {
    const path = join(folder, 'old.db');
    const [done, dead, kept] = [
      aRow({ state: 'SUCCEEDED', endWallMs: Date.now() - 2 * DAY_MS }),
      aRow({ state: 'DEAD_LETTERED', endWallMs: Date.now() - 31 * DAY_MS }),
      aRow({ state: 'DEAD_LETTERED', endWallMs: Date.now() - 29 * DAY_MS }),
    ] as const;
    const store = new SqliteStore({ path });
    await store.open();
    await store.commit([done, dead, kept].map((row) => ({ kind: 'insert', row, body: aBody() })));
    await store.close();

    const { program, address, http } = await startCoordinator(['--store', `sqlite:${path}`]);
    const { json } = await program.line(({ json: line }) => line?.['msg'] === 'dead-letters-purged', 'alarm');
    expect(json).toMatchObject({ count: 1, detail: expect.stringContaining('requeue or delete') });
    using stubs = new Stubs(address);
    expect(await errorOf(stubs.get(done.taskId))).toMatchObject({ code: Code.NOT_FOUND });
    expect(await errorOf(stubs.get(dead.taskId))).toMatchObject({ code: Code.NOT_FOUND });
    expect((await stubs.get(kept.taskId)).state).toBe(TaskState.DEAD_LETTERED);
    expect(await metric(http, 'remuda_tasks_purged_total')).toBe(2);
    expect(await metric(http, 'remuda_dead_letters_purged_total')).toBe(1);
    expect(await metric(http, 'remuda_store_dead_letters')).toBe(1);
  });
});

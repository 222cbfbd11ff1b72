/** What a disk that is really full does to the store, and to the engine that repeats what it refuses. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { describe, expect, it, vi, type TestContext } from 'vitest';
import { CORE_DEFAULTS } from '../../coordinator/core/config.js';
import { Engine, type EngineReply } from '../../coordinator/engine.js';
import { systemRandom, systemRuntime, type Runtime } from '../../coordinator/runtime.js';
import type { SqliteStore } from '../../coordinator/store/sqlite/sqlite-store.js';
import { SmallDisk } from '../support/small-disk.js';
import { afterTest, storeAt } from './places.js';
import { aBody, aRow, bytes, inserts } from './rows.js';

const MIB = 1_048_576;
/** The last page that the first piece of the log's index (-shm) has room for; the next piece takes 32 KiB of the disk. */
const INDEXED_PAGES = 4_062;

function smallDisk(context: TestContext, mebibytes: number): { disk: SmallDisk; path: string } {
  const disk = new SmallDisk(context, mebibytes);
  afterTest(() => disk[Symbol.dispose]());
  return { disk, path: join(disk.folder, 'tasks.db') };
}

const commit = (store: SqliteStore, size: number, row = aRow()) =>
  store.commit([{ kind: 'insert', row, body: aBody(bytes(size)) }]);

/** Commits until the disk is full: what was answered. */
async function commitUntilFull(store: SqliteStore, size: number): Promise<string[]> {
  const taskIds: string[] = [];
  for (;;) {
    const row = aRow();
    try {
      await commit(store, size, row);
    } catch (error) {
      expect(error).toMatchObject({ reason: 'FULL', message: expect.stringContaining('make room on its disk') });
      return taskIds;
    }
    taskIds.push(row.taskId);
  }
}

const open = { afterTaskId: '', limit: 10_000 };
const openIds = async (store: SqliteStore): Promise<string[]> => (await store.loadOpen(open)).map((row) => row.taskId);

describe('SQLite store: a disk that is full', () => {
  it('refuses a commit whole, and takes it when there is room', async (context) => {
    const { disk, path } = smallDisk(context, 16);
    const store = storeAt(path);
    await store.open();
    expect(store.stats().disk).toEqual({ folder: disk.folder, freeBytes: disk.freeBytes, reusableBytes: 0 });
    disk.fill(4 * MIB);
    const taskIds = await commitUntilFull(store, 100_000);
    expect(taskIds.length).toBeGreaterThan(10);
    const batch = [aRow(), aRow(), aRow()];
    const writes = batch.map((row) => ({ kind: 'insert' as const, row, body: aBody(bytes(100_000)) }));
    await expect(store.commit(writes)).rejects.toMatchObject({ reason: 'FULL' });
    expect(await openIds(store)).toEqual([...taskIds].sort());
    disk.empty();
    await store.commit(writes);
    expect(await openIds(store)).toEqual([...taskIds, ...batch.map(({ taskId }) => taskId)].sort());
    expect(store.stats().disk?.freeBytes).toBe(disk.freeBytes);
  });

  it('takes it for full, too, when no more of the index of its log fits', async (context) => {
    const { disk, path } = smallDisk(context, 64);
    const store = storeAt(path);
    await store.open();
    // A reader that looks at an old state: the log cannot start over, and grows.
    const reader = new DatabaseSync(path);
    afterTest(() => reader.close());
    reader.exec('BEGIN; SELECT count(*) FROM task');
    const log = (): number => Math.floor((statSync(`${path}-wal`).size - 32) / (4_096 + 24));
    while (log() < INDEXED_PAGES - 60) await commit(store, 100_000);
    while (log() < INDEXED_PAGES - 12) await commit(store, 10);
    const before = await openIds(store);
    // Enough for the pages of the commit that is one too many for the index, and not for 32 KiB more.
    disk.fill((INDEXED_PAGES - log() + 6) * 4_120);
    const taskIds = await commitUntilFull(store, 10);
    expect(log()).toBeGreaterThan(INDEXED_PAGES);
    expect(await openIds(store)).toEqual([...before, ...taskIds].sort());
    disk.empty();
    await store.commit(inserts([aRow()]));
    reader.exec('COMMIT');
    expect(reader.prepare('PRAGMA integrity_check').get()).toMatchObject({ integrity_check: 'ok' });
  });

  it('says so at a start, whatever it is that does not fit', async (context) => {
    const { disk, path } = smallDisk(context, 16);
    for (const leftBytes of [0, 8_192, 40_960]) {
      disk.fill(leftBytes);
      const store = storeAt(path);
      const message = expect.stringMatching(/tasks\.db.*make room on its disk/) as string;
      await expect(store.open()).rejects.toMatchObject({ reason: 'FULL', message });
      await store.close();
    }
    disk.empty();
    await storeAt(path).open();
  });
});

/** The system's, a hundred times as fast: 30 s are soon over. */
const fast: Runtime = {
  now: () => {
    const { monoMs, wallMs } = systemRuntime.now();
    return { monoMs: monoMs * 100, wallMs };
  },
  after: (delayMs, run) => systemRuntime.after(delayMs / 100, run),
  defer: systemRuntime.defer,
};

function engineOn(store: SqliteStore) {
  const fatal: { error: Error; exitCode: number }[] = [];
  const engine = new Engine({
    store,
    config: CORE_DEFAULTS,
    random: systemRandom,
    runtime: fast,
    inbox: { maxInputs: 1_000, maxBytes: 100_000_000, batchInputs: 100, batchBytes: 1_000_000 },
    onFatal: (error, exitCode) => fatal.push({ error, exitCode }),
  });
  afterTest(() => engine.stop());
  const submit = (): Promise<EngineReply> => {
    const { taskId } = aRow();
    const retry = { maxAttempts: 3, initialBackoffMs: 200, maxBackoffMs: 30_000, nonRetryableReasons: [] };
    const times = { timeoutMs: 1_000, deadlineWallMs: null, runTimeWallMs: null };
    const spec = { type: 'work', priority: 10, requiredLabels: {}, ...times, retry };
    const task = { taskId, spec, body: aBody(bytes(100_000)), digest: 'same', want: null };
    return new Promise((resolve) => {
      engine.ask((token) => ({ kind: 'submit', token, ...task }), 0, resolve);
    });
  };
  return { engine, fatal, submit };
}

describe('the engine on a disk that stays full', () => {
  it('gives up with 74 after 30 s, has acknowledged nothing that is not there, and goes on when there is room', async (context) => {
    const { disk, path } = smallDisk(context, 16);
    const store = storeAt(path);
    const { engine, fatal, submit } = engineOn(store);
    await engine.start({ deliver: () => undefined });
    disk.fill(4 * MIB);
    const acknowledged: string[] = [];
    while (fatal.length === 0) {
      const reply = await submit();
      if (reply.kind === 'submitted') acknowledged.push(reply.taskId);
    }
    expect(fatal).toMatchObject([{ exitCode: 74, error: { reason: 'FULL' } }]);
    expect(acknowledged.length).toBeGreaterThan(10);
    await store.close();

    disk.empty();
    const again = storeAt(path);
    const next = engineOn(again);
    await next.engine.start({ deliver: () => undefined });
    expect(await openIds(again)).toEqual(acknowledged.sort());
    await vi.waitFor(async () => expect(await next.submit()).toMatchObject({ kind: 'submitted' }));
  });
});

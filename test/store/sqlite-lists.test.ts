/** Lists have a connection of their own: what that means for the file. */
import { existsSync, renameSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';
import { describe, expect, it } from 'vitest';
import type { Store } from '../../coordinator/store/store.js';
import { afterTest, freshFolder, storeAt } from './places.js';
import { aBody, anyTask, aRow, bytes, inserts } from './rows.js';

async function openedAt(path: string): Promise<Store> {
  const store = storeAt(path);
  await store.open();
  return store;
}

function another(path: string): DatabaseSyncInstance {
  const db = new DatabaseSync(path);
  afterTest(() => db.close());
  return db;
}

describe('SQLite store: lists', () => {
  it('answers while the file takes no commits', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = await openedAt(path);
    const row = aRow();
    await store.commit(inserts([row]));
    const other = another(path);
    other.exec('BEGIN IMMEDIATE');
    // Awaited from the start: on a slow machine it is refused before the list's thread has begun.
    const refused = expect(store.commit(inserts([aRow()]))).rejects.toMatchObject({ reason: 'BUSY' });
    const { tasks } = await store.list(anyTask);
    expect(tasks.map((task) => task.row)).toEqual([row]);
    await refused;
    other.exec('ROLLBACK');
  });

  it('shows in the midst of a large commit all of it or nothing, and afterwards all', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = await openedAt(path);
    await store.list(anyTask);
    const commit = store.commit(
      Array.from({ length: 32 }, () => ({ kind: 'insert', row: aRow(), body: aBody(bytes(300_000)) }) as const),
    );
    for (let page = await store.list(anyTask); page.tasks.length === 0; page = await store.list(anyTask));
    expect((await store.list(anyTask)).tasks).toHaveLength(32);
    expect(await commit).toHaveLength(32);
  });

  it('leaves no transaction open that would keep the journal from moving into the file', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = await openedAt(path);
    await store.commit(inserts([aRow(), aRow()]));
    await store.list({ ...anyTask, limit: 1 });
    await store.commit(inserts([aRow()]));
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
    expect(another(path).prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()).toMatchObject({ busy: 0 });
    expect(statSync(`${path}-wal`).size).toBe(0);
    expect((await store.list(anyTask)).tasks).toHaveLength(3);
  });

  it('gives the file up with the store', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = await openedAt(path);
    await store.commit(inserts([aRow()]));
    const listed = store.list(anyTask);
    await store.close();
    expect((await listed).tasks).toHaveLength(1);
    expect([existsSync(`${path}-wal`), existsSync(`${path}-shm`)]).toEqual([false, false]);
  });

  it('reads the file itself, through a symbolic link', async () => {
    const folder = freshFolder();
    symlinkSync('real.db', join(folder, 'link.db'));
    const store = await openedAt(join(folder, 'link.db'));
    await store.commit(inserts([aRow()]));
    expect((await store.list(anyTask)).tasks).toHaveLength(1);
  });

  it('refuses more than 64 pages at a time as BUSY, and goes on', async () => {
    const store = await openedAt(join(freshFolder(), 'tasks.db'));
    const pages = await Promise.allSettled(Array.from({ length: 70 }, () => store.list(anyTask)));
    const refused = pages.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(6);
    expect(refused[0]).toMatchObject({ reason: { reason: 'BUSY', message: expect.stringContaining('64 calls') } });
    expect(await store.list(anyTask)).toEqual({ tasks: [], nextSeq: null });
  });

  it('fails alone: the store goes on without it', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = await openedAt(path);
    renameSync(path, `${path}.away`);
    await expect(store.list(anyTask)).rejects.toMatchObject({ reason: 'IO' });
    renameSync(`${path}.away`, path);
    const row = aRow();
    await store.commit(inserts([row]));
    expect(await store.read({ taskIds: [row.taskId], bodies: false })).toEqual([{ row, body: null, result: null }]);
  });

  it('refuses a row that cannot be read as CORRUPT', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = await openedAt(path);
    await store.commit(inserts([aRow()]));
    another(path).exec(`UPDATE task SET record = '{"taskId":'`);
    await expect(store.list(anyTask)).rejects.toMatchObject({ reason: 'CORRUPT' });
  });
});

describe('SQLite store: room', () => {
  it('has what its bound leaves beside the pages in use, and no more at the bound, where commits are taken still', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = storeAt(path, { limitBytes: 500_000 });
    await store.open();
    const { usedBytes, limitBytes } = store.stats();
    expect([limitBytes, store.roomBytes]).toEqual([500_000, 500_000 - usedBytes]);
    const row = aRow();
    await store.commit([{ kind: 'insert', row, body: aBody(bytes(900_000)) }]);
    expect(store.roomBytes).toBe(0);
    expect(await store.commit(inserts([aRow()]))).toHaveLength(1);
    const full = store.stats().usedBytes;
    await store.commit([{ kind: 'delete', taskId: row.taskId, expectedRevision: row.revision }]);
    // The file stays as large as it was: what is free within is room.
    expect(store.stats().usedBytes).toBeLessThan(full - 890_000);
    expect(store.roomBytes).toBeGreaterThan(400_000);
    await store.close();
    const again = storeAt(path, { limitBytes: 500_000 });
    await again.open();
    expect(again.roomBytes).toBeGreaterThan(400_000);
  });
});

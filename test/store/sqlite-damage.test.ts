/** What somebody else does to the files of a store that is open: what spoils it is noticed, and what is allowed is no alarm. */
import { copyFileSync, mkdirSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseSync } from '@photostructure/sqlite';
import { describe, expect, it } from 'vitest';
import { StoreError, type StoreErrorReason } from '../../coordinator/store/store.js';
import { freshFolder, storeAt } from './places.js';
import { aBody, aRow, bytes, inserts } from './rows.js';

/** A store with tasks in its file and in its log. */
async function used() {
  const path = join(freshFolder(), 'in', 'tasks.db');
  mkdirSync(dirname(path));
  const store = storeAt(path);
  await store.open();
  const rows = Array.from({ length: 8 }, () => aRow());
  const commit = (row = aRow()) => store.commit([{ kind: 'insert', row, body: aBody(bytes(100_000)) }]);
  for (const row of rows.slice(0, 4)) await commit(row);
  another(path, 'PRAGMA wal_checkpoint(FULL)');
  for (const row of rows.slice(4)) await commit(row);
  expect(statSync(path).size).toBeGreaterThan(400_000);
  expect(statSync(`${path}-wal`).size).toBeGreaterThan(400_000);
  return { path, store, commit, taskIds: rows.map(({ taskId }) => taskId) };
}

/** Another program does something to the database, as it may. */
function another(path: string, sql: string): void {
  const db = new DatabaseSync(path, { timeout: 5_000 });
  db.exec(sql);
  db.close();
}

const DAMAGES: readonly (readonly [
  what: string,
  reason: StoreErrorReason,
  says: string,
  run: (path: string) => void,
])[] = [
  ['its folder is removed', 'IO', 'was removed or moved', (path) => rmSync(dirname(path), { recursive: true })],
  [
    'its folder is moved away',
    'IO',
    'was removed or moved',
    (path) => renameSync(dirname(path), `${dirname(path)}.old`),
  ],
  ['its file is removed', 'IO', 'tasks.db was removed or moved', (path) => rmSync(path)],
  ['its log is removed', 'IO', 'tasks.db-wal was removed', (path) => rmSync(`${path}-wal`)],
  ['a backup is moved over its file', 'IO', 'tasks.db was replaced', (path) => replace(path)],
  ['its log is replaced', 'IO', 'tasks.db-wal was replaced', (path) => replace(`${path}-wal`)],
  ['its file is emptied', 'CORRUPT', 'tasks.db was cut to 0 bytes', (path) => truncateSync(path)],
  ['its file is cut', 'CORRUPT', 'was cut to 40960 bytes', (path) => truncateSync(path, 40_960)],
  ['its log is emptied', 'CORRUPT', 'tasks.db-wal was cut to 0 bytes', (path) => truncateSync(`${path}-wal`)],
  ['its log is cut', 'CORRUPT', 'was cut to 8272 bytes', (path) => truncateSync(`${path}-wal`, 8_272)],
];

function replace(path: string): void {
  copyFileSync(path, `${path}.backup`);
  renameSync(`${path}.backup`, path);
}

describe('SQLite store: what is done to its files', () => {
  it.each(DAMAGES)('answers no commit once %s', async (_what, reason, says, damage) => {
    const { path, store, commit } = await used();
    damage(path);
    const error: unknown = await commit().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'StoreError', reason });
    for (const text of [path, says]) expect((error as Error).message).toContain(text);
    // What it has in memory is not to be trusted any more, also if the file is put back.
    await expect(commit()).rejects.toThrow((error as Error).message);
    await expect(store.read({ taskIds: [], bodies: false })).rejects.toMatchObject({ reason });
  });

  it.each(DAMAGES)('notices without a commit that %s', async (_what, reason, says, damage) => {
    const { path, store } = await used();
    await store.look();
    damage(path);
    await expect(store.look()).rejects.toMatchObject({ reason, message: expect.stringContaining(says) });
  });

  it('answers no commit during which its file is removed', async () => {
    const { path, commit } = await used();
    // It begins, and then waits for the lock: what it saw before has changed when it has written.
    const lock = new DatabaseSync(path);
    lock.exec('BEGIN IMMEDIATE');
    const answer = commit().catch((thrown: unknown) => thrown);
    await delay(100);
    rmSync(path);
    lock.close();
    // On a slow machine it may have waited too long (BUSY), or may not have begun.
    expect(await answer).toBeInstanceOf(StoreError);
  });

  it('has everything again when its folder is put back', async () => {
    const { path, store, commit, taskIds } = await used();
    const away = `${dirname(path)}.old`;
    renameSync(dirname(path), away);
    await expect(commit()).rejects.toMatchObject({ reason: 'IO' });
    await store.close();
    renameSync(away, dirname(path));
    const again = storeAt(path);
    await again.open();
    const found = await again.read({ taskIds, bodies: true });
    expect(found.map((task) => task?.body?.payload.data.length)).toEqual(taskIds.map(() => 100_000));
  });

  it('leaves a database that has taken the place of its own alone', async () => {
    const { path, store, commit } = await used();
    const other = join(freshFolder(), 'other.db');
    const theirs = storeAt(other);
    await theirs.open();
    const row = aRow();
    await theirs.commit(inserts([row]));
    await theirs.close();
    renameSync(other, path);
    rmSync(`${path}-wal`);
    await expect(commit()).rejects.toMatchObject({ reason: 'IO' });
    await store.close();
    const again = storeAt(path);
    await again.open();
    expect(await again.loadOpen({ afterTaskId: '', limit: 9 })).toEqual([row]);
  });

  it.each([
    ['checkpoint', 'PRAGMA wal_checkpoint(TRUNCATE)'],
    ['vacuum', 'DELETE FROM task; DELETE FROM blob; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)'],
    ['read', 'SELECT * FROM task'],
  ])('goes on after a %s by another program', async (_what, sql) => {
    const { path, store, commit } = await used();
    another(path, sql);
    await store.look();
    for (let n = 0; n < 3; n += 1) expect(await commit()).toHaveLength(1);
    another(path, sql);
    expect(await commit()).toHaveLength(1);
  });
});

import {
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
  existsSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { describe, expect, it, type TestContext } from 'vitest';
import { SqliteDatabase } from '../../coordinator/store/sqlite/sqlite-database.js';
import type { StoreErrorReason } from '../../coordinator/store/store.js';
import type { Program } from '../support/programs.js';
import { freshFolder, startHolder, storeAt } from './places.js';
import { anyTask, aRow, inserts } from './rows.js';

async function refused(path: string, reason: StoreErrorReason, ...texts: readonly string[]): Promise<void> {
  const store = storeAt(path);
  const error: unknown = await store.open().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: 'StoreError', reason });
  for (const text of texts) expect((error as Error).message).toContain(text);
  await store.close();
  await store.close();
}

const opensAt = async (path: string): Promise<void> => {
  const store = storeAt(path);
  await store.open();
  await store.close();
};

const said = (holder: Program, start: string): Promise<{ text: string }> =>
  holder.line(({ text }) => text.startsWith(start), `line "${start}"`);

describe('SQLite store: what the file is', () => {
  it('refuses a file that is no database and leaves it as it was', async () => {
    const path = join(freshFolder(), 'notes.txt');
    writeFileSync(path, 'dear diary\n'.repeat(500));
    const before = readFileSync(path);
    await refused(path, 'NOT_A_STORE', path, '--store sqlite:PATH');
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('refuses a database of another program and leaves it as it was', async () => {
    const path = join(freshFolder(), 'other.db');
    const other = new DatabaseSync(path);
    other.exec('CREATE TABLE task (id INTEGER); PRAGMA user_version = 1');
    other.close();
    const before = readFileSync(path);
    await refused(path, 'NOT_A_STORE', path, 'another program');
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('takes an empty file for a new store', async () => {
    const path = join(freshFolder(), 'tasks.db');
    writeFileSync(path, '');
    await opensAt(path);
    expect(statSync(path).size).toBeGreaterThan(0);
  });

  it('refuses a newer schema that it would misread', async () => {
    const path = join(freshFolder(), 'tasks.db');
    await opensAt(path);
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA user_version = 9; UPDATE meta SET value = 8 WHERE key = 'breaking_version'`);
    db.close();
    await refused(path, 'NEWER_SCHEMA', path, 'version 9', 'breaking since 8', 'start the newer version');
  });

  it('opens a newer schema that only adds, and leaves its number', async () => {
    const path = join(freshFolder(), 'tasks.db');
    await opensAt(path);
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA user_version = 9; ALTER TABLE task ADD COLUMN later TEXT`);
    db.close();
    const store = storeAt(path);
    await store.open();
    const row = aRow();
    await store.commit(inserts([row]));
    expect(await store.loadOpen({ afterTaskId: '', limit: 9 })).toEqual([row]);
    await store.close();
    const again = new DatabaseSync(path);
    expect(again.prepare('PRAGMA user_version').get()).toMatchObject({ user_version: 9 });
    again.close();
  });

  it('opens again after a refusal, once the cause is gone', async () => {
    const path = join(freshFolder(), 'tasks.db');
    await opensAt(path);
    const db = new DatabaseSync(path);
    db.exec('PRAGMA application_id = 1');
    await refused(path, 'NOT_A_STORE');
    db.exec(`PRAGMA application_id = 1380795457`);
    db.close();
    await opensAt(path);
  });
});

describe('SQLite store: where the file is', () => {
  it('refuses a path whose folder is missing', async () => {
    const folder = freshFolder();
    const path = join(folder, 'no', 'tasks.db');
    await refused(path, 'IO', path, `folder ${join(folder, 'no')} does not exist`, 'mkdir -p');
  });

  it('refuses a path below a file', async () => {
    const folder = freshFolder();
    writeFileSync(join(folder, 'file'), '');
    await refused(join(folder, 'file', 'tasks.db'), 'IO', `${join(folder, 'file')} is not a folder`);
  });

  it('refuses a folder', async () => {
    const folder = freshFolder();
    await refused(folder, 'IO', folder, 'it is a folder', `sqlite:${join(folder, 'remuda.db')}`);
  });

  it('refuses links that go in a circle', async () => {
    const folder = freshFolder();
    symlinkSync(join(folder, 'b'), join(folder, 'a'));
    symlinkSync(join(folder, 'a'), join(folder, 'b'));
    await refused(join(folder, 'a'), 'IO', 'circle of symbolic links');
  });

  it('refuses a file with two names, which would have two journals', async () => {
    const folder = freshFolder();
    await opensAt(join(folder, 'tasks.db'));
    linkSync(join(folder, 'tasks.db'), join(folder, 'twin.db'));
    await refused(join(folder, 'twin.db'), 'IO', '2 names (hard links)');
  });

  it('makes the file where a link to nothing yet points', async () => {
    const folder = freshFolder();
    mkdirSync(join(folder, 'real'));
    symlinkSync('real/tasks.db', join(folder, 'link.db'));
    await opensAt(join(folder, 'link.db'));
    expect(existsSync(join(folder, 'real', 'tasks.db'))).toBe(true);
    expect(existsSync(join(folder, 'link.db.lock'))).toBe(false);
  });

  it('refuses a place where nobody can write, also as root', async (context) => {
    // No permission, but the kernel itself: nothing can be made there.
    if (!existsSync('/proc/self/status')) context.skip('no /proc here');
    await refused('/proc/remuda.db', 'READ_ONLY', '/proc/remuda.db', 'must be able to write');
  });

  it('refuses a read-only file', (context) => {
    const path = join(freshFolder(), 'tasks.db');
    new DatabaseSync(path).close();
    chmodSync(dirname(path), 0o777);
    chmodSync(path, 0o444);
    const error = withoutRoot(context, () => new SqliteDatabase({ path, maxFileBytes: null }).open());
    expect(error).toMatchObject({ reason: 'READ_ONLY', message: expect.stringContaining(path) });
  });

  it('refuses a file in a read-only folder', (context) => {
    const path = join(freshFolder(), 'tasks.db');
    chmodSync(dirname(path), 0o555);
    const error = withoutRoot(context, () => new SqliteDatabase({ path, maxFileBytes: null }).open());
    expect(error).toMatchObject({ reason: 'READ_ONLY', message: expect.stringContaining(`${dirname(path)} (EACCES)`) });
  });
});

/** What `run` throws; run by root, to whom permissions mean nothing, it is run as nobody. */
function withoutRoot(context: TestContext, run: () => void): unknown {
  const root = process.geteuid?.() === 0;
  try {
    if (root) process.seteuid?.(65_534);
  } catch {
    context.skip('permissions do not bind root, and this root cannot be anybody else');
  }
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    if (root) process.seteuid?.(0);
  }
}

describe('SQLite store: who has the file', () => {
  it('refuses a file that a living process has, and names it', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const holder = startHolder(path, 'hold');
    await said(holder, 'open');
    await refused(path, 'OWNED', path, `host ${hostname()}`, `pid ${holder.pid}`, 'stop that coordinator');
  });

  it('refuses it also when its owner has collected its garbage over and over', async () => {
    const path = join(freshFolder(), 'tasks.db');
    // After so many allocations each: a lock whose handle nobody refers to is dropped with it.
    const holder = startHolder(path, 'commit', ['--gc-interval=500']);
    await holder.linesThat(({ text }) => text.length === 36, 40, '40 committed ids');
    await refused(path, 'OWNED', `pid ${holder.pid}`);
  });

  it('refuses a second store in the same process', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = storeAt(path);
    await store.open();
    await refused(path, 'OWNED', `pid ${process.pid}`);
    // The refused one must not have dropped the lock of the first, as closing a file does with POSIX locks.
    const holder = startHolder(path, 'once');
    expect((await said(holder, '')).text).toContain('refused OWNED');
    expect(await store.commit(inserts([aRow()]))).toHaveLength(1);
  });

  it('opens at once after its owner has died by kill -9', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const holder = startHolder(path, 'hold');
    await said(holder, 'open');
    holder.kill('SIGKILL');
    await holder.exit();
    expect(existsSync(`${path}.owner`)).toBe(true);
    await opensAt(path);
    expect(existsSync(`${path}.owner`)).toBe(false);
  });

  it('takes a symbolic link and its target for one store', async () => {
    const folder = freshFolder();
    const path = join(folder, 'tasks.db');
    const holder = startHolder(path, 'hold');
    await said(holder, 'open');
    symlinkSync(path, join(folder, 'link.db'));
    symlinkSync(folder, join(folder, 'folder'));
    await refused(join(folder, 'link.db'), 'OWNED', path, `pid ${holder.pid}`);
    await refused(join(folder, 'folder', 'link.db'), 'OWNED', path);
  });

  it.each(['', 'garbage', 'null', '{}', '{"pid":"x","host":3}', '\0\xff'])('stands the owner file %j', async (text) => {
    const path = join(freshFolder(), 'tasks.db');
    writeFileSync(`${path}.owner`, text);
    const store = storeAt(path);
    await store.open();
    writeFileSync(`${path}.owner`, text);
    await refused(path, 'OWNED', 'another coordinator has it');
    await store.close();
    await opensAt(path);
  });

  it('opens although no owner file can be written', async () => {
    const path = join(freshFolder(), 'tasks.db');
    mkdirSync(`${path}.owner.tmp`);
    await opensAt(path);
  });
});

describe('SQLite store: kill -9', () => {
  it('loses no commit that was answered, in the midst of commits', { timeout: 60_000 }, async () => {
    const path = join(freshFolder(), 'tasks.db');
    let printed = 0;
    for (const enough of [40, 200, 400]) {
      const holder = startHolder(path, 'commit');
      await holder.linesThat(({ text }) => text.length === 36, enough, `${enough} committed ids`);
      holder.kill('SIGKILL');
      await holder.exit();
      const taskIds = holder.lines.map(({ text }) => text).filter((text) => text.length === 36);
      printed += taskIds.length;
      const store = storeAt(path);
      await store.open();
      const tasks = await store.read({ taskIds, bodies: true });
      expect(tasks.filter((task) => task?.row.state !== 'SUCCEEDED' || task.result?.data.length !== 17_000)).toEqual(
        [],
      );
      // Transactions are whole: four tasks at a time.
      const { openTasks, endedTasks } = store.stats();
      expect([openTasks % 4, endedTasks % 4]).toEqual([0, 0]);
      expect(endedTasks).toBeGreaterThanOrEqual(printed);
      await store.close();
    }
    const db = new DatabaseSync(path);
    expect(db.prepare('PRAGMA integrity_check').get()).toMatchObject({ integrity_check: 'ok' });
    db.close();
  });

  it('purges all that is due and nothing else, in the midst of purges', { timeout: 60_000 }, async () => {
    for (const enough of [1, 20, 50]) {
      const path = join(freshFolder(), 'tasks.db');
      const holder = startHolder(path, 'purge');
      await holder.linesThat(({ text }) => text.startsWith('purged '), enough, `${enough} purges`);
      holder.kill('SIGKILL');
      await holder.exit();
      const told = holder.lines.filter(({ text }) => text.startsWith('purged ')).at(-1)?.text ?? '';
      const store = storeAt(path);
      await store.open();
      const { tasks } = await store.list({ ...anyTask, bodies: true, limit: 1_000, maxBytes: 100_000_000 });
      const ends = tasks.map(({ row }) => row.endWallMs ?? NaN).reverse();
      const oldest = ends[0] ?? NaN;
      // What was answered is gone; what is not due is there, with its payload.
      expect(oldest).toBeGreaterThan(Number(told.split(' ')[1]));
      expect(oldest).toBeLessThanOrEqual(200);
      expect(ends).toEqual(Array.from({ length: 400 - oldest }, (_, index) => oldest + index));
      const large = tasks.filter(({ body }) => body?.payload.data.length === 30_000);
      expect(large.map(({ row }) => row.endWallMs).reverse()).toEqual(ends.filter((end) => end % 4 === 3));
      expect(store.stats()).toMatchObject({ openTasks: 0, endedTasks: 400 - oldest });
      await store.close();
      const db = new DatabaseSync(path);
      const orphans = db.prepare('SELECT count(*) AS count FROM blob WHERE task_id NOT IN (SELECT task_id FROM task)');
      expect(orphans.get()).toEqual({ count: 0 });
      expect(db.prepare('PRAGMA integrity_check').get()).toMatchObject({ integrity_check: 'ok' });
      db.close();
    }
  });
});

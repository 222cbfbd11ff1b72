/** A file goes from an older program to this one, and back. */
import { join } from 'node:path';
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';
import { describe, expect, it } from 'vitest';
import { TASK_STATES, type TaskRow } from '../../coordinator/core/task.js';
import { recordText } from '../../coordinator/store/sqlite/record.js';
import { configureWriter, connectWriter } from '../../coordinator/store/sqlite/sqlite-connection.js';
import { freshFolder, storeAt } from './places.js';
import { aBody, anyTask, aRow, bytes, ended, update } from './rows.js';

/** As version 0.1 made it. */
const SCHEMA_1 = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE task (
    task_id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    state INTEGER NOT NULL,
    type TEXT NOT NULL,
    priority INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    due_ms INTEGER,
    end_ms INTEGER,
    record TEXT NOT NULL,
    body TEXT NOT NULL,
    payload BLOB,
    result_type TEXT,
    result BLOB
  );
  CREATE TABLE blob (
    task_id TEXT NOT NULL,
    kind INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (task_id, kind)
  );
  CREATE INDEX task_open ON task (task_id) WHERE state < 3;
  INSERT INTO meta VALUES ('epoch', 4), ('longest_lease_ms', 17000), ('breaking_version', 1);
  PRAGMA application_id = 1380795457;
  PRAGMA user_version = 1;
`;

/** An insert as version 0.1 did it. */
function insertOld(db: DatabaseSyncInstance, row: TaskRow, payload: Uint8Array): void {
  const { payload: content, metadata, traceparent } = aBody();
  const body = JSON.stringify({ contentType: content.contentType, metadata, traceparent });
  const large = payload.length > 16_384;
  db.prepare(
    `INSERT INTO task (task_id, revision, state, type, priority, tag, due_ms, end_ms, record, body, payload)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
  ).run(
    ...[row.taskId, row.revision, TASK_STATES.indexOf(row.state), row.type, row.priority, row.tag, row.dueWallMs],
    ...[row.endWallMs, recordText(row), body, large ? null : payload],
  );
  if (large) db.prepare('INSERT OR REPLACE INTO blob (task_id, kind, data) VALUES (?, 0, ?)').run(row.taskId, payload);
}

/** An update as version 0.1 did it. */
function updateOld(db: DatabaseSyncInstance, row: TaskRow): void {
  db.prepare(
    `UPDATE task SET revision = ?, state = ?, tag = ?, due_ms = ?, end_ms = ?, record = ?, result_type = NULL
     WHERE task_id = ? AND revision = ?`,
  ).run(
    ...[row.revision, TASK_STATES.indexOf(row.state), row.tag, row.dueWallMs, row.endWallMs, recordText(row)],
    ...[row.taskId, row.revision - 1],
  );
}

describe('SQLite store: how it writes', () => {
  it('has a write-ahead log that is on the disk with each commit', () => {
    const db = connectWriter(join(freshFolder(), 'tasks.db'));
    configureWriter(db, null);
    expect(db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    // FULL: with NORMAL, which comes with some builds of SQLite, a power cut takes the last commits.
    expect(db.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    db.close();
  });
});

describe('SQLite store: schema', () => {
  it('brings a file of version 1 up to date, with all that is in it', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const rows = [
      aRow({ state: 'RUNNING' }),
      aRow({ state: 'SUCCEEDED', endWallMs: 5 }),
      aRow({ state: 'DEAD_LETTERED', endWallMs: 6 }),
      aRow({ state: 'EXPIRED', endWallMs: 7 }),
    ];
    const db = new DatabaseSync(path);
    db.exec(SCHEMA_1);
    for (const row of rows) insertOld(db, row, bytes(20_000));
    db.close();

    const store = storeAt(path);
    expect(await store.open()).toEqual({ longestLeaseMs: 17_000, drains: [], purgedIdMs: 0 });
    expect(store.stats()).toMatchObject({ openTasks: 1, endedTasks: 3, deadLetters: 1 });
    const { tasks } = await store.list({ ...anyTask, bodies: true });
    expect(tasks.map(({ row }) => row)).toEqual([...rows].reverse());
    expect(tasks.map(({ body }) => body?.payload.data.length)).toEqual([20_000, 20_000, 20_000, 20_000]);
    const dead = await store.list({ ...anyTask, states: ['DEAD_LETTERED'], maxLooked: 1 });
    expect(dead.tasks.map(({ row }) => row)).toEqual([rows[2]]);
    const old = { endedBeforeWallMs: 6, deadBeforeWallMs: 7, maxDeadLetters: 9, limit: 9 };
    expect(await store.commit([{ kind: 'purgeOld', ...old }])).toMatchObject([{ count: 2, deadLetters: 1 }]);
    await store.commit([{ kind: 'drain', pattern: 'host-1/*', createWallMs: 8 }]);
  });

  it('lets a program of version 1 go on with its file, and takes it back with what that has done', async () => {
    const path = join(freshFolder(), 'tasks.db');
    const store = storeAt(path);
    await store.open();
    const [ends, dies] = [aRow({ state: 'RUNNING' }), aRow({ state: 'RUNNING' })];
    for (const row of [ends, dies]) await store.commit([{ kind: 'insert', row, body: aBody() }]);
    await store.commit([{ kind: 'drain', pattern: 'host-1/*', createWallMs: 8 }]);
    await store.close();

    const db = new DatabaseSync(path);
    // What it looks at before it opens a newer file.
    expect(db.prepare("SELECT value FROM meta WHERE key = 'breaking_version'").get()).toEqual({ value: 1 });
    const added = aRow({ state: 'SCHEDULED', dueWallMs: 9 });
    insertOld(db, added, bytes(10));
    const [ended1, dead1] = [ended(ends, 20, 'CANCELLED'), ended(dies, 30, 'DEAD_LETTERED')];
    for (const row of [ended1, dead1]) updateOld(db, row);
    const open = `SELECT record FROM task INDEXED BY task_open WHERE state < 3 AND task_id > '' ORDER BY task_id LIMIT 9`;
    expect(db.prepare(open).all()).toEqual([{ record: recordText(added) }]);
    db.close();

    const again = storeAt(path);
    expect(await again.open()).toMatchObject({ drains: [{ pattern: 'host-1/*', createWallMs: 8 }] });
    expect(again.stats()).toMatchObject({ openTasks: 1, endedTasks: 2, deadLetters: 1 });
    for (const row of [added, dead1]) {
      const { tasks } = await again.list({ ...anyTask, states: [row.state], maxLooked: 1 });
      expect(tasks.map((task) => task.row)).toEqual([row]);
    }
    const reopened: TaskRow = { ...dead1, revision: 3, state: 'QUEUED', endWallMs: null };
    await again.commit([update(reopened, { reopens: true })]);
    expect(again.stats()).toMatchObject({ openTasks: 2, endedTasks: 1, deadLetters: 0 });
  });
});

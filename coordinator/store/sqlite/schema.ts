import type { DatabaseSyncInstance } from '@photostructure/sqlite';
import { storeError } from './store-errors.js';

/** "RMDA" in the file's header (PRAGMA application_id): whose database this is. */
const APPLICATION_ID = 0x524d4441;

/**
 * Numbered migrations, each run once, in order, in one transaction with its number. Columns for what is searched or checked,
 * `record` (record.ts) for what is only read back. Payloads and results over 16 KiB are in `blob`, so that the rows which every step
 * rewrites stay small.
 */
const MIGRATIONS: readonly { readonly breaking: boolean; readonly sql: string }[] = [
  {
    breaking: true,
    sql: `
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
      -- Recovery reads what has not ended, in pages by id. Ended tasks, the many, are in neither index.
      CREATE INDEX task_open ON task (task_id) WHERE state < 3;
      INSERT INTO meta VALUES ('epoch', 0), ('longest_lease_ms', 0), ('breaking_version', 1);
    `,
  },
  {
    // A program that does not know of these goes on keeping the indexes right, holds no drains and purges nothing.
    breaking: false,
    sql: `
      -- What has not ended, by state and in the order of submits (the rowid): lists. Dead letters: theirs.
      CREATE INDEX task_open_state ON task (state) WHERE state < 3;
      CREATE INDEX task_dead ON task (state) WHERE state = 6;
      -- In the order of ends: retention. The one index entry that an ended task has besides its key.
      CREATE INDEX task_ended_end ON task (end_ms) WHERE state >= 3 AND state < 6;
      CREATE INDEX task_dead_end ON task (end_ms) WHERE state = 6;
      CREATE TABLE drain (pattern TEXT PRIMARY KEY, create_ms INTEGER NOT NULL) WITHOUT ROWID;
      INSERT INTO meta VALUES ('purged_id_ms', 0);
    `,
  },
];

/**
 * Reads whose the file is. To be called before anything else, even the journal mode, which is a mark in the file.
 *
 * @throws StoreError NOT_A_STORE, NEWER_SCHEMA; what the driver throws if it is no database
 */
export function checkSchema(db: DatabaseSyncInstance, path: string): void {
  const applicationId = pragma(db, 'application_id');
  const version = pragma(db, 'user_version');
  if (applicationId !== APPLICATION_ID) {
    const { tables } = db.prepare('SELECT count(*) AS tables FROM sqlite_master').get() as { tables: number };
    if (applicationId !== 0 || version !== 0 || tables > 0) {
      throw storeError(
        'NOT_A_STORE',
        path,
        `it is a SQLite database of another program (application_id ${applicationId})`,
      );
    }
  }
  refuseNewer(db, path, version);
}

/** Makes a new file ours, or brings our file up to date. After {@link checkSchema}. */
export function migrate(db: DatabaseSyncInstance): void {
  const version = pragma(db, 'user_version');
  for (const [index, { breaking, sql }] of MIGRATIONS.entries()) {
    const number = index + 1;
    if (number <= version) continue;
    db.exec('BEGIN IMMEDIATE');
    try {
      db.exec(sql);
      if (breaking) db.exec(`UPDATE meta SET value = ${number} WHERE key = 'breaking_version'`);
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${number}`);
      db.exec('COMMIT');
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  }
}

/** A newer version may have added what we can ignore; what we cannot, it has marked as breaking. */
function refuseNewer(db: DatabaseSyncInstance, path: string, version: number): void {
  if (version <= MIGRATIONS.length) return;
  const row = db.prepare("SELECT value FROM meta WHERE key = 'breaking_version'").get() as
    { value: number } | undefined;
  const breaking = row?.value ?? version;
  if (breaking <= MIGRATIONS.length) return;
  throw storeError(
    'NEWER_SCHEMA',
    path,
    `its schema is version ${version} (breaking since ${breaking}), this program knows up to ${MIGRATIONS.length}`,
  );
}

function pragma(db: DatabaseSyncInstance, name: string): number {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[0] ?? 0;
}

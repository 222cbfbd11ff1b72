import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';

/** How long a statement waits for another program that has the file locked. The engine repeats what was refused. */
const BUSY_MS = 250;
const WRITER_CACHE_KIB = 32 * 1024;
/** A page of a list is read once; its indexes' upper pages are what comes again. */
const READER_CACHE_KIB = 8 * 1024;
/** To what the journal is cut after a burst. */
const JOURNAL_KEPT_BYTES = 64 * 1024 * 1024;

/** A connection that makes the file if it is not there, and says nothing to it yet. Throws what the driver throws, as all here. */
export function connectWriter(path: string): DatabaseSyncInstance {
  return new DatabaseSync(path, { timeout: BUSY_MS, enableForeignKeyConstraints: false });
}

/** What the writer's connection is to be like. The journal mode is a mark in the file. */
export function configureWriter(db: DatabaseSyncInstance, maxFileBytes: number | null): void {
  db.exec('PRAGMA journal_mode = WAL');
  db.exec('PRAGMA synchronous = FULL');
  db.exec('PRAGMA temp_store = MEMORY');
  db.exec(`PRAGMA cache_size = -${WRITER_CACHE_KIB}`);
  db.exec(`PRAGMA journal_size_limit = ${JOURNAL_KEPT_BYTES}`);
  if (maxFileBytes === null) return;
  const [pageBytes] = Object.values(db.prepare('PRAGMA page_size').get() as Record<string, number>);
  db.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(maxFileBytes / (pageBytes ?? 4096)))}`);
}

/** A connection that cannot change the file. */
export function connectReader(path: string): DatabaseSyncInstance {
  const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS, enableForeignKeyConstraints: false });
  db.exec(`PRAGMA cache_size = -${READER_CACHE_KIB}`);
  return db;
}

/** Ends the transaction, if there is one; throws nothing. */
export function rollBack(db: DatabaseSyncInstance): void {
  try {
    // SQLite has rolled back by itself after some errors.
    if (db.isTransaction) db.exec('ROLLBACK');
  } catch {
    // The first error says what is wrong.
  }
}

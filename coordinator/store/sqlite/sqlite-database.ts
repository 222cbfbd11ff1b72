import { statSync } from 'node:fs';
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';
import { StoreError, type OpenedStore, type StoreStats } from '../store.js';
import { BlobReader, BlobWriter } from './blobs.js';
import { OwnerLock } from './owner-lock.js';
import { realStorePath } from './real-path.js';
import { checkSchema, migrate } from './schema.js';
import type {
  CommitAnswer,
  InsertHead,
  ReadAnswer,
  SqliteThreadData,
  UpdateHead,
  WriteHead,
} from './sqlite-messages.js';
import { SqliteStatements } from './sqlite-statements.js';
import { fromSqlite, storeError } from './store-errors.js';

/** How long a statement waits for another program that has the file locked. The engine repeats what was refused. */
const BUSY_MS = 250;
const CACHE_KIB = 32 * 1024;
/** To what the journal is cut after a burst. */
const JOURNAL_KEPT_BYTES = 64 * 1024 * 1024;

/** A text and the blobs which belong to it, as they cross threads. */
export interface TextAndBlobs {
  readonly text: string;
  readonly blobs: ArrayBuffer[];
}

/**
 * The coordinator's own database: blocking, so it lives in a thread (sqlite-thread.ts). Takes and gives rows as texts; see
 * sqlite-messages.ts. Its methods throw StoreErrors only.
 *
 * The lock keeps a second coordinator out, and the epoch, drawn at each opening and compared within each commit, is what safety
 * rests on. After an error of the disk nothing but {@link close} works: after a failed fsync the next one may lie.
 */
export class SqliteDatabase {
  readonly #options: SqliteThreadData;
  #path: string;
  #lock: OwnerLock | undefined;
  #db: DatabaseSyncInstance | undefined;
  #statements: SqliteStatements | undefined;
  #epoch = 0;
  #openTasks = 0;
  #endedTasks = 0;
  #failure: StoreError | undefined;

  constructor(options: SqliteThreadData) {
    this.#options = options;
    this.#path = options.path;
  }

  /** Once. After a failure nothing is held any more. */
  open(): OpenedStore {
    try {
      this.#path = realStorePath(this.#options.path);
      this.#lock = OwnerLock.acquire(this.#path);
      const db = new DatabaseSync(this.#path, { timeout: BUSY_MS, enableForeignKeyConstraints: false });
      this.#db = db;
      checkSchema(db, this.#path);
      configure(db, this.#options.maxBytes);
      migrate(db);
      const statements = new SqliteStatements(db, this.#path);
      this.#epoch = statements.drawEpoch();
      const counts = statements.countTasks();
      this.#openTasks = counts.open;
      this.#endedTasks = counts.ended;
      this.#statements = statements;
      return { longestLeaseMs: statements.longestLeaseMs(), drains: [] };
    } catch (error) {
      this.close();
      throw fromSqlite(error, this.#path);
    }
  }

  /** A JSON array of records. */
  loadOpen(afterTaskId: string, limit: number): string {
    return this.#guarded((statements) => `[${statements.openRecords(afterTaskId, limit).join(',')}]`);
  }

  /** A JSON array of {@link ReadAnswer}. */
  read(taskIds: readonly string[], bodies: boolean): TextAndBlobs {
    return this.#guarded((statements, db) => {
      const blobs = new BlobWriter();
      // One look at the file for all.
      db.exec('BEGIN');
      const answers = taskIds.map((taskId): ReadAnswer => {
        if (!bodies) {
          const record = statements.record(taskId);
          return record === null ? null : [record, null, null];
        }
        return statements.task(taskId, blobs);
      });
      db.exec('COMMIT');
      return { text: JSON.stringify(answers), blobs: blobs.finish() };
    });
  }

  /** @returns A {@link CommitAnswer} as JSON. */
  commit(text: string, blobs: readonly ArrayBuffer[]): TextAndBlobs {
    const lines = text.split('\n');
    const heads = JSON.parse(lines[0] ?? '[]') as WriteHead[];
    return this.#guarded((statements, db) => {
      const batch = new Batch(statements, lines, new BlobReader(blobs));
      db.exec('BEGIN IMMEDIATE');
      if (statements.epoch() !== this.#epoch) {
        throw storeError(
          'FENCED',
          this.#path,
          `epoch ${statements.epoch()} has been drawn, this coordinator has ${this.#epoch}`,
        );
      }
      for (const [index, head] of heads.entries()) batch.apply(head, index);
      db.exec('COMMIT');
      this.#openTasks += batch.openTasks;
      this.#endedTasks += batch.endedTasks;
      return { text: JSON.stringify(batch.answer), blobs: batch.bodies.finish() };
    });
  }

  stats(): StoreStats {
    return this.#guarded(() => ({
      openTasks: this.#openTasks,
      endedTasks: this.#endedTasks,
      bytes: fileBytes(this.#path) + fileBytes(`${this.#path}-wal`),
    }));
  }

  /** Idempotent. Throws nothing: what matters is on disk, and the lock goes with the process at the latest. */
  close(): void {
    const db = this.#db;
    const lock = this.#lock;
    this.#db = undefined;
    this.#statements = undefined;
    this.#lock = undefined;
    try {
      if (db?.isOpen === true) db.close();
    } catch {
      // Only the journal's last pages were to be moved; the next opening does that.
    }
    lock?.release();
  }

  #guarded<T>(run: (statements: SqliteStatements, db: DatabaseSyncInstance) => T): T {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#db === undefined || this.#statements === undefined) {
      throw new StoreError('IO', `store ${this.#path}: it is not open`);
    }
    try {
      return run(this.#statements, this.#db);
    } catch (thrown) {
      const error = fromSqlite(thrown, this.#path);
      if (!error.retryable) this.#failure = error;
      rollBack(this.#db);
      throw error;
    }
  }
}

/** The writes of one commit, within its transaction. */
class Batch {
  readonly answer: CommitAnswer = { conflicts: [], bodies: [] };
  readonly bodies = new BlobWriter();
  openTasks = 0;
  endedTasks = 0;
  #line = 1;

  constructor(
    private readonly statements: SqliteStatements,
    private readonly lines: readonly string[],
    private readonly blobs: BlobReader,
  ) {}

  apply(head: WriteHead, index: number): void {
    if (head[0] === 2) {
      this.statements.setLongestLease(head[1]);
      return;
    }
    const taskId = head[1];
    const record = this.#nextLine();
    if (!(head[0] === 0 ? this.#insert(head, record) : this.#update(head, record))) {
      this.answer.conflicts.push([index, this.statements.record(taskId)]);
      return;
    }
    if (head[0] === 0) {
      if (head[4] === 1) this.endedTasks += 1;
      else this.openTasks += 1;
    } else {
      // A task which has ended is never written again, so one that is written as ended was open.
      if (head[4] === 1) {
        this.openTasks -= 1;
        this.endedTasks += 1;
      }
      if (head[10] === 1) this.answer.bodies.push([index, this.statements.body(taskId, this.bodies)]);
    }
  }

  #insert(head: InsertHead, record: string): boolean {
    return this.statements.insert(head, record, this.#nextLine(), this.blobs.next());
  }

  #update(head: UpdateHead, record: string): boolean {
    const hasResult = head[9] === 1;
    return this.statements.update(head, record, hasResult ? { type: this.#nextLine(), data: this.blobs.next() } : null);
  }

  #nextLine(): string {
    const line = this.lines[this.#line];
    if (line === undefined) throw new Error(`a commit's text has only ${this.lines.length} lines`);
    this.#line += 1;
    return line;
  }
}

function configure(db: DatabaseSyncInstance, maxBytes: number | null): void {
  db.exec('PRAGMA journal_mode = WAL');
  db.exec('PRAGMA synchronous = FULL');
  db.exec('PRAGMA temp_store = MEMORY');
  db.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
  db.exec(`PRAGMA journal_size_limit = ${JOURNAL_KEPT_BYTES}`);
  if (maxBytes === null) return;
  const [pageBytes] = Object.values(db.prepare('PRAGMA page_size').get() as Record<string, number>);
  db.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(maxBytes / (pageBytes ?? 4096)))}`);
}

function rollBack(db: DatabaseSyncInstance): void {
  try {
    // SQLite has rolled back by itself after some errors.
    if (db.isTransaction) db.exec('ROLLBACK');
  } catch {
    // The first error says what is wrong.
  }
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

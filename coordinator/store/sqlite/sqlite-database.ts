import type { DatabaseSyncInstance } from '@photostructure/sqlite';
import { StoreError, type OpenedStore } from '../store.js';
import { BlobReader, BlobWriter } from './blobs.js';
import { OwnerLock } from './owner-lock.js';
import { realStorePath } from './real-path.js';
import { checkSchema, migrate } from './schema.js';
import { SqliteBatch } from './sqlite-batch.js';
import { configureWriter, connectWriter, rollBack } from './sqlite-connection.js';
import type {
  OpenAnswer,
  ReadAnswer,
  SqliteFigures,
  SqliteThreadData,
  TextAndBlobs,
  WriteHead,
} from './sqlite-messages.js';
import { SqliteReads } from './sqlite-reads.js';
import { SqliteStatements } from './sqlite-statements.js';
import { StoreFiles } from './store-files.js';
import { fromSqlite, storeError } from './store-errors.js';

/** A connection whose file is ours, and what is prepared on it. */
interface OpenFile {
  readonly db: DatabaseSyncInstance;
  readonly statements: SqliteStatements;
  readonly reads: SqliteReads;
  readonly files: StoreFiles;
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
  #file: OpenFile | undefined;
  #epoch = 0;
  #figures: SqliteFigures = { openTasks: 0, endedTasks: 0, deadLetters: 0, usedBytes: 0, disk: null };
  #failure: StoreError | undefined;

  constructor(options: SqliteThreadData) {
    this.#options = options;
    this.#path = options.path;
  }

  /** Once. After a failure nothing is held any more. */
  open(): OpenAnswer {
    try {
      this.#path = realStorePath(this.#options.path);
      this.#lock = OwnerLock.acquire(this.#path);
      const db = connectWriter(this.#path);
      this.#db = db;
      checkSchema(db, this.#path);
      configureWriter(db, this.#options.maxFileBytes);
      migrate(db);
      const statements = new SqliteStatements(db, this.#path);
      this.#epoch = statements.drawEpoch();
      const { open, ended, dead } = statements.countTasks();
      const { usedBytes, reusableBytes } = statements.pageBytes();
      const files = new StoreFiles(db, this.#path);
      const disk = files.disk(reusableBytes);
      this.#figures = { openTasks: open, endedTasks: ended, deadLetters: dead, usedBytes, disk };
      this.#file = { db, statements, reads: new SqliteReads(db, this.#path), files };
      const opened: OpenedStore = {
        longestLeaseMs: statements.meta('longest_lease_ms'),
        drains: statements.drains(),
        purgedIdMs: statements.meta('purged_id_ms'),
      };
      return { ...this.#figures, opened };
    } catch (error) {
      this.close();
      throw fromSqlite(error, this.#path);
    }
  }

  /** A JSON array of records. */
  loadOpen(afterTaskId: string, limit: number): string {
    return this.#guarded(({ reads }) => `[${reads.openRecords(afterTaskId, limit).join(',')}]`);
  }

  /** A JSON array of {@link ReadAnswer}. */
  read(taskIds: readonly string[], bodies: boolean): TextAndBlobs {
    return this.#guarded(({ db, reads }) => {
      const blobs = new BlobWriter();
      // One look at the file for all.
      db.exec('BEGIN');
      const answers = taskIds.map((taskId): ReadAnswer => reads.task(taskId, bodies, blobs));
      db.exec('COMMIT');
      return { text: JSON.stringify(answers), blobs: blobs.finish() };
    });
  }

  /** @returns A {@link CommitAnswer} as JSON. */
  commit(text: string, blobs: readonly ArrayBuffer[]): TextAndBlobs {
    const lines = text.split('\n');
    const heads = JSON.parse(lines[0] ?? '[]') as WriteHead[];
    return this.#guarded(({ db, statements, reads, files }) => {
      files.requireWhole();
      const before = this.#figures;
      const batch = new SqliteBatch(statements, reads, lines, new BlobReader(blobs), before.deadLetters);
      db.exec('BEGIN IMMEDIATE');
      const epoch = statements.meta('epoch');
      if (epoch !== this.#epoch) {
        throw storeError('FENCED', this.#path, `epoch ${epoch} has been drawn, this coordinator has ${this.#epoch}`);
      }
      for (const [index, head] of heads.entries()) batch.apply(head, index);
      const { usedBytes, reusableBytes } = statements.pageBytes();
      db.exec('COMMIT');
      files.requireInPlace();
      this.#figures = {
        openTasks: before.openTasks + batch.openTasks,
        endedTasks: before.endedTasks + batch.endedTasks,
        deadLetters: before.deadLetters + batch.deadLetters,
        usedBytes,
        disk: files.disk(reusableBytes),
      };
      return { text: JSON.stringify({ ...batch.answer, ...this.#figures }), blobs: batch.bodies.finish() };
    });
  }

  /** The files and the disk, seen as by a commit. */
  look(): SqliteFigures {
    return this.#guarded(({ files, statements }) => {
      files.requireWhole();
      files.requireInPlace();
      this.#figures = { ...this.#figures, disk: files.disk(statements.pageBytes().reusableBytes) };
      return this.#figures;
    });
  }

  /** Idempotent. Throws nothing: what matters is on disk, and the lock goes with the process at the latest. */
  close(): void {
    const db = this.#db;
    const lock = this.#lock;
    this.#db = undefined;
    this.#file = undefined;
    this.#lock = undefined;
    try {
      if (db?.isOpen === true) db.close();
    } catch {
      // Only the journal's last pages were to be moved; the next opening does that.
    }
    lock?.release();
  }

  #guarded<T>(run: (file: OpenFile) => T): T {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#file === undefined) throw new StoreError('IO', `store ${this.#path}: it is not open`);
    try {
      return run(this.#file);
    } catch (thrown) {
      const error = fromSqlite(thrown, this.#path);
      if (!error.retryable) this.#failure = error;
      rollBack(this.#file.db);
      throw error;
    }
  }
}

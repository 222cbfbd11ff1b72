import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';
import { fromSqlite, resultCode, storeError } from './store-errors.js';

const SQLITE_BUSY = 5;

/**
 * One coordinator on a file: an exclusive transaction on `PATH.lock`, held for life. The operating system drops it with the
 * process, however that ends. `PATH.owner` is for people: who has it. Nothing else may open `PATH.lock`: closing any
 * descriptor of a file drops all POSIX locks that the process has on it.
 */
export class OwnerLock {
  // Referenced for as long as the lock is to be held: a collected handle drops it.
  readonly #lock: DatabaseSyncInstance;

  private constructor(
    private readonly path: string,
    lock: DatabaseSyncInstance,
  ) {
    this.#lock = lock;
  }

  /**
   * @param path The store's real path, so that two links to one file are one owner.
   * @throws StoreError OWNED, naming who; READ_ONLY or IO if the lock cannot be made
   */
  static acquire(path: string): OwnerLock {
    let lock: DatabaseSyncInstance | undefined;
    try {
      lock = new DatabaseSync(`${path}.lock`);
      // A rollback journal: in WAL mode readers and writers of the lock file would not exclude each other.
      lock.exec('PRAGMA journal_mode = DELETE');
      lock.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      lock?.close();
      if (resultCode(error) === SQLITE_BUSY) throw storeError('OWNED', path, describeOwner(path), error);
      throw fromSqlite(error, path);
    }
    const owner = { host: hostname(), pid: process.pid, start_time: new Date().toISOString() };
    writeFileSync(`${path}.owner.tmp`, `${JSON.stringify(owner)}\n`);
    renameSync(`${path}.owner.tmp`, `${path}.owner`);
    return new OwnerLock(path, lock);
  }

  release(): void {
    rmSync(`${this.path}.owner`, { force: true });
    this.#lock.close();
  }
}

function describeOwner(path: string): string {
  try {
    const owner = JSON.parse(readFileSync(`${path}.owner`, 'utf8')) as Record<string, unknown>;
    return `a coordinator on host ${String(owner['host'])}, pid ${String(owner['pid'])}, has had it since ${String(owner['start_time'])}`;
  } catch {
    return 'another coordinator has it';
  }
}

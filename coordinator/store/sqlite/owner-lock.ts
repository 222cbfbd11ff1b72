import { accessSync, constants, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';
import { fromSqlite, resultCode, storeError } from './store-errors.js';

const SQLITE_BUSY = 5;
const SQLITE_CANTOPEN = 14;

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
    refuseReadOnlyLock(path);
    let lock: DatabaseSyncInstance | undefined;
    try {
      lock = new DatabaseSync(`${path}.lock`);
      // A rollback journal: in WAL mode readers and writers of the lock file would not exclude each other.
      lock.exec('PRAGMA journal_mode = DELETE');
      lock.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      lock?.close();
      if (resultCode(error) === SQLITE_BUSY) throw storeError('OWNED', path, describeOwner(path), error);
      if (resultCode(error) === SQLITE_CANTOPEN) refuseReadOnlyFolder(path, error);
      throw fromSqlite(error, `${path}.lock`);
    }
    writeOwner(path);
    return new OwnerLock(path, lock);
  }

  release(): void {
    removeOwner(this.path);
    this.#lock.close();
  }
}

/** On a file that it cannot write, SQLite makes of BEGIN EXCLUSIVE a mere reader's lock, without a word. */
function refuseReadOnlyLock(path: string): void {
  const lock = `${path}.lock`;
  if (!existsSync(lock)) return;
  try {
    accessSync(lock, constants.W_OK);
  } catch (error) {
    throw storeError('READ_ONLY', path, `its lock ${lock} cannot be written`, error);
  }
}

/** SQLite does not say why it could not make the lock: making another file in its folder does. */
function refuseReadOnlyFolder(path: string, cause: unknown): void {
  const probe = `${path}.owner.tmp`;
  try {
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw storeError('READ_ONLY', path, `no file can be made in its folder ${dirname(path)} (${code})`, cause);
  }
}

/** For people only, so a failure here is none of the store's: but then there must be no older name either. */
function writeOwner(path: string): void {
  const owner = { host: hostname(), pid: process.pid, start_time: new Date().toISOString() };
  try {
    writeFileSync(`${path}.owner.tmp`, `${JSON.stringify(owner)}\n`);
    renameSync(`${path}.owner.tmp`, `${path}.owner`);
  } catch {
    removeOwner(path);
  }
}

function removeOwner(path: string): void {
  try {
    rmSync(`${path}.owner`, { force: true });
  } catch {
    // As above.
  }
}

function describeOwner(path: string): string {
  try {
    const {
      host,
      pid,
      start_time: since,
    } = JSON.parse(readFileSync(`${path}.owner`, 'utf8')) as Record<string, unknown>;
    if (typeof host === 'string' && typeof pid === 'number') {
      const which = host === hostname() && pid === process.pid ? ' (this very process)' : '';
      return `a coordinator on host ${host}, pid ${pid}${which}, has had it since ${String(since)}`;
    }
  } catch {
    // Missing or garbage: the lock alone decides.
  }
  return 'another coordinator has it';
}

import { statfsSync, statSync, type BigIntStats } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSyncInstance } from '@photostructure/sqlite';
import { StoreError, type StoreDisk, type StoreErrorReason } from '../store.js';

/** Of the write-ahead log: its own header, and that of each page in it (https://sqlite.org/fileformat2.html#walformat). */
const WAL_HEADER_BYTES = 32;
const WAL_FRAME_HEADER_BYTES = 24;

/**
 * The files of a database that is open, seen from outside. SQLite writes through its handles and never asks whether a name still
 * leads to them: into a file that somebody has removed it commits for as long as the process lives, and then all of it is gone.
 *
 * Files are looked at by name only. To open one and close it again would drop every lock that this process has on it.
 */
export class StoreFiles {
  readonly #database: OpenedFile;
  readonly #log: OpenedFile;
  readonly #frameCount: { get(): unknown };
  readonly #pageCount: { get(): unknown };
  readonly #pageBytes: number;
  readonly #folder: string;
  #databaseBytes: number;

  /**
   * @param db A connection that has written already, so that both files are there, and that has no transaction under way.
   * @throws StoreError IO if a file is not there all the same
   */
  constructor(db: DatabaseSyncInstance, path: string) {
    this.#database = new OpenedFile(path, path);
    this.#log = new OpenedFile(`${path}-wal`, path);
    this.#folder = dirname(path);
    // A checkpoint that moves nothing, and tells how many pages the log has.
    this.#frameCount = db.prepare('PRAGMA wal_checkpoint(NOOP)');
    this.#pageCount = db.prepare('PRAGMA page_count');
    this.#pageBytes = (db.prepare('PRAGMA page_size').get() as { page_size: number }).page_size;
    this.#databaseBytes = this.#database.requireInPlace();
  }

  /**
   * Before a commit, outside of a transaction: what is written behind a cut would be lost with what was cut off.
   *
   * @throws StoreError CORRUPT if a file is shorter than what is in it; IO as {@link requireInPlace}
   */
  requireWhole(): void {
    const { log: frames } = this.#frameCount.get() as { log: number };
    const { page_count: pages } = this.#pageCount.get() as { page_count: number };
    const databaseBytes = this.#database.requireInPlace();
    const logBytes = this.#log.requireInPlace();
    // Its newest pages may be in the log only; and another program that tidies it up (VACUUM) makes it smaller.
    this.#database.requireBytes(databaseBytes, Math.min(this.#databaseBytes, pages * this.#pageBytes));
    if (frames <= 0) return;
    this.#log.requireBytes(logBytes, WAL_HEADER_BYTES + frames * (WAL_FRAME_HEADER_BYTES + this.#pageBytes));
  }

  /**
   * After a commit, before it is told: what is in a file that no name leads to is not durable.
   *
   * @throws StoreError IO, saying which file and what to do
   */
  requireInPlace(): void {
    this.#databaseBytes = this.#database.requireInPlace();
    this.#log.requireInPlace();
  }

  /**
   * The file system beneath, as it is now; null if it does not tell.
   *
   * @param reusableBytes What is free within the database
   */
  disk(reusableBytes: number): StoreDisk | null {
    try {
      const { bavail, bsize } = statfsSync(this.#folder);
      return { folder: this.#folder, freeBytes: bavail * bsize, reusableBytes };
    } catch {
      return null;
    }
  }
}

/** A file by its name, and which one that was at first. */
class OpenedFile {
  readonly #first: BigIntStats;

  constructor(
    private readonly name: string,
    private readonly store: string,
  ) {
    this.#first = this.#look();
  }

  /**
   * @returns Its bytes.
   * @throws StoreError IO if the name leads to another file, or to none
   */
  requireInPlace(): number {
    const { dev, ino, size } = this.#look();
    if (ino === this.#first.ino && dev === this.#first.dev) return Number(size);
    throw this.#spoiled(
      'IO',
      'was replaced by another file',
      'start with the files of one store only: the old ones, or the new ones without the -wal and -shm of the old',
    );
  }

  /** @throws StoreError CORRUPT if it has fewer than are in use */
  requireBytes(bytes: number, usedBytes: number): void {
    if (bytes >= usedBytes) return;
    throw this.#spoiled(
      'CORRUPT',
      `was cut to ${bytes} bytes, of ${usedBytes} in use,`,
      'restore the store from a backup, or see what is left with `sqlite3 FILE "PRAGMA integrity_check"`',
    );
  }

  #look(): BigIntStats {
    const found = statSync(this.name, { bigint: true, throwIfNoEntry: false });
    if (found !== undefined) return found;
    throw this.#spoiled(
      'IO',
      'was removed or moved',
      'put it back, with its -wal, before the next start, which makes a new store where there is none',
    );
  }

  #spoiled(reason: StoreErrorReason, what: string, advice: string): StoreError {
    return new StoreError(
      reason,
      `store ${this.store}: ${this.name} ${what} while a coordinator had it open, and nothing more is written to it; ${advice}`,
    );
  }
}

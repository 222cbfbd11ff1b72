import { StoreError, type StoreErrorReason } from '../store.js';

/** Primary result codes of SQLite (https://sqlite.org/rescode.html) that a person can do something about. */
const REASONS: Readonly<Record<number, StoreErrorReason>> = {
  5: 'BUSY',
  6: 'BUSY',
  8: 'READ_ONLY',
  10: 'IO',
  11: 'CORRUPT',
  13: 'FULL',
  14: 'IO',
  26: 'NOT_A_STORE',
};

/**
 * SQLITE_IOERR_SHMSIZE: the disk has no room for more of the log's index. The commit is undone; its pages are in the log, and a
 * start after a crash may find it done, as any that was not answered.
 */
const NO_ROOM_FOR_INDEX = 4_874;

const ADVICE: Readonly<Record<StoreErrorReason, string>> = {
  BUSY: 'another program has it locked; close that program',
  FULL: 'make room on its disk',
  FENCED: 'another coordinator has taken it over; this one must stop',
  IO: 'check its disk, folder and permissions',
  CORRUPT: 'restore it from a backup, or look at it with `sqlite3 FILE "PRAGMA integrity_check"`',
  NOT_A_STORE: 'it is no database of Remuda, and was left as it is; name another file with --store sqlite:PATH',
  READ_ONLY: 'the coordinator must be able to write it and its folder; check owner and mount',
  NEWER_SCHEMA: 'start the newer version of Remuda that wrote it',
  OWNED: 'stop that coordinator, or name another file with --store sqlite:PATH',
};

/** A StoreError that names the file and says what to do. */
export function storeError(reason: StoreErrorReason, path: string, what: string, cause?: unknown): StoreError {
  return new StoreError(reason, `store ${path}: ${what}; ${ADVICE[reason]}`, { cause });
}

/** What the SQLite driver threw, as a StoreError. */
export function fromSqlite(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = resultCode(error);
  const reason = code === NO_ROOM_FOR_INDEX ? 'FULL' : (REASONS[code & 0xff] ?? 'IO');
  return storeError(reason, path, message, error);
}

/** SQLite's result code; 0 if the error is not from SQLite. */
export function resultCode(error: unknown): number {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' ? code : 0;
}

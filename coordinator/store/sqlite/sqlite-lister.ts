import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import type { ListParams } from '../store.js';
import { BlobWriter } from './blobs.js';
import { realStorePath } from './real-path.js';
import { connectReader, rollBack } from './sqlite-connection.js';
import {
  DEAD_LETTERED,
  FIRST_ENDED,
  stateNumber,
  type ListAnswer,
  type ListedAnswer,
  type TextAndBlobs,
} from './sqlite-messages.js';
import { SqliteReads } from './sqlite-reads.js';
import { fromSqlite } from './store-errors.js';

/** Rows looked at in one go, when not all of them fit. */
const LOOK_ROWS = 1_000;

/** A row that is looked at. */
type Look = readonly [seq: number, taskId: string, state: number, type: string];

/**
 * Pages of tasks, over a connection of its own that only reads: in WAL mode it holds up no commit, and no commit holds it up.
 * No transaction stays open between calls, so the journal can be moved into the file. Blocking, so it lives in a thread
 * (sqlite-list-thread.ts). Its methods throw StoreErrors only.
 */
export class SqliteLister {
  readonly #path: string;
  readonly #db: DatabaseSyncInstance;
  readonly #reads: SqliteReads;
  readonly #all: StatementSyncInstance;
  readonly #open: StatementSyncInstance;
  readonly #dead: StatementSyncInstance;

  private constructor(db: DatabaseSyncInstance, path: string) {
    this.#path = path;
    this.#db = db;
    this.#reads = new SqliteReads(db, path);
    const look = (source: string): StatementSyncInstance =>
      db.prepare(`SELECT rowid, task_id, state, type FROM task ${source} rowid < ? ORDER BY rowid DESC LIMIT ?`, {
        returnArrays: true,
      });
    this.#all = look('WHERE');
    this.#open = look('INDEXED BY task_open_state WHERE state < 3 AND state = ? AND');
    this.#dead = look('INDEXED BY task_dead WHERE state = 6 AND');
  }

  /** @throws StoreError if the file cannot be read; a store has it open, so it is there */
  static open(path: string): SqliteLister {
    let db: DatabaseSyncInstance | undefined;
    try {
      const realPath = realStorePath(path);
      db = connectReader(realPath);
      return new SqliteLister(db, realPath);
    } catch (error) {
      db?.close();
      throw fromSqlite(error, path);
    }
  }

  /** @returns A {@link ListAnswer} as JSON, and the blobs. */
  list(params: ListParams): TextAndBlobs {
    try {
      // One look at the file for the whole page.
      this.#db.exec('BEGIN');
      const blobs = new BlobWriter();
      const text = JSON.stringify(this.#page(params, blobs));
      this.#db.exec('COMMIT');
      return { text, blobs: blobs.finish() };
    } catch (error) {
      rollBack(this.#db);
      throw fromSqlite(error, this.#path);
    }
  }

  close(): void {
    this.#db.close();
  }

  #page(params: ListParams, blobs: BlobWriter): ListAnswer {
    const { beforeSeq, limit, bodies, maxLooked, maxBytes } = params;
    const filter = new Filter(params);
    const tasks: ListedAnswer[] = [];
    let before = beforeSeq ?? Number.MAX_SAFE_INTEGER;
    let recordBytes = 0;
    for (let looked = 0; ;) {
      // One more than may be taken tells whether there is a next page.
      const rows = Math.min(filter.allFit ? limit - tasks.length + 1 : LOOK_ROWS, maxLooked - looked + 1);
      const looks = this.#look(filter, before, rows);
      for (const look of looks) {
        const full = tasks.length >= limit || recordBytes + blobs.bytes >= maxBytes;
        if (full || looked >= maxLooked) return { tasks, nextSeq: before };
        looked += 1;
        before = look[0];
        const task = filter.fits(look) ? this.#reads.task(look[1], bodies, blobs) : null;
        if (task === null) continue;
        tasks.push([before, task]);
        recordBytes += task[0].length;
      }
      if (looks.length < rows) return { tasks, nextSeq: null };
    }
  }

  /** The next rows, the newest first. */
  #look({ states, indexed }: Filter, before: number, rows: number): readonly Look[] {
    if (!indexed) return this.#all.all(before, rows) as Look[];
    const found = states.flatMap(
      (state) =>
        (state === DEAD_LETTERED ? this.#dead.all(before, rows) : this.#open.all(state, before, rows)) as Look[],
    );
    return found.sort((a, b) => b[0] - a[0]).slice(0, rows);
  }
}

/** Which rows are wanted. */
class Filter {
  readonly states: readonly number[];
  /** Indexes have all of them that can be wanted. */
  readonly indexed: boolean;
  /** All that are looked at are wanted. */
  readonly allFit: boolean;
  readonly #type: string | null;

  constructor({ states, type }: ListParams) {
    this.states = [...new Set(states.map(stateNumber))];
    this.indexed = states.length > 0 && this.states.every((state) => state < FIRST_ENDED || state === DEAD_LETTERED);
    this.allFit = type === null && (this.indexed || states.length === 0);
    this.#type = type;
  }

  fits([, , state, type]: Look): boolean {
    return (this.states.length === 0 || this.states.includes(state)) && (this.#type === null || this.#type === type);
  }
}

import type { Write } from '../../core/outputs.js';
import type { TaskRow } from '../../core/task.js';
import {
  StoreError,
  type ListParams,
  type OpenedStore,
  type Store,
  type StoredTask,
  type StoreStats,
  type TaskPage,
  type WriteResult,
} from '../store.js';
import { BlobReader } from './blobs.js';
import { rowFrom, type TaskRecord } from './record.js';
import {
  bodyFrom,
  encodeCommit,
  resultFrom,
  type CommitAnswer,
  type ListAnswer,
  type OpenAnswer,
  type ReadAnswer,
  type SqliteAnswer,
  type SqliteFigures,
  type SqliteOp,
} from './sqlite-messages.js';
import { ThreadCalls } from './thread-calls.js';

/** Default bound of what a file holds before new tasks are refused, in bytes. */
export const SQLITE_STORE_BYTES = 8 * 1024 * 1024 * 1024;

/** Calls under way: the engine has one, and readers a few. More is a fault, and refused. */
const MAX_CALLS = 1_024;
/** Pages under way: people and scripts ask for them, each may be megabytes. More are refused. */
const MAX_LIST_CALLS = 64;

export interface SqliteStoreOptions {
  /** The database file; made if it is not there. Beside it are `-wal`, `-shm`, `.lock` and `.owner`. */
  readonly path: string;
  /** Bound of what it holds; at it there is no more room for new tasks. Default {@link SQLITE_STORE_BYTES}. */
  readonly limitBytes?: number;
  /** Hard bound of the file, in bytes, as of a disk: at it commits are refused (FULL). Default: that of the disk. */
  readonly maxFileBytes?: number;
}

/**
 * The store of `sqlite:PATH`, this side of its threads: one that owns the file, does all writes and answers in order; and, from
 * the first list on, one that only reads, for lists alone. If the owning thread dies, every call is refused (IO).
 */
export class SqliteStore implements Store {
  readonly #options: SqliteStoreOptions;
  #owner: ThreadCalls | undefined;
  #lister: ThreadCalls | undefined;
  #closed: Promise<void> | undefined;
  #figures: SqliteFigures = { openTasks: 0, endedTasks: 0, deadLetters: 0, usedBytes: 0, disk: null };

  constructor(options: SqliteStoreOptions) {
    this.#options = options;
  }

  async open(): Promise<OpenedStore> {
    const { path, maxFileBytes = null } = this.#options;
    if (this.#owner !== undefined || this.#closed !== undefined) {
      throw new StoreError('IO', `store ${path}: it was opened or closed before; make a new one`);
    }
    this.#owner = new ThreadCalls({ file: 'sqlite-thread.js', data: { path, maxFileBytes }, maxCalls: MAX_CALLS });
    const { opened, ...figures } = JSON.parse((await this.#call('open')).text) as OpenAnswer;
    this.#figures = figures;
    return opened;
  }

  async loadOpen(params: { afterTaskId: string; limit: number }): Promise<readonly TaskRow[]> {
    const { text } = await this.#call('loadOpen', JSON.stringify(params));
    return this.#decode(() => (JSON.parse(text) as TaskRecord[]).map(rowFrom));
  }

  async read(params: { taskIds: readonly string[]; bodies: boolean }): Promise<readonly (StoredTask | undefined)[]> {
    const { text, blobs } = await this.#call('read', JSON.stringify(params));
    return this.#decode(() => {
      const reader = new BlobReader(blobs);
      return (JSON.parse(text) as ReadAnswer[]).map((task) => (task === null ? undefined : storedTask(task, reader)));
    });
  }

  async list(params: ListParams): Promise<TaskPage> {
    this.#refuseUnlessOpen();
    // One that has died takes only its pages with it.
    if (this.#lister?.dead !== false) {
      const data = { path: this.#options.path, maxFileBytes: null };
      this.#lister = new ThreadCalls({ file: 'sqlite-list-thread.js', data, maxCalls: MAX_LIST_CALLS });
    }
    const { text, blobs } = await this.#lister.call('list', JSON.stringify(params));
    return this.#decode(() => {
      const reader = new BlobReader(blobs);
      const { tasks, nextSeq } = JSON.parse(text) as ListAnswer;
      return { tasks: tasks.map(([seq, task]) => ({ ...storedTask(task, reader), seq })), nextSeq };
    });
  }

  async commit(writes: readonly Write[]): Promise<readonly WriteResult[]> {
    const { text, blobs } = encodeCommit(writes);
    const answer = await this.#call('commit', text, blobs);
    return this.#decode(() => {
      const { conflicts, bodies, purged, ...figures } = JSON.parse(answer.text) as CommitAnswer;
      this.#figures = figures;
      const results = writes.map((): WriteResult => APPLIED);
      for (const [index, record] of conflicts) {
        results[index] = { kind: 'conflict', row: record === null ? null : rowFrom(JSON.parse(record) as TaskRecord) };
      }
      const reader = new BlobReader(answer.blobs);
      for (const [index, body] of bodies) results[index] = { kind: 'applied', body: bodyFrom(body, reader.next()) };
      for (const [index, count, deadLetters, purgedIdMs] of purged) {
        results[index] = { kind: 'purged', count, deadLetters, purgedIdMs };
      }
      return results;
    });
  }

  async look(): Promise<void> {
    this.#figures = JSON.parse((await this.#call('look')).text) as SqliteFigures;
  }

  get roomBytes(): number {
    const { limitBytes, usedBytes } = this.stats();
    return Math.max(0, limitBytes - usedBytes);
  }

  stats(): StoreStats {
    return { ...this.#figures, limitBytes: this.#options.limitBytes ?? SQLITE_STORE_BYTES };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // The owner last: with its handle the journal is moved into the file.
    await this.#lister?.close();
    await this.#owner?.close();
  }

  // Async, so that a refusal is a rejected promise.
  async #call(op: SqliteOp, text = '', blobs: readonly ArrayBuffer[] = []): Promise<SqliteAnswer> {
    return this.#refuseUnlessOpen().call(op, text, blobs);
  }

  #refuseUnlessOpen(): ThreadCalls {
    const { path } = this.#options;
    if (this.#closed !== undefined) throw new StoreError('IO', `store ${path}: it is closed`);
    if (this.#owner === undefined) throw new StoreError('IO', `store ${path}: it is not open`);
    return this.#owner;
  }

  /** What the table has is not what any coordinator has written. */
  #decode<T>(run: () => T): T {
    try {
      return run();
    } catch (cause) {
      throw new StoreError(
        'CORRUPT',
        `store ${this.#options.path}: a row cannot be read (${String(cause)}); restore the file from a backup`,
        { cause },
      );
    }
  }
}

const APPLIED: WriteResult = { kind: 'applied', body: null };

function storedTask([record, bodyText, resultType]: NonNullable<ReadAnswer>, blobs: BlobReader): StoredTask {
  const row = rowFrom(JSON.parse(record) as TaskRecord);
  const body = bodyText === null ? null : bodyFrom(bodyText, blobs.next());
  const result = resultType === null ? null : resultFrom(resultType, blobs.next());
  return { row, body, result };
}

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Write } from '../../core/outputs.js';
import type { TaskRow } from '../../core/task.js';
import {
  StoreError,
  type ListPage,
  type OpenedStore,
  type Store,
  type StoredTask,
  type StoreStats,
  type WriteResult,
} from '../store.js';
import { BlobReader } from './blobs.js';
import { rowFrom, type TaskRecord } from './record.js';
import {
  bodyFrom,
  encodeCommit,
  resultFrom,
  type CommitAnswer,
  type ReadAnswer,
  type SqliteAnswer,
  type SqliteCall,
  type SqliteOp,
  type SqliteThreadData,
} from './sqlite-messages.js';

/** Calls under way: the engine has one, and readers a few. More is a fault, and refused. */
const MAX_CALLS = 1_024;

export interface SqliteStoreOptions {
  /** The database file; made if it is not there. Beside it are `-wal`, `-shm`, `.lock` and `.owner`. */
  readonly path: string;
  /** Bound of the file, in bytes; at it commits are refused (FULL). Default: that of the disk. */
  readonly maxBytes?: number;
}

interface Waiter {
  readonly resolve: (answer: SqliteAnswer) => void;
  readonly reject: (error: StoreError) => void;
}

/**
 * The store of `sqlite:PATH`, this side of its thread: one message there and one back per call, answered in order. If the
 * thread dies, every call, under way or to come, is refused (IO).
 */
export class SqliteStore implements Store {
  readonly #options: SqliteStoreOptions;
  readonly #waiters = new Map<number, Waiter>();
  #thread: Worker | undefined;
  #exited: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  #dead: StoreError | undefined;
  #nextId = 1;

  /** Its bound is that of the disk; a full one is told by FULL. */
  readonly roomBytes = Infinity;

  constructor(options: SqliteStoreOptions) {
    this.#options = options;
  }

  async open(): Promise<OpenedStore> {
    const { path, maxBytes } = this.#options;
    if (this.#thread !== undefined || this.#closed !== undefined) {
      throw new StoreError('IO', `store ${path}: it was opened or closed before; make a new one`);
    }
    const data: SqliteThreadData = { path, maxBytes: maxBytes ?? null };
    const thread = new Worker(threadFile(path), { workerData: data, name: 'sqlite-store' });
    this.#thread = thread;
    this.#exited = new Promise((resolve) => {
      thread.on('message', (answer: SqliteAnswer) => this.#settle(answer));
      thread.on('messageerror', (error) => this.#die('its thread sent what cannot be read', error));
      thread.on('error', (error) => this.#die(`its thread failed: ${String(error)}`, error));
      thread.on('exit', (code) => {
        this.#die(`its thread has ended (${code})`);
        resolve();
      });
    });
    return JSON.parse((await this.#call('open')).text) as OpenedStore;
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

  async commit(writes: readonly Write[]): Promise<readonly WriteResult[]> {
    const { text, blobs } = encodeCommit(writes);
    const answer = await this.#call('commit', text, blobs);
    return this.#decode(() => {
      const { conflicts, bodies } = JSON.parse(answer.text) as CommitAnswer;
      const results = writes.map((): WriteResult => APPLIED);
      for (const [index, record] of conflicts) {
        results[index] = { kind: 'conflict', row: record === null ? null : rowFrom(JSON.parse(record) as TaskRecord) };
      }
      const reader = new BlobReader(answer.blobs);
      for (const [index, body] of bodies) results[index] = { kind: 'applied', body: bodyFrom(body, reader.next()) };
      return results;
    });
  }

  list(): Promise<ListPage> {
    return Promise.reject(new StoreError('IO', 'not yet'));
  }

  async stats(): Promise<StoreStats> {
    return JSON.parse((await this.#call('stats')).text) as StoreStats;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#thread === undefined) return;
    // A thread that is dead already has dropped the lock with its handles.
    if (this.#dead === undefined) await this.#call('close').catch(() => undefined);
    await this.#exited;
  }

  #call(op: SqliteOp, text = '', blobs: readonly ArrayBuffer[] = []): Promise<SqliteAnswer> {
    return new Promise((resolve, reject) => {
      const { path } = this.#options;
      const thread = this.#thread;
      if (this.#closed !== undefined && op !== 'close') throw new StoreError('IO', `store ${path}: it is closed`);
      if (this.#dead !== undefined) throw this.#dead;
      if (thread === undefined) throw new StoreError('IO', `store ${path}: it is not open`);
      if (this.#waiters.size >= MAX_CALLS) {
        throw new StoreError('BUSY', `store ${path}: ${MAX_CALLS} calls are under way; repeat this one later`);
      }
      const id = this.#nextId;
      this.#nextId += 1;
      thread.postMessage({ id, op, text, blobs } satisfies SqliteCall, [...blobs]);
      this.#waiters.set(id, { resolve, reject });
    });
  }

  #settle(answer: SqliteAnswer): void {
    const waiter = this.#waiters.get(answer.id);
    this.#waiters.delete(answer.id);
    if (answer.error === null) waiter?.resolve(answer);
    else waiter?.reject(new StoreError(answer.error.reason, answer.error.message));
  }

  #die(what: string, cause?: unknown): void {
    this.#dead ??= new StoreError(
      'IO',
      `store ${this.#options.path}: ${what}; start the coordinator again, which takes up what is on disk`,
      { cause },
    );
    for (const { reject } of this.#waiters.values()) reject(this.#dead);
    this.#waiters.clear();
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

/** A thread runs JavaScript only: where this file is still TypeScript, the built one is taken. */
function threadFile(path: string): URL {
  const fromSource = import.meta.url.endsWith('.ts');
  const name = 'sqlite-thread.js';
  const url = new URL(fromSource ? `../../../dist/coordinator/store/sqlite/${name}` : name, import.meta.url);
  if (!existsSync(url)) {
    throw new StoreError('IO', `store ${path}: ${fileURLToPath(url)} is missing; build it with npm run build`);
  }
  return url;
}

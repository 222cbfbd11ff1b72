import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { StoreError } from '../store.js';
import type { SqliteAnswer, SqliteCall, SqliteOp, SqliteThreadData } from './sqlite-messages.js';

export interface ThreadCallsOptions {
  /** The thread's file, beside this one, as it is built. */
  readonly file: 'sqlite-thread.js' | 'sqlite-list-thread.js';
  readonly data: SqliteThreadData;
  /** Calls under way at a time. More are refused (BUSY). */
  readonly maxCalls: number;
}

interface Waiter {
  readonly resolve: (answer: SqliteAnswer) => void;
  readonly reject: (error: StoreError) => void;
}

/**
 * A thread of the store and the calls to it: one message there and one back each, answered in order. If the thread dies, every
 * call, under way or to come, is refused (IO).
 */
export class ThreadCalls {
  readonly #options: ThreadCallsOptions;
  readonly #waiters = new Map<number, Waiter>();
  readonly #thread: Worker;
  readonly #exited: Promise<void>;
  #dead: StoreError | undefined;
  #closed: Promise<void> | undefined;
  #nextId = 1;

  /** @throws StoreError IO if the thread's file is missing */
  constructor(options: ThreadCallsOptions) {
    this.#options = options;
    const thread = new Worker(threadFile(options), { workerData: options.data, name: options.file });
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
  }

  /** True once the thread has died: no call will be answered any more. */
  get dead(): boolean {
    return this.#dead !== undefined;
  }

  /** @throws StoreError as the thread says; BUSY if too many calls are under way; IO if it has died */
  call(op: SqliteOp, text = '', blobs: readonly ArrayBuffer[] = []): Promise<SqliteAnswer> {
    return new Promise((resolve, reject) => {
      const { data, maxCalls } = this.#options;
      if (this.#dead !== undefined) throw this.#dead;
      if (this.#waiters.size >= maxCalls && op !== 'close') {
        throw new StoreError('BUSY', `store ${data.path}: ${maxCalls} calls are under way; repeat this one later`);
      }
      const id = this.#nextId;
      this.#nextId += 1;
      this.#thread.postMessage({ id, op, text, blobs } satisfies SqliteCall, [...blobs]);
      this.#waiters.set(id, { resolve, reject });
    });
  }

  /** Has it answer what was asked, and end. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // A thread that is dead already has dropped its locks with its handles.
    if (this.#dead === undefined) await this.call('close').catch(() => undefined);
    await this.#exited;
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
      `store ${this.#options.data.path}: ${what}; start the coordinator again, which takes up what is on disk`,
      { cause },
    );
    for (const { reject } of this.#waiters.values()) reject(this.#dead);
    this.#waiters.clear();
  }
}

/** A thread runs JavaScript only: where this file is still TypeScript, the built one is taken. */
function threadFile({ file, data }: ThreadCallsOptions): URL {
  const fromSource = import.meta.url.endsWith('.ts');
  const url = new URL(fromSource ? `../../../dist/coordinator/store/sqlite/${file}` : file, import.meta.url);
  if (!existsSync(url)) {
    throw new StoreError('IO', `store ${data.path}: ${fileURLToPath(url)} is missing; build it with npm run build`);
  }
  return url;
}

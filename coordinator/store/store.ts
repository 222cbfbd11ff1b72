import type { Content, TaskBody, TaskRow, TaskState } from '../core/task.js';
import type { Write } from '../core/outputs.js';

/** A task as read back. */
export interface StoredTask {
  readonly row: TaskRow;
  /** Only if bodies were asked for. */
  readonly body: TaskBody | null;
  /** Only if bodies were asked for and the task SUCCEEDED. */
  readonly result: Content | null;
}

/** What became of one write. With one owner of the store a conflict is a bug, and the coordinator exits. */
export type WriteResult =
  | { readonly kind: 'applied'; readonly body: TaskBody | null }
  /** The row is not as the write expected it; null: there is none. */
  | { readonly kind: 'conflict'; readonly row: TaskRow | null };

/** What the store knew when it was opened. */
export interface OpenedStore {
  /** The longest lease that an earlier coordinator may have granted; 0 for a new store. */
  readonly longestLeaseMs: number;
  /** Drains that operators have asked for. */
  readonly drains: readonly { readonly pattern: string; readonly createWallMs: number }[];
}

/**
 * Why a store call failed.
 * - BUSY, FULL: the same call may succeed later; the engine repeats it.
 * - FENCED: somebody else owns the store now; exit.
 * - IO, CORRUPT: what memory holds is not trustworthy any more; exit.
 * - NOT_A_STORE, READ_ONLY, NEWER_SCHEMA, OWNED: it cannot be opened; the message says what to do.
 */
export type StoreErrorReason =
  'BUSY' | 'FULL' | 'FENCED' | 'IO' | 'CORRUPT' | 'NOT_A_STORE' | 'READ_ONLY' | 'NEWER_SCHEMA' | 'OWNED';

export class StoreError extends Error {
  override readonly name = 'StoreError';

  constructor(
    readonly reason: StoreErrorReason,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  /** True if the same call may succeed later without anything having been done. */
  get retryable(): boolean {
    return this.reason === 'BUSY' || this.reason === 'FULL';
  }
}

/** Which tasks to list. */
export interface ListParams {
  /** Only those that were submitted before the one of this number; null: from the newest on. */
  readonly beforeSeq: number | null;
  /** Only in one of these states; empty: in any. */
  readonly states: readonly TaskState[];
  /** Only of this type; null: of any. */
  readonly type: string | null;
  /** Tasks, at most. */
  readonly limit: number;
  /** With payload and result. */
  readonly bodies: boolean;
  /** Rows to look at, at most; the page may end early for it. */
  readonly maxLooked: number;
  /** Bytes of payloads and results after which the page ends. */
  readonly maxBytes: number;
}

/** One page of a list. */
export interface ListPage {
  readonly tasks: readonly (StoredTask & { readonly seq: number })[];
  /** `beforeSeq` of the next page; null: there is nothing more. */
  readonly nextSeq: number | null;
}

/** Sizes, for bounds, metrics and people. */
export interface StoreStats {
  /** Tasks that have not ended. */
  readonly openTasks: number;
  /** Tasks that have ended and are still kept. */
  readonly endedTasks: number;
  /** Bytes the store takes: its file, or an estimate for memory. */
  readonly bytes: number;
}

/**
 * Where tasks are durable. Asynchronous; calls are answered in the order in which they were made. One conformance suite
 * (`test/store`) holds for every implementation.
 */
export interface Store {
  /**
   * Takes ownership under a new epoch and brings the schema up to date. Called once, first.
   *
   * @throws StoreError NOT_A_STORE, READ_ONLY, NEWER_SCHEMA, OWNED, IO
   */
  open(): Promise<OpenedStore>;

  /** Tasks that have not ended, without bodies, in pages by task id: those after `afterTaskId` ('' for the first page). */
  loadOpen(params: { afterTaskId: string; limit: number }): Promise<readonly TaskRow[]>;

  /** The tasks of these ids, in their order; undefined where there is none. */
  read(params: { taskIds: readonly string[]; bodies: boolean }): Promise<readonly (StoredTask | undefined)[]>;

  /**
   * One page of tasks, the newest submit first. Beside everything else: it holds up no commit.
   *
   * @throws StoreError
   */
  list(params: ListParams): Promise<ListPage>;

  /**
   * Applies the writes in one durable transaction, each under its own condition, and answers each in order. A write whose
   * condition does not hold is left out; the others are applied all the same.
   *
   * @throws StoreError BUSY or FULL (nothing was applied), FENCED, IO, CORRUPT
   */
  commit(writes: readonly Write[]): Promise<readonly WriteResult[]>;

  /** What inserts may still take, in bytes by the core's `storedBytes`; Infinity if it has no bound of its own. */
  readonly roomBytes: number;

  stats(): Promise<StoreStats>;

  /** Gives up ownership. Idempotent; also right after a failed open. */
  close(): Promise<void>;
}

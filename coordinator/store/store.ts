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

/** A task as listed. */
export interface ListedTask extends StoredTask {
  /** Its place in the order of submits: above those of all kept tasks that were submitted before it. */
  readonly seq: number;
}

/** Which tasks to list, and how much work that may be. */
export interface ListParams {
  /** Only tasks submitted before the one of this place; null: from the newest on. */
  readonly beforeSeq: number | null;
  /** Only tasks in these states; empty: in any. */
  readonly states: readonly TaskState[];
  /** Only tasks of this type; null: of any. */
  readonly type: string | null;
  /** Tasks on a page, at most. */
  readonly limit: number;
  /** With payloads and results. */
  readonly bodies: boolean;
  /** Tasks looked at for a page, at most, whether they fit or not. */
  readonly maxLooked: number;
  /** A page ends with the task that takes it to this many bytes: records, and with `bodies` payloads and results. */
  readonly maxBytes: number;
}

/** A page of tasks, the newest submit first. It may be short, even empty, though there is a next one. */
export interface TaskPage {
  readonly tasks: readonly ListedTask[];
  /** The next page's `beforeSeq`; null: this is the last one. */
  readonly nextSeq: number | null;
}

/** What became of one write. With one owner of the store a conflict is a bug, and the coordinator exits. */
export type WriteResult =
  | { readonly kind: 'applied'; readonly body: TaskBody | null }
  /** The row is not as the write expected it; null: there is none. */
  | { readonly kind: 'conflict'; readonly row: TaskRow | null }
  /** Of `purge` and `purgeOld`, which never conflict: they leave out what is not as they name it. */
  | {
      readonly kind: 'purged';
      /** Tasks removed, dead letters among them included. */
      readonly count: number;
      readonly deadLetters: number;
      /** As {@link OpenedStore.purgedIdMs}, after this write. */
      readonly purgedIdMs: number;
    };

/** An operator's drain that is held. */
export interface HeldDrain {
  readonly pattern: string;
  readonly createWallMs: number;
}

/** What the store knew when it was opened. */
export interface OpenedStore {
  /** The longest lease that an earlier coordinator may have granted; 0 for a new store. */
  readonly longestLeaseMs: number;
  /** By pattern. */
  readonly drains: readonly HeldDrain[];
  /**
   * The newest time that an id of a purged task says (UUIDv7), in milliseconds since 1970; 0: none was purged. No tombstones:
   * an unknown id that says no later time counts as purged. An id that says a time after its task's end counts as of that end,
   * or one client whose clock is ahead would make every unknown id a purged one.
   */
  readonly purgedIdMs: number;
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

/** The file system that a store is on. */
export interface StoreDisk {
  readonly folder: string;
  /** What an ordinary user may still write there, in bytes. */
  readonly freeBytes: number;
  /** What is free within the store's file, where new rows go first, in bytes: it never gets smaller by itself. */
  readonly reusableBytes: number;
}

/** Sizes, for bounds, metrics and people: as of the newest commit or look that was answered. */
export interface StoreStats {
  /** Tasks that have not ended. */
  readonly openTasks: number;
  /** Tasks that have ended and are still kept, dead letters included. */
  readonly endedTasks: number;
  readonly deadLetters: number;
  /** Bytes in use: of its file without what is free within, or an estimate for memory. */
  readonly usedBytes: number;
  /** Bytes that new tasks may fill it up to. What ends a task is taken beyond it, too. */
  readonly limitBytes: number;
  /** Null: it is on none, as `memory:`, or that does not tell. */
  readonly disk: StoreDisk | null;
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
   * A page of tasks, the newest submit first. Never holds up a commit. Tasks that have not ended and dead letters are found
   * without looking at the others, however many these are.
   *
   * @throws StoreError BUSY (ask again), IO, CORRUPT
   */
  list(params: ListParams): Promise<TaskPage>;

  /**
   * Applies the writes in one durable transaction, each under its own condition, and answers each in order. A write whose
   * condition does not hold is left out; the others are applied all the same.
   *
   * @throws StoreError BUSY or FULL (nothing was applied), FENCED, IO, CORRUPT
   */
  commit(writes: readonly Write[]): Promise<readonly WriteResult[]>;

  /**
   * Looks at its surroundings as each commit does, without one: afterwards `stats` tells the free space of now, and files that
   * somebody has removed, replaced or cut are noticed.
   *
   * @throws StoreError BUSY (look again later), IO, CORRUPT
   */
  look(): Promise<void>;

  /** What inserts may still take of its own bound, in bytes by the core's `storedBytes`. It is for the one who commits to keep to it. */
  readonly roomBytes: number;

  stats(): StoreStats;

  /** Gives up ownership. Idempotent; also right after a failed open. */
  close(): Promise<void>;
}

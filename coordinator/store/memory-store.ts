import { hasEnded, storedBytes, type Content, type TaskBody, type TaskRow } from '../core/task.js';
import type { Write } from '../core/outputs.js';
import {
  StoreError,
  type ListPage,
  type OpenedStore,
  type Store,
  type StoredTask,
  type StoreStats,
  type WriteResult,
} from './store.js';

/** Default bound of what a memory store keeps, in bytes. */
export const MEMORY_STORE_BYTES = 256 * 1024 * 1024;

interface Kept {
  row: TaskRow;
  readonly body: TaskBody;
  result: Content | null;
}

/**
 * What a memory store keeps. It outlives the stores that open it one after the other, so that a simulated coordinator can
 * crash and come back; the newest opener fences the others.
 */
export class MemoryDisk {
  readonly tasks = new Map<string, Kept>();
  /** Ended tasks, the oldest first. */
  readonly ended = new Set<string>();
  readonly drains = new Map<string, number>();
  /** Of all tasks, and of the ended ones among them. */
  bytes = 0;
  endedBytes = 0;
  longestLeaseMs = 0;
  epoch = 0;
}

export interface MemoryStoreOptions {
  /** Bound of all that is kept. At it, the oldest ended tasks go first; if none is left, inserts are refused (FULL). */
  readonly maxBytes?: number;
  readonly disk?: MemoryDisk;
}

/**
 * The store of `memory:`, and of the simulation: nothing is on any disk, and all is gone with the process. Rows are never
 * changed once they are in, so callers may keep what they read.
 */
export class MemoryStore implements Store {
  readonly #disk: MemoryDisk;
  readonly #maxBytes: number;
  #epoch = 0;

  constructor(options: MemoryStoreOptions = {}) {
    this.#disk = options.disk ?? new MemoryDisk();
    this.#maxBytes = options.maxBytes ?? MEMORY_STORE_BYTES;
  }

  open(): Promise<OpenedStore> {
    this.#disk.epoch += 1;
    this.#epoch = this.#disk.epoch;
    const drains = [...this.#disk.drains].map(([pattern, createWallMs]) => ({ pattern, createWallMs }));
    return Promise.resolve({ longestLeaseMs: this.#disk.longestLeaseMs, drains });
  }

  loadOpen({ afterTaskId, limit }: { afterTaskId: string; limit: number }): Promise<readonly TaskRow[]> {
    const open = [...this.#disk.tasks.values()]
      .map(({ row }) => row)
      .filter(({ taskId, state }) => taskId > afterTaskId && !hasEnded(state))
      .sort((a, b) => (a.taskId < b.taskId ? -1 : 1));
    return Promise.resolve(open.slice(0, limit));
  }

  read({ taskIds, bodies }: { taskIds: readonly string[]; bodies: boolean }): Promise<(StoredTask | undefined)[]> {
    return Promise.resolve(
      taskIds.map((taskId) => {
        const kept = this.#disk.tasks.get(taskId);
        if (kept === undefined) return undefined;
        return { row: kept.row, body: bodies ? kept.body : null, result: bodies ? kept.result : null };
      }),
    );
  }

  list(): Promise<ListPage> {
    return Promise.reject(new StoreError('IO', 'not yet'));
  }

  // Async so that a refusal is a rejected promise, as with every other store.
  async commit(writes: readonly Write[]): Promise<readonly WriteResult[]> {
    const disk = this.#disk;
    if (disk.epoch !== this.#epoch) throw new StoreError('FENCED', 'another coordinator has opened this memory store');
    this.#makeRoom(writes);
    return writes.map((write) => this.#apply(write));
  }

  /** Ended tasks give way to new ones. */
  get roomBytes(): number {
    const { bytes, endedBytes } = this.#disk;
    return Math.max(0, this.#maxBytes - (bytes - endedBytes));
  }

  stats(): Promise<StoreStats> {
    const { tasks, ended, bytes } = this.#disk;
    return Promise.resolve({ openTasks: tasks.size - ended.size, endedTasks: ended.size, bytes });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #apply(write: Write): WriteResult {
    const disk = this.#disk;
    if (write.kind === 'longestLease') {
      disk.longestLeaseMs = write.leaseMs;
      return { kind: 'applied', body: null };
    }
    if (write.kind === 'drain') {
      if (write.createWallMs === null) disk.drains.delete(write.pattern);
      else disk.drains.set(write.pattern, write.createWallMs);
      return { kind: 'applied', body: null };
    }
    if (write.kind === 'delete') {
      const gone = disk.tasks.get(write.taskId);
      if (gone?.row.revision !== write.expectedRevision) return { kind: 'conflict', row: gone?.row ?? null };
      disk.tasks.delete(write.taskId);
      disk.ended.delete(write.taskId);
      disk.bytes -= keptBytes(gone);
      disk.endedBytes -= keptBytes(gone);
      return { kind: 'applied', body: null };
    }
    const { row } = write;
    const kept = disk.tasks.get(row.taskId);
    if (write.kind === 'insert') {
      if (kept !== undefined) return { kind: 'conflict', row: kept.row };
      disk.tasks.set(row.taskId, { row, body: write.body, result: null });
      disk.bytes += storedBytes(write.body.payload.data.byteLength);
    } else {
      if (kept?.row.revision !== write.expectedRevision) return { kind: 'conflict', row: kept?.row ?? null };
      kept.row = row;
      kept.result = write.result;
      disk.bytes += write.result?.data.byteLength ?? 0;
    }
    if (write.kind === 'update' && write.reopens && kept !== undefined) {
      disk.ended.delete(row.taskId);
      disk.endedBytes -= keptBytes(kept);
    }
    const now = kept ?? disk.tasks.get(row.taskId);
    if (hasEnded(row.state) && now !== undefined) {
      disk.ended.add(row.taskId);
      disk.endedBytes += keptBytes(now);
    }
    return { kind: 'applied', body: write.kind === 'update' && write.wantBody ? (kept?.body ?? null) : null };
  }

  /** Only inserts are refused: what ends a task must always fit, or nothing could ever be given up again. */
  #makeRoom(writes: readonly Write[]): void {
    const disk = this.#disk;
    let inserted = 0;
    let results = 0;
    for (const write of writes) {
      if (write.kind === 'insert') inserted += storedBytes(write.body.payload.data.byteLength);
      else if (write.kind === 'update') results += write.result?.data.byteLength ?? 0;
    }
    if (inserted > this.roomBytes) {
      throw new StoreError(
        'FULL',
        `the memory store holds ${disk.bytes - disk.endedBytes} bytes of unfinished tasks, its bound is ${this.#maxBytes}; wait for workers, or use --store sqlite:PATH`,
      );
    }
    for (const taskId of disk.ended) {
      if (disk.bytes + inserted + results <= this.#maxBytes) return;
      const kept = disk.tasks.get(taskId);
      const bytes = kept === undefined ? 0 : keptBytes(kept);
      disk.ended.delete(taskId);
      disk.tasks.delete(taskId);
      disk.bytes -= bytes;
      disk.endedBytes -= bytes;
    }
  }
}

function keptBytes({ body, result }: Kept): number {
  return storedBytes(body.payload.data.byteLength) + (result?.data.byteLength ?? 0);
}

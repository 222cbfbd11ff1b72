import { hasEnded, storedBytes, type Content, type TaskBody, type TaskRow } from '../core/task.js';
import { uuidV7Ms } from '../core/task-id.js';
import type { EndedTask, Write } from '../core/outputs.js';
import {
  StoreError,
  type ListedTask,
  type ListParams,
  type OpenedStore,
  type Store,
  type StoredTask,
  type StoreStats,
  type TaskPage,
  type WriteResult,
} from './store.js';

/** Default bound of what a memory store keeps, in bytes. */
export const MEMORY_STORE_BYTES = 256 * 1024 * 1024;

interface Kept {
  readonly seq: number;
  row: TaskRow;
  readonly body: TaskBody;
  result: Content | null;
}

/**
 * What a memory store keeps. It outlives the stores that open it one after the other, so that a simulated coordinator can
 * crash and come back; the newest opener fences the others.
 */
export class MemoryDisk {
  /** In the order of their submits. */
  readonly tasks = new Map<string, Kept>();
  /** Ended tasks, and dead letters, in the order of their ends. */
  readonly ended = new Set<string>();
  readonly dead = new Set<string>();
  /** Patterns, and when each was asked for. */
  readonly drains = new Map<string, number>();
  bytes = 0;
  nextSeq = 1;
  longestLeaseMs = 0;
  purgedIdMs = 0;
  epoch = 0;
}

export interface MemoryStoreOptions {
  /** Bound of all that is kept; at it there is no more room for new tasks. Default {@link MEMORY_STORE_BYTES}. */
  readonly limitBytes?: number;
  readonly disk?: MemoryDisk;
}

/**
 * The store of `memory:`, and of the simulation: nothing is on any disk, and all is gone with the process. Rows are never
 * changed once they are in, so callers may keep what they read.
 */
export class MemoryStore implements Store {
  readonly #disk: MemoryDisk;
  readonly #limitBytes: number;
  #epoch = 0;

  constructor(options: MemoryStoreOptions = {}) {
    this.#disk = options.disk ?? new MemoryDisk();
    this.#limitBytes = options.limitBytes ?? MEMORY_STORE_BYTES;
  }

  open(): Promise<OpenedStore> {
    const disk = this.#disk;
    disk.epoch += 1;
    this.#epoch = disk.epoch;
    const drains = [...disk.drains].map(([pattern, createWallMs]) => ({ pattern, createWallMs }));
    drains.sort((a, b) => (a.pattern < b.pattern ? -1 : 1));
    return Promise.resolve({ longestLeaseMs: disk.longestLeaseMs, drains, purgedIdMs: disk.purgedIdMs });
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
        return kept === undefined ? undefined : storedTask(kept, bodies);
      }),
    );
  }

  list({ beforeSeq, states, type, limit, bodies, maxLooked, maxBytes }: ListParams): Promise<TaskPage> {
    const wanted = new Set(states);
    // One walk over pointers, a few milliseconds at the default bound; there is no thread to hand it to.
    const candidates = [...this.#disk.tasks.values()].filter(
      ({ seq, row }) => (beforeSeq === null || seq < beforeSeq) && (wanted.size === 0 || wanted.has(row.state)),
    );
    const tasks: ListedTask[] = [];
    let bytes = 0;
    for (let looked = 1; ; looked += 1) {
      const kept = candidates.pop();
      if (kept === undefined) return Promise.resolve({ tasks, nextSeq: null });
      if (type === null || kept.row.type === type) {
        tasks.push({ ...storedTask(kept, bodies), seq: kept.seq });
        bytes += bodies ? keptBytes(kept) : storedBytes(0);
      }
      const full = tasks.length >= limit || bytes >= maxBytes || looked >= maxLooked;
      if (full) return Promise.resolve({ tasks, nextSeq: candidates.length > 0 ? kept.seq : null });
    }
  }

  // Async so that a refusal is a rejected promise, as with every other store.
  async commit(writes: readonly Write[]): Promise<readonly WriteResult[]> {
    if (this.#disk.epoch !== this.#epoch) {
      throw new StoreError('FENCED', 'another coordinator has opened this memory store');
    }
    return writes.map((write) => this.#apply(write));
  }

  look(): Promise<void> {
    return Promise.resolve();
  }

  get roomBytes(): number {
    return Math.max(0, this.#limitBytes - this.#disk.bytes);
  }

  stats(): StoreStats {
    const { tasks, ended, dead, bytes } = this.#disk;
    return {
      openTasks: tasks.size - ended.size - dead.size,
      endedTasks: ended.size + dead.size,
      deadLetters: dead.size,
      usedBytes: bytes,
      limitBytes: this.#limitBytes,
      disk: null,
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #apply(write: Write): WriteResult {
    const disk = this.#disk;
    switch (write.kind) {
      case 'insert':
        return this.#insert(write);
      case 'update':
        return this.#update(write);
      case 'delete': {
        const row = disk.tasks.get(write.taskId)?.row ?? null;
        if (row?.revision !== write.expectedRevision) return { kind: 'conflict', row };
        this.#remove(write.taskId);
        return APPLIED;
      }
      case 'drain':
        if (write.createWallMs === null) disk.drains.delete(write.pattern);
        else disk.drains.set(write.pattern, write.createWallMs);
        return APPLIED;
      case 'longestLease':
        disk.longestLeaseMs = write.leaseMs;
        return APPLIED;
      case 'purge':
        return this.#purge(write.tasks.filter((task) => this.#isThatEnd(task)));
      case 'purgeOld':
        return this.#purge(this.#old(write));
    }
  }

  #insert({ row, body }: Of<'insert'>): WriteResult {
    const disk = this.#disk;
    const found = disk.tasks.get(row.taskId);
    if (found !== undefined) return { kind: 'conflict', row: found.row };
    const kept: Kept = { seq: disk.nextSeq, row, body, result: null };
    disk.nextSeq += 1;
    disk.tasks.set(row.taskId, kept);
    disk.bytes += keptBytes(kept);
    this.#file(row);
    return APPLIED;
  }

  #update({ row, expectedRevision, result, wantBody }: Of<'update'>): WriteResult {
    const disk = this.#disk;
    const kept = disk.tasks.get(row.taskId);
    if (kept?.row.revision !== expectedRevision) return { kind: 'conflict', row: kept?.row ?? null };
    disk.bytes -= keptBytes(kept);
    kept.row = row;
    kept.result = result;
    disk.bytes += keptBytes(kept);
    this.#file(row);
    return wantBody ? { kind: 'applied', body: kept.body } : APPLIED;
  }

  /** Puts the row where tasks of its state are; a dead letter may have been opened again. */
  #file({ taskId, state }: TaskRow): void {
    const { ended, dead } = this.#disk;
    dead.delete(taskId);
    if (state === 'DEAD_LETTERED') dead.add(taskId);
    else if (hasEnded(state)) ended.add(taskId);
  }

  #isThatEnd({ taskId, endWallMs }: EndedTask): boolean {
    return this.#disk.ended.has(taskId) && this.#disk.tasks.get(taskId)?.row.endWallMs === endWallMs;
  }

  #old({ endedBeforeWallMs, deadBeforeWallMs, maxDeadLetters, limit }: Of<'purgeOld'>): EndedTask[] {
    const { ended, dead } = this.#disk;
    const old = this.#oldest(ended, endedBeforeWallMs, 0, limit);
    return [...old, ...this.#oldest(dead, deadBeforeWallMs, dead.size - maxDeadLetters, limit - old.length)];
  }

  /** The oldest of them that ended before, and `excess` of them in any case. */
  #oldest(taskIds: ReadonlySet<string>, beforeWallMs: number, excess: number, limit: number): EndedTask[] {
    const found: EndedTask[] = [];
    for (const taskId of taskIds) {
      const endWallMs = this.#disk.tasks.get(taskId)?.row.endWallMs ?? Infinity;
      if (found.length >= limit || (endWallMs >= beforeWallMs && found.length >= excess)) return found;
      found.push({ taskId, endWallMs });
    }
    return found;
  }

  #purge(tasks: readonly EndedTask[]): WriteResult {
    const disk = this.#disk;
    const [keptBefore, deadBefore] = [disk.tasks.size, disk.dead.size];
    for (const { taskId, endWallMs } of tasks) {
      disk.purgedIdMs = Math.max(disk.purgedIdMs, Math.min(uuidV7Ms(taskId) ?? 0, endWallMs));
      this.#remove(taskId);
    }
    const [count, deadLetters] = [keptBefore - disk.tasks.size, deadBefore - disk.dead.size];
    return { kind: 'purged', count, deadLetters, purgedIdMs: disk.purgedIdMs };
  }

  #remove(taskId: string): void {
    const disk = this.#disk;
    const kept = disk.tasks.get(taskId);
    if (kept === undefined) return;
    disk.tasks.delete(taskId);
    disk.ended.delete(taskId);
    disk.dead.delete(taskId);
    disk.bytes -= keptBytes(kept);
  }
}

type Of<K extends Write['kind']> = Extract<Write, { kind: K }>;

const APPLIED: WriteResult = { kind: 'applied', body: null };

function storedTask({ row, body, result }: Kept, bodies: boolean): StoredTask {
  return { row, body: bodies ? body : null, result: bodies ? result : null };
}

function keptBytes({ body, result }: Kept): number {
  return storedBytes(body.payload.data.byteLength) + (result?.data.byteLength ?? 0);
}

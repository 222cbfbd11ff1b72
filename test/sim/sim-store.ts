import type { Write } from '../../coordinator/core/outputs.js';
import type { TaskRow } from '../../coordinator/core/task.js';
import { MemoryStore, type MemoryDisk } from '../../coordinator/store/memory-store.js';
import {
  StoreError,
  type ListParams,
  type OpenedStore,
  type Store,
  type StoredTask,
  type StoreStats,
  type TaskPage,
  type WriteResult,
} from '../../coordinator/store/store.js';
import type { SimProcess } from './clock.js';
import type { Prng } from './random.js';

/** How a store behaves now; the simulation changes it as it goes. */
export interface StoreWeather {
  /** Mean latency of a commit; a read takes a tenth. */
  latencyMs: number;
  /** Added to the commits that begin now: a disk that stalls. */
  stallMs: number;
  /** Commits are refused with BUSY. */
  busy: boolean;
}

/** What a store is made to do wrong, to prove that the simulation would notice. */
export interface StoreSabotage {
  /** Commits are answered before they are applied. */
  readonly answersEarly?: boolean;
  /** This share of commits that only finish tasks is answered and never applied. */
  readonly loses?: number;
  /** A result that is read is not the one that was written. */
  readonly garblesResults?: boolean;
}

interface Pending {
  readonly apply: () => void;
}

/** The memory store with the latency of a disk. It belongs to one process and dies with it; its disk does not. */
export class SimStore implements Store {
  readonly #inner: MemoryStore;
  /** Commits on their way to the disk. */
  readonly #pending = new Set<Pending>();

  constructor(
    private readonly process: SimProcess,
    private readonly random: Prng,
    private readonly weather: StoreWeather,
    private readonly disk: MemoryDisk,
    private readonly sabotage: StoreSabotage = {},
  ) {
    this.#inner = new MemoryStore({ disk });
  }

  get roomBytes(): number {
    return this.#inner.roomBytes;
  }

  /** The process has died: what was on its way is on the disk, or is not. */
  crash(): void {
    for (const pending of this.#pending) if (this.random.chance(0.5)) pending.apply();
    this.#pending.clear();
  }

  /** The row as it is on the disk now. */
  rowOnDisk(taskId: string): TaskRow | undefined {
    return this.disk.tasks.get(taskId)?.row;
  }

  async open(): Promise<OpenedStore> {
    await this.#wait(this.weather.latencyMs);
    return this.#inner.open();
  }

  async loadOpen(params: { afterTaskId: string; limit: number }): Promise<readonly TaskRow[]> {
    await this.#wait(this.weather.latencyMs);
    return this.#inner.loadOpen(params);
  }

  async read(params: { taskIds: readonly string[]; bodies: boolean }): Promise<readonly (StoredTask | undefined)[]> {
    await this.#wait(this.weather.latencyMs / 10 + this.weather.stallMs);
    const stored = await this.#inner.read(params);
    if (this.sabotage.garblesResults !== true) return stored;
    return stored.map((task) => {
      if (task?.result == null) return task;
      return { ...task, result: { ...task.result, data: Buffer.from(JSON.stringify('garbled')) } };
    });
  }

  async commit(writes: readonly Write[]): Promise<readonly WriteResult[]> {
    const { latencyMs, stallMs, busy } = this.weather;
    const takesMs = this.random.between(0.2, 2) * latencyMs + stallMs;
    if (busy) {
      await this.#wait(takesMs);
      throw new StoreError('BUSY', 'the simulated disk is busy');
    }
    if (this.#losesNow(writes)) {
      await this.#wait(takesMs);
      return writes.map(() => ({ kind: 'applied', body: null }));
    }
    const applied = new Promise<readonly WriteResult[]>((resolve, reject) => {
      const pending: Pending = {
        apply: () => {
          this.#pending.delete(pending);
          this.#inner.commit(writes).then(resolve, reject);
        },
      };
      this.#pending.add(pending);
      this.process.after(takesMs * this.random.next(), () => this.#pending.has(pending) && pending.apply());
    });
    if (this.sabotage.answersEarly === true) return this.#answerEarly(writes);
    const results = await applied;
    await this.#wait(takesMs * this.random.next());
    return results;
  }

  async list(params: ListParams): Promise<TaskPage> {
    await this.#wait(this.weather.latencyMs / 10);
    return this.#inner.list(params);
  }

  look(): Promise<void> {
    return this.#inner.look();
  }

  stats(): StoreStats {
    return this.#inner.stats();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.process.after(ms, resolve));
  }

  #losesNow(writes: readonly Write[]): boolean {
    const { loses } = this.sabotage;
    if (loses === undefined || writes.length === 0) return false;
    return writes.every((write) => write.kind === 'update' && !write.wantBody) && this.random.chance(loses);
  }

  #answerEarly(writes: readonly Write[]): WriteResult[] {
    return writes.map((write) => {
      const body = write.kind === 'update' && write.wantBody ? this.disk.tasks.get(write.row.taskId)?.body : null;
      return { kind: 'applied', body: body ?? null };
    });
  }
}

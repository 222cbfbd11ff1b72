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
import type { CrashPoint } from './crash-points.js';
import type { Prng } from './random.js';

/** How a store behaves now; the simulation changes it as it goes. */
export interface StoreWeather {
  /** Mean latency of a commit; a read takes a tenth. */
  latencyMs: number;
  /** Added to the commits that begin now: a disk that stalls. */
  stallMs: number;
  /** Commits are refused with it, and reads are not; null: they are not. */
  refusal: 'BUSY' | 'FULL' | null;
}

interface Pending {
  readonly apply: () => void;
}

/** What a store needs. */
export interface SimStoreParts {
  readonly process: SimProcess;
  readonly random: Prng;
  readonly weather: StoreWeather;
  readonly disk: MemoryDisk;
  /** True if the process dies at this point. */
  readonly reach: (point: CrashPoint) => boolean;
}

/** The memory store with the latency of a disk. It belongs to one process and dies with it; its disk does not. */
export class SimStore implements Store {
  readonly #inner: MemoryStore;
  /** Commits on their way to the disk. */
  readonly #pending = new Set<Pending>();
  /** When it began to refuse commits, on the process's clock; null: it took the last one. */
  #refusedSinceMs: number | null = null;
  /** It has answered a commit with a refusal, and none otherwise since. */
  #refuses = false;

  constructor(private readonly parts: SimStoreParts) {
    this.#inner = new MemoryStore({ disk: parts.disk });
  }

  /** True once it has refused a commit, until it has taken one. */
  get refuses(): boolean {
    return this.#refuses;
  }

  /** For how long it has refused every commit, in milliseconds of the process's clock; 0: it has not. */
  get refusedMs(): number {
    return this.#refusedSinceMs === null ? 0 : this.parts.process.monoMs - this.#refusedSinceMs;
  }

  get roomBytes(): number {
    return this.#inner.roomBytes;
  }

  /** The process has died: what was on its way is on the disk, or is not. */
  crash(): void {
    for (const pending of this.#pending) if (this.parts.random.chance(0.5)) pending.apply();
    this.#pending.clear();
  }

  /** The row as it is on the disk now. */
  rowOnDisk(taskId: string): TaskRow | undefined {
    return this.parts.disk.tasks.get(taskId)?.row;
  }

  async open(): Promise<OpenedStore> {
    await this.#wait(this.parts.weather.latencyMs);
    return this.#inner.open();
  }

  async loadOpen(params: { afterTaskId: string; limit: number }): Promise<readonly TaskRow[]> {
    await this.#wait(this.parts.weather.latencyMs);
    return this.#inner.loadOpen(params);
  }

  async read(params: { taskIds: readonly string[]; bodies: boolean }): Promise<readonly (StoredTask | undefined)[]> {
    await this.#wait(this.parts.weather.latencyMs / 10 + this.parts.weather.stallMs);
    const stored = await this.#inner.read(params);
    this.parts.reach('read');
    return stored;
  }

  async commit(writes: readonly Write[]): Promise<readonly WriteResult[]> {
    const { latencyMs, stallMs, refusal } = this.parts.weather;
    const takesMs = this.parts.random.between(0.2, 2) * latencyMs + stallMs;
    if (refusal !== null) {
      this.#refusedSinceMs ??= this.parts.process.monoMs;
      await this.#wait(takesMs);
      this.#refuses = true;
      throw new StoreError(refusal, `the simulated disk is ${refusal}`);
    }
    const applied = new Promise<readonly WriteResult[]>((resolve, reject) => {
      const pending: Pending = {
        apply: () => {
          this.#pending.delete(pending);
          if (this.parts.reach('beforeApply')) return;
          this.#inner.commit(writes).then(resolve, reject);
          this.parts.reach('afterApply');
        },
      };
      this.#pending.add(pending);
      this.parts.process.after(takesMs * this.parts.random.next(), () => this.#pending.has(pending) && pending.apply());
    });
    const results = await applied;
    await this.#wait(takesMs * this.parts.random.next());
    this.#refusedSinceMs = null;
    this.#refuses = false;
    return results;
  }

  async list(params: ListParams): Promise<TaskPage> {
    await this.#wait(this.parts.weather.latencyMs / 10);
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
    return new Promise((resolve) => this.parts.process.after(ms, resolve));
  }
}

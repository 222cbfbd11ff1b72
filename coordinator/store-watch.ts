import { FreeSpace, type DiskRoom } from './free-space.js';
import type { Runtime } from './runtime.js';
import { StoreError, type Store } from './store/store.js';

export interface StoreWatchOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  /** As FreeSpace takes them. */
  readonly minFreeBytes: number;
  readonly onDiskLow: (disk: DiskRoom | null) => void;
  /** Slots of the workers that may still report. */
  readonly slots: () => number;
  /** The store is not to be trusted any more. */
  readonly onError: (error: unknown) => void;
}

/** How old what is known of the store's files and disk may become: each commit tells, and at rest they are looked at. */
const LOOK_MS = 1_000;

/** Sees to it that a store that is not in its place any more, or a disk that fills, is known at rest, too. */
export class StoreWatch {
  readonly #options: StoreWatchOptions;
  readonly #freeSpace: FreeSpace;
  #nextLookMonoMs = 0;
  /** Counted once in {@link LOOK_MS}: at each commit it would be a walk over all workers. */
  #slots = 0;
  #slotsDueMonoMs = 0;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
    this.#freeSpace = new FreeSpace(options.minFreeBytes, options.onDiskLow);
  }

  /** The disk as it was seen last, at rest a second ago at most; null: the store is on none, or that does not tell. */
  get disk(): DiskRoom | null {
    return this.#freeSpace.room;
  }

  /** What new tasks may take, in bytes, and the disk if it is this that leaves no more; null: the store's own bound. */
  room(): { readonly bytes: number; readonly disk: DiskRoom | null } {
    const { roomBytes } = this.#options.store;
    const diskBytes = this.#freeSpace.roomBytes;
    return diskBytes < roomBytes ? { bytes: diskBytes, disk: this.disk } : { bytes: roomBytes, disk: null };
  }

  /** The store has looked at its files and disk, as with each commit. */
  seen(): void {
    const { store, runtime } = this.#options;
    const { monoMs } = runtime.now();
    this.#nextLookMonoMs = monoMs + LOOK_MS;
    if (monoMs >= this.#slotsDueMonoMs) {
      this.#slots = this.#options.slots();
      this.#slotsDueMonoMs = monoMs + LOOK_MS;
    }
    this.#freeSpace.see(store.stats().disk, this.#slots);
  }

  /** Looks if nothing has for long enough. Called again and again, it has one look under way at a time. */
  tick(monoMs: number): void {
    if (monoMs < this.#nextLookMonoMs) return;
    this.#nextLookMonoMs = Infinity;
    this.#options.store.look().then(
      () => {
        this.seen();
      },
      (error: unknown) => {
        this.#nextLookMonoMs = monoMs + LOOK_MS;
        // That passes; it is told, and repeated, where a commit meets it.
        if (!(error instanceof StoreError) || !error.retryable) this.#options.onError(error);
      },
    );
  }
}

import type { StoreDisk } from './store/store.js';

/** The disk of the store, and what new tasks leave of it. */
export interface DiskRoom extends StoreDisk {
  /** Bytes below which new tasks are refused; 0: none are. */
  readonly minFreeBytes: number;
}

/** What each slot may still add with its result, so that what runs can finish on a disk that fills. */
const SLOT_BYTES = 1_048_576;
/** New tasks are taken again when this share of the minimum is free on top of it: a file that breathes must not flood the log. */
const AGAIN_SHARE = 1 / 16;
/** What the store can use again counts as free, up to this share of the minimum: its log needs room of its own. */
const LOG_SHARE = 1 / 4;

/**
 * How far new tasks may fill the disk of the store. At a disk that is full nothing can be committed, not even the end of a task,
 * so submits stop while there is still room for the ends of all that runs.
 */
export class FreeSpace {
  readonly #minFreeBytes: number;
  readonly #onLow: (room: DiskRoom | null) => void;
  #room: DiskRoom | null = null;
  #isLow = false;

  /**
   * @param minFreeBytes What is left free beside 1 MiB a slot; 0: nothing is, not for slots either.
   * @param onLow There is too little free for new tasks; null: there is enough again.
   */
  constructor(minFreeBytes: number, onLow: (room: DiskRoom | null) => void) {
    this.#minFreeBytes = minFreeBytes;
    this.#onLow = onLow;
  }

  /** The disk as it was seen last; null: there is none, or it does not tell. */
  get room(): DiskRoom | null {
    return this.#room;
  }

  /** What new tasks may take, in bytes. */
  get roomBytes(): number {
    if (this.#isLow) return 0;
    if (this.#room === null || this.#room.minFreeBytes === 0) return Infinity;
    const { freeBytes, reusableBytes, minFreeBytes } = this.#room;
    return freeBytes + reusableBytes - minFreeBytes;
  }

  /** Learns what the store has seen of its disk, and how many slots may still report a result. */
  see(disk: StoreDisk | null, slots: number): void {
    const minFreeBytes = this.#minFreeBytes === 0 ? 0 : this.#minFreeBytes + slots * SLOT_BYTES;
    this.#room = disk === null ? null : { ...disk, minFreeBytes };
    const enoughBytes = this.#isLow ? minFreeBytes * (1 + AGAIN_SHARE) : minFreeBytes;
    const isLow =
      disk !== null && (disk.freeBytes + disk.reusableBytes < enoughBytes || disk.freeBytes < enoughBytes * LOG_SHARE);
    if (isLow === this.#isLow) return;
    this.#isLow = isLow;
    this.#onLow(isLow ? this.#room : null);
  }
}

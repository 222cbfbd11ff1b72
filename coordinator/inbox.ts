import type { Input } from './core/inputs.js';

export interface InboxLimits {
  readonly maxInputs: number;
  readonly maxBytes: number;
  /** Taken at once into one batch. */
  readonly batchInputs: number;
  readonly batchBytes: number;
}

interface Item {
  readonly input: Input;
  readonly bytes: number;
  /** When it arrived, on the monotonic clock. */
  readonly atMonoMs: number;
}

/** Share of the inbox that only workers may use, so that a flood of submits never silences the fleet. */
const RESERVED_FOR_WORKERS = 0.25;

/** What has arrived and is not in a batch yet, in order of arrival; bounded in inputs and bytes. */
export class Inbox {
  #items: Item[] = [];
  #head = 0;
  #bytes = 0;
  #drained: (() => void)[] = [];

  constructor(private readonly limits: InboxLimits) {}

  get size(): number {
    return this.#items.length - this.#head;
  }

  /** True if there is room for an input of this size. */
  hasRoom(bytes: number, from: 'worker' | 'client'): boolean {
    const share = from === 'worker' ? 1 : 1 - RESERVED_FOR_WORKERS;
    // One input that is larger than the bound must still pass, alone.
    if (this.size === 0) return true;
    return this.size < this.limits.maxInputs * share && this.#bytes + bytes <= this.limits.maxBytes * share;
  }

  /** Adds the input. Whether there is room is the caller's to ask. */
  push(input: Input, bytes: number, atMonoMs: number): void {
    this.#items.push({ input, bytes, atMonoMs });
    this.#bytes += bytes;
  }

  /** When the oldest that is not in a batch arrived; Infinity if there is none. */
  oldestMs(): number {
    return this.#items[this.#head]?.atMonoMs ?? Infinity;
  }

  /** Adds an input that changes how the time is judged from `atMonoMs` on: behind what arrived before. The rest counts as that old. */
  insert(input: Input, atMonoMs: number): void {
    let index = this.#items.length;
    for (; index > this.#head; index -= 1) {
      const item = this.#items[index - 1] as Item;
      if (item.atMonoMs <= atMonoMs) break;
      this.#items[index - 1] = { ...item, atMonoMs };
    }
    this.#items.splice(index, 0, { input, bytes: 0, atMonoMs });
  }

  /** Takes the next batch. Who waits for room is told once half of it is free. */
  take(): Input[] {
    const batch = this.#takeBatch();
    const { maxInputs, maxBytes } = this.limits;
    if (this.size > maxInputs / 2 || this.#bytes > maxBytes / 2) return batch;
    const drained = this.#drained;
    this.#drained = [];
    for (const run of drained) run();
    return batch;
  }

  #takeBatch(): Input[] {
    const batch: Input[] = [];
    let batchBytes = 0;
    while (this.#head < this.#items.length && batch.length < this.limits.batchInputs) {
      const { input, bytes } = this.#items[this.#head] as Item;
      if (batch.length > 0 && batchBytes + bytes > this.limits.batchBytes) break;
      batch.push(input);
      batchBytes += bytes;
      this.#head += 1;
    }
    this.#bytes -= batchBytes;
    // Moving the rest costs its length; done only when at least as much has been taken.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return batch;
  }

  /** Somebody waits for room. */
  get isAwaited(): boolean {
    return this.#drained.length > 0;
  }

  /** Calls back once, when half of the room is free again. */
  onDrained(run: () => void): void {
    this.#drained.push(run);
  }
}

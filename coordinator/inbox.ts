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

  /** Adds the input if there is room for it. */
  offer(input: Input, bytes: number, from: 'worker' | 'client'): boolean {
    const share = from === 'worker' ? 1 : 1 - RESERVED_FOR_WORKERS;
    const full = this.size >= this.limits.maxInputs * share || this.#bytes + bytes > this.limits.maxBytes * share;
    // One input that is larger than the bound must still pass, alone.
    if (full && this.size > 0) return false;
    this.push(input, bytes);
    return true;
  }

  /** Adds the input in any case: for the few that the coordinator itself makes, and those that make work less. */
  push(input: Input, bytes: number): void {
    this.#items.push({ input, bytes });
    this.#bytes += bytes;
  }

  /** Takes the next batch. */
  take(): Input[] {
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
    const drained = this.#drained;
    this.#drained = [];
    for (const run of drained) run();
    return batch;
  }

  /** Calls back once, after the next batch has been taken. */
  onDrained(run: () => void): void {
    this.#drained.push(run);
  }
}

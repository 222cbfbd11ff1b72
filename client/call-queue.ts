import { Fifo } from '../proto/fifo.js';
import type { CallStage, StreamCall } from './stream-call.js';

/** A call in the book. */
export interface CallRecord extends Omit<StreamCall, 'task' | 'bytes'> {
  /** Given up once the submit is acknowledged: the coordinator has it. */
  task: StreamCall['task'];
  /** What it takes of the bytes in flight; 0 once acknowledged. */
  bytes: number;
  /**
   * `waiting` for a place in flight, `queued` for a frame, `sent` and not acknowledged, `accepted` and awaited, or `over`.
   */
  state: 'waiting' | 'queued' | 'sent' | 'accepted' | 'over';
  /** Some frame with it was written, maybe on a stream before this one. */
  wasSent: boolean;
  /** The caller is gone, and this is what it wants of the task; the acknowledgement is still to come. */
  abandoned: 'cancel' | 'keep' | undefined;
}

/** How far a call has come. */
export function stageOf({ state, wasSent, kind }: CallRecord): CallStage {
  if (state === 'accepted' || kind === 'result') return 'accepted';
  return wasSent ? 'unacknowledged' : 'unsent';
}

/** Fewer than this are not worth the sweep. */
const DEAD_MIN = 64;

/** Calls in line. Those that are over leave it without being searched for, and never make up more than half of it. */
export class CallQueue {
  #line = new Fifo<CallRecord>();
  #dead = 0;

  /** How many are in line. */
  get size(): number {
    return this.#line.size - this.#dead;
  }

  push(record: CallRecord): void {
    this.#line.push(record);
  }

  /** Puts these in front of all others, in this order. O(size): for what is rare. */
  prepend(records: readonly CallRecord[]): void {
    if (records.length === 0) return;
    const line = new Fifo<CallRecord>();
    for (const record of records) line.push(record);
    for (let next = this.shift(); next !== undefined; next = this.shift()) line.push(next);
    this.#line = line;
    this.#dead = 0;
  }

  /** The first, left where it is. */
  peek(): CallRecord | undefined {
    for (;;) {
      const first = this.#line.peek();
      if (first?.state !== 'over') return first;
      this.#line.shift();
      this.#dead -= 1;
    }
  }

  /** Takes the first out. */
  shift(): CallRecord | undefined {
    const first = this.peek();
    if (first !== undefined) this.#line.shift();
    return first;
  }

  /** One that is in line is over. */
  died(): void {
    this.#dead += 1;
    if (this.#dead < DEAD_MIN || this.#dead * 2 < this.#line.size) return;
    this.#line.remove(({ state }) => state === 'over');
    this.#dead = 0;
  }
}

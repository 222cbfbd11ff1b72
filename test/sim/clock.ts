import type { Now } from '../../coordinator/core/inputs.js';
import type { Runtime } from '../../coordinator/runtime.js';

interface SimEvent {
  readonly atMs: number;
  readonly sequence: number;
  /** Null once it is forgotten. */
  run: (() => void) | null;
  /** Promises may settle because of it; what hangs on them runs before the next event. */
  readonly settles: boolean;
}

/** 2026-01-01: where the simulated wall clock begins, in milliseconds since 1970. */
const WALL_START_MS = 1_767_225_600_000;

/** No monotonic clock is further off, as a share of the time: ten times what quartz does. */
export const MAX_DRIFT = 0.003;

/** All time there is in a simulation: one queue of events, ordered by time, then by when they were added. */
export class SimClock {
  #heap: SimEvent[] = [];
  #sequence = 0;
  #nowMs = 0;

  /** Milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** How many events have been added so far. */
  get eventCount(): number {
    return this.#sequence;
  }

  /** Runs once, after `delayMs`. Returns a function that forgets it. */
  after(delayMs: number, run: () => void, settles = false): () => void {
    this.#sequence += 1;
    const event: SimEvent = { atMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence, run, settles };
    this.#push(event);
    return () => {
      event.run = null;
    };
  }

  /** Runs events until that time, or until `done` says so after one of them. */
  async runUntil(untilMs: number, done: () => boolean): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#pop();
      if (next.run === null) continue;
      this.#nowMs = next.atMs;
      next.run();
      // Runs all that hangs on promises, however deep; no event of ours comes in between.
      if (next.settles) await new Promise<void>((resolve) => setImmediate(resolve));
      if (done()) return;
    }
    this.#nowMs = untilMs;
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (isBefore(heap[parent] as SimEvent, event)) break;
      heap[index] = heap[parent] as SimEvent;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as SimEvent;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child += 1;
      if (isBefore(last, heap[child] as SimEvent)) break;
      heap[index] = heap[child] as SimEvent;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}

/** The wall clock of a machine: people and time services set it. */
export class WallClock {
  /** From when on it has been how much ahead, oldest first. */
  readonly #settings: { readonly fromMs: number; readonly aheadMs: number }[] = [{ fromMs: 0, aheadMs: 0 }];

  constructor(private readonly clock: SimClock) {}

  /** Whole milliseconds since 1970, as it shows them now. */
  get nowMs(): number {
    return wallAt(this.clock.nowMs) + this.#aheadMs;
  }

  /** Sets it ahead of the true time by so much; negative: behind. */
  set(aheadMs: number): void {
    this.#settings.push({ fromMs: this.clock.nowMs, aheadMs });
  }

  /** True if somebody has ever set it. */
  get wasSet(): boolean {
    return this.#settings.length > 1;
  }

  /** The latest that it has shown since a simulated time. */
  latestSinceMs(sinceMs: number): number {
    let latestMs = -Infinity;
    for (const [index, { aheadMs }] of this.#settings.entries()) {
      const untilMs = this.#settings[index + 1]?.fromMs ?? this.clock.nowMs;
      if (untilMs >= sinceMs) latestMs = Math.max(latestMs, wallAt(untilMs) + aheadMs);
    }
    return latestMs;
  }

  get #aheadMs(): number {
    return this.#settings.at(-1)?.aheadMs ?? 0;
  }
}

/** What a wall clock that is right shows at a simulated time. */
export function wallAt(ms: number): number {
  return WALL_START_MS + Math.floor(ms);
}

/** How the clocks of a process run. */
export interface ProcessClocks {
  /** Of the monotonic clock and its timers: 1.001 gains a millisecond a second. Default 1. */
  readonly rate?: number;
  /** Default: one that is right. */
  readonly wall?: WallClock;
}

/** The time of one process: its monotonic clock begins with it, and nothing of it happens once it is dead. */
export class SimProcess implements Runtime {
  #alive = true;
  /** Standstills that are not over. */
  #stalls = 0;
  /** Timers that came due while it stood still, and what arrived. */
  #late: (() => void)[] = [];
  #arrived: (() => void)[] = [];
  readonly #originMs: number;
  readonly #rate: number;
  readonly #wall: WallClock;

  constructor(
    readonly clock: SimClock,
    { rate = 1, wall = new WallClock(clock) }: ProcessClocks = {},
  ) {
    this.#originMs = clock.nowMs - 1_000;
    this.#rate = rate;
    this.#wall = wall;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get monoMs(): number {
    return (this.clock.nowMs - this.#originMs) * this.#rate;
  }

  now(): Now {
    return { monoMs: this.monoMs, wallMs: this.#wall.nowMs };
  }

  after(delayMs: number, run: () => void): () => void {
    let forgotten = false;
    const due = (): void => {
      if (!this.#alive || forgotten) return;
      if (this.stalled) this.#late.push(due);
      else run();
    };
    const forget = this.clock.after(delayMs / this.#rate, due, true);
    return () => {
      forgotten = true;
      forget();
    };
  }

  /** True while nothing of it runs. */
  get stalled(): boolean {
    return this.#stalls > 0;
  }

  /** Something arrives from outside: seen at once, or when the process runs again. */
  arrive(run: () => void): void {
    if (!this.#alive) return;
    if (this.stalled) this.#arrived.push(run);
    else run();
  }

  /**
   * Stops it, as SIGSTOP does. When it goes on, its timers run first and what has arrived comes after, as in Node's loop.
   *
   * @param onWoken The standstill is over; unless there is another one, the late timers are next
   */
  stall(forMs: number, onWoken: () => void = () => undefined): void {
    this.#stalls += 1;
    this.clock.after(forMs, () => {
      this.#stalls -= 1;
      if (!this.#alive) return;
      if (!this.stalled) this.#goOn();
      onWoken();
    });
  }

  #goOn(): void {
    for (const run of [...this.#late, ...this.#arrived]) this.clock.after(0, () => this.#alive && run(), true);
    this.#late = [];
    this.#arrived = [];
  }

  defer(run: () => void): void {
    this.after(0, run);
  }

  /** All its memory is gone. */
  kill(): void {
    this.#alive = false;
  }
}

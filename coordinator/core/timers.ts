import { IndexedHeap, type HeapNode } from './heap.js';
import type { Now } from './inputs.js';
import type { TaskRecord } from './state.js';
import type { Hold, WorkerRecord } from './worker.js';

export type TimerTarget =
  | { readonly kind: 'lease'; readonly worker: WorkerRecord }
  | { readonly kind: 'hold'; readonly worker: WorkerRecord; readonly hold: Hold }
  | { readonly kind: 'due'; readonly task: TaskRecord }
  | { readonly kind: 'deadline'; readonly task: TaskRecord };

/** Something that is to happen at a time. */
export interface Timer extends HeapNode {
  /** Milliseconds on the clock of the heap that it is in. */
  atMs: number;
  target: TimerTarget | null;
}

export function newTimer(): Timer {
  return { heapIndex: -1, atMs: 0, target: null };
}

/**
 * All that waits for a time, on the two clocks. Nothing fires by itself: a step asks for what is due, after it has applied
 * all that arrived.
 */
export class Timers {
  readonly #mono = new IndexedHeap<Timer>((a, b) => a.atMs < b.atMs);
  readonly #wall = new IndexedHeap<Timer>((a, b) => a.atMs < b.atMs);

  atMono(timer: Timer, atMs: number, target: TimerTarget): void {
    this.#set(this.#mono, timer, atMs, target);
  }

  atWall(timer: Timer, atMs: number, target: TimerTarget): void {
    this.#set(this.#wall, timer, atMs, target);
  }

  cancel(timer: Timer): void {
    this.#mono.remove(timer);
    this.#wall.remove(timer);
    timer.target = null;
  }

  isSet(timer: Timer): boolean {
    return timer.target !== null;
  }

  /** What waits on the monotonic clock. For invariants. */
  get mono(): IndexedHeap<Timer> {
    return this.#mono;
  }

  /** What waits on the wall clock. For invariants. */
  get wall(): IndexedHeap<Timer> {
    return this.#wall;
  }

  /** Takes out one timer that is due, undefined if none is. */
  takeDue(now: Now): TimerTarget | undefined {
    const timer = dueIn(this.#mono, now.monoMs) ?? dueIn(this.#wall, now.wallMs);
    if (timer === undefined) return undefined;
    const { target } = timer;
    this.cancel(timer);
    return target ?? undefined;
  }

  /** Milliseconds until the next timer is due, Infinity if there is none; never negative. */
  untilNextMs(now: Now): number {
    const mono = this.#mono.peek();
    const wall = this.#wall.peek();
    const untilMono = mono === undefined ? Infinity : mono.atMs - now.monoMs;
    const untilWall = wall === undefined ? Infinity : wall.atMs - now.wallMs;
    return Math.max(0, Math.min(untilMono, untilWall));
  }

  #set(heap: IndexedHeap<Timer>, timer: Timer, atMs: number, target: TimerTarget): void {
    // The timer may sit in the other clock's heap: a task's due time is a run_time first, a back-off later.
    if (!heap.has(timer)) this.cancel(timer);
    timer.atMs = atMs;
    timer.target = target;
    heap.set(timer);
  }
}

function dueIn(heap: IndexedHeap<Timer>, nowMs: number): Timer | undefined {
  const timer = heap.peek();
  return timer !== undefined && timer.atMs <= nowMs ? timer : undefined;
}

/** What a watch over an event loop needs. */
export interface LoopWatchOptions {
  /** Sends a ping to the watched thread, which answers at once with {@link LoopWatch.pong}. */
  readonly ping: (number: number) => void;
  /** Told when the loop is asked and when it has answered. */
  readonly onChange: (what: 'asked' | 'answered') => void;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** How often the loop is asked, in milliseconds. */
export const LOOP_PING_MS = 500;

/**
 * Measures from another thread how late the main thread's event loop is: while user code blocks it, only somebody else can
 * say so. One question is under way at a time; as long as it is unanswered, its age is the lag.
 */
export class LoopWatch {
  private number = 0;
  private askedMs: number | undefined;
  private worstMs = 0;

  constructor(private readonly options: LoopWatchOptions) {}

  /** Asks, unless an answer is still awaited. To be called every {@link LOOP_PING_MS}. */
  ask(): void {
    if (this.askedMs !== undefined) return;
    this.number += 1;
    this.askedMs = this.options.nowMs();
    this.options.ping(this.number);
    this.options.onChange('asked');
  }

  /** The watched thread's answer. */
  pong(number: number): void {
    if (number !== this.number || this.askedMs === undefined) return;
    this.worstMs = Math.max(this.worstMs, this.options.nowMs() - this.askedMs);
    this.askedMs = undefined;
    this.options.onChange('answered');
  }

  /** The longest delay since the last call, in milliseconds; while the loop is blocked, how long it has been. */
  takeLagMs(): number {
    const { askedMs, worstMs } = this;
    this.worstMs = 0;
    return Math.round(askedMs === undefined ? worstMs : Math.max(worstMs, this.options.nowMs() - askedMs));
  }
}

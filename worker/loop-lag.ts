import { LOOP_PING_MS } from './loop-watch.js';

/**
 * Measures on an event loop itself how late it is: by how much a timer misses its time. A block shows once it is over; whoever
 * must know of it before has to watch from another thread (LoopWatch). node:perf_hooks' monitorEventLoopDelay cannot take its
 * place: what comes right after a reset is lost to it.
 */
export class LoopLag {
  private timer: NodeJS.Timeout | undefined;
  private dueMs = 0;
  private worstMs = 0;

  /** @param nowMs monotonic milliseconds */
  constructor(private readonly nowMs: () => number) {
    this.arm();
  }

  /** The longest delay since the last call, in milliseconds. */
  takeMs(): number {
    const lagMs = Math.max(this.worstMs, this.nowMs() - this.dueMs);
    this.worstMs = 0;
    return Math.round(lagMs);
  }

  /** Ends the measuring. */
  close(): void {
    clearTimeout(this.timer);
  }

  private arm(): void {
    this.dueMs = this.nowMs() + LOOP_PING_MS;
    // It measures, it does not keep the process alive.
    this.timer = setTimeout(() => {
      this.worstMs = Math.max(this.worstMs, this.nowMs() - this.dueMs);
      this.arm();
    }, LOOP_PING_MS).unref();
  }
}

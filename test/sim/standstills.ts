import type { SimClock } from './clock.js';

/** What a process that goes on may take until its session has noticed what it has missed. */
const NOTICE_MS = 2;

interface Standstill {
  /** Standstills may overlap: of the process, and of its handlers. */
  depth: number;
  totalMs: number;
  sinceMs: number | null;
  wokenMs: number;
  /** Asked when it has had the time to notice. */
  checks: (() => void)[];
}

/** When processes, or their handlers, stood still. */
export class Standstills {
  readonly #byProcess = new Map<string, Standstill>();

  constructor(private readonly clock: SimClock) {}

  begin(process: string): void {
    const one = this.#of(process);
    one.depth += 1;
    one.sinceMs ??= this.clock.nowMs;
  }

  end(process: string): void {
    const one = this.#of(process);
    one.depth -= 1;
    if (one.depth > 0 || one.sinceMs === null) return;
    one.totalMs += this.clock.nowMs - one.sinceMs;
    one.sinceMs = null;
    one.wokenMs = this.clock.nowMs;
    const { checks } = one;
    one.checks = [];
    this.clock.after(NOTICE_MS, () => checks.forEach((check) => check()));
  }

  /** How long it has stood still altogether, in milliseconds. */
  totalMs(process: string): number {
    const { totalMs, sinceMs } = this.#of(process);
    return totalMs + (sinceMs === null ? 0 : this.clock.nowMs - sinceMs);
  }

  /** True while it stands still, and until it has had the time to notice that it did. */
  isRecent(process: string): boolean {
    const { sinceMs, wokenMs } = this.#of(process);
    return sinceMs !== null || this.clock.nowMs - wokenMs < NOTICE_MS;
  }

  /** Checks once the process, which {@link isRecent}, must have noticed. */
  onAwake(process: string, check: () => void): void {
    const one = this.#of(process);
    if (one.sinceMs === null) this.clock.after(NOTICE_MS, check);
    else one.checks.push(check);
  }

  #of(process: string): Standstill {
    let one = this.#byProcess.get(process);
    if (one === undefined) {
      one = { depth: 0, totalMs: 0, sinceMs: null, wokenMs: -Infinity, checks: [] };
      this.#byProcess.set(process, one);
    }
    return one;
  }
}

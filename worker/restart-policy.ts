import { Backoff } from '../client/backoff.js';

/** How often a process may be started again after failures. */
export interface RestartLimit {
  /** So many restarts within `windowMs`; 0: none. */
  readonly attempts: number;
  readonly windowMs: number;
}

/** When and how often a process that fails is started again. */
export interface RestartPolicyOptions {
  /** Upper ends of the first and the longest wait, in milliseconds; the very first restart is at once. */
  readonly initialMs: number;
  readonly maxMs: number;
  /** A process that lived this long begins the back-off anew, in milliseconds. */
  readonly stableMs: number;
  /** Undefined: there is none. */
  readonly limit: RestartLimit | undefined;
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
}

/** Decides what follows a failure of one worker's process. All times by one monotonic clock, in milliseconds. */
export class RestartPolicy {
  private readonly backoff: Backoff;
  private failuresInARow = 0;
  /** Of the restarts within the limit's window; there are never more than it allows. */
  private restartsAtMs: number[] = [];

  constructor(private readonly options: RestartPolicyOptions) {
    const { initialMs, maxMs, random } = options;
    this.backoff = new Backoff({ minMs: initialMs / 2, initialMs, maxMs, random });
  }

  /** A process started at `startedMs` has failed: in how many milliseconds it is to be started again; undefined: never. */
  failed(nowMs: number, startedMs: number): number | undefined {
    const { stableMs, limit } = this.options;
    if (nowMs - startedMs >= stableMs) {
      this.failuresInARow = 0;
      this.backoff.reset();
    }
    this.failuresInARow += 1;
    if (limit === undefined) return this.waitMs();
    this.restartsAtMs = this.restartsAtMs.filter((atMs) => nowMs - atMs <= limit.windowMs);
    if (this.restartsAtMs.length >= limit.attempts) return undefined;
    const waitMs = this.waitMs();
    this.restartsAtMs.push(nowMs + waitMs);
    return waitMs;
  }

  private waitMs(): number {
    return this.failuresInARow === 1 ? 0 : this.backoff.nextMs();
  }
}

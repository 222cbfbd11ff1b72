/** How a back-off grows. All times in milliseconds. */
export interface BackoffOptions {
  /** No wait is shorter than this. */
  readonly minMs: number;
  /** Upper end of the first wait; it doubles with each further wait. */
  readonly initialMs: number;
  /** No wait is longer than this. */
  readonly maxMs: number;
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
}

/**
 * Waits drawn evenly between a floor and a ceiling which doubles: many processes that lost the same coordinator at the same
 * moment come back spread out, and none of them hammers it.
 */
export class Backoff {
  private ceilingMs: number;

  constructor(private readonly options: BackoffOptions) {
    this.ceilingMs = options.initialMs;
  }

  /** The next wait in milliseconds. */
  nextMs(): number {
    const { minMs, maxMs, random } = this.options;
    const ceilingMs = Math.min(this.ceilingMs, maxMs);
    this.ceilingMs = Math.min(this.ceilingMs * 2, maxMs);
    return Math.max(minMs, minMs + random() * (ceilingMs - minMs));
  }

  /** Begins again at the first wait. */
  reset(): void {
    this.ceilingMs = this.options.initialMs;
  }
}

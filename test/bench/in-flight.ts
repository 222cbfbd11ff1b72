/** How long something is measured. */
export interface Terms {
  /** What ends before this has passed is not counted, in milliseconds. */
  readonly warmMs: number;
  /** How long ends are counted after that, in milliseconds. */
  readonly measureMs: number;
}

/** What was measured. */
export interface Sample {
  /** Operations that were counted. */
  readonly count: number;
  /** Those a second. */
  readonly perS: number;
  /** How long half of them, and 99 of 100, took at most, in milliseconds; null where single ones are not told apart. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** One operation. Calls `done` once, later, with the error if there was one; the call itself throws nothing. */
export type Operation = (done: (error?: Error) => void) => void;

/**
 * Keeps so many operations in flight: whatever ends is followed by another. Fulfilled when all have ended.
 *
 * @throws Error of the first operation that fails
 */
export function keepInFlight(inFlight: number, terms: Terms, operation: Operation): Promise<Sample> {
  return new Promise((resolve, reject) => {
    const meter = new Meter(terms, performance.now(), inFlight);
    let open = inFlight;
    const next = (sentMs: number): void => {
      operation((error) => {
        if (error !== undefined) return reject(error);
        const nowMs = performance.now();
        meter.add(nowMs - sentMs, nowMs);
        if (!meter.isDone) return next(nowMs);
        open -= 1;
        if (open === 0) resolve(meter.sample());
      });
    };
    const startMs = performance.now();
    for (let number = 0; number < inFlight; number += 1) next(startMs);
  });
}

/**
 * Counts what ends within the time that is measured, and on until a window's worth has: what is in flight together ends together,
 * and a slow machine has a figure, too.
 */
export class Meter {
  readonly #fromMs: number;
  readonly #untilMs: number;
  readonly #tookMs: number[] = [];
  #lastMs = 0;
  /** True once the time is over and enough was counted. */
  isDone = false;

  constructor(
    { warmMs, measureMs }: Terms,
    startMs: number,
    private readonly countMin: number,
  ) {
    this.#fromMs = startMs + warmMs;
    this.#untilMs = this.#fromMs + measureMs;
  }

  /** Something that took so long has ended now. */
  add(tookMs: number, nowMs: number): void {
    if (nowMs < this.#fromMs || this.isDone) return;
    this.#tookMs.push(tookMs);
    this.#lastMs = nowMs;
    this.isDone = nowMs >= this.#untilMs && this.#tookMs.length >= this.countMin;
  }

  /** Once it is done: what was counted, until the last that was. */
  sample(): Sample {
    return sampleOf(this.#tookMs, this.#lastMs - this.#fromMs);
  }
}

/** @param tookMs How long each operation took, at least one; sorted in place */
export function sampleOf(tookMs: number[], measuredMs: number): Sample {
  tookMs.sort((a, b) => a - b);
  const count = tookMs.length;
  return { count, perS: (count / measuredMs) * 1_000, p50Ms: quantile(tookMs, 0.5), p99Ms: quantile(tookMs, 0.99) };
}

/** The smallest of the sorted values that the given share of them does not exceed. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

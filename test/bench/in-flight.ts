/** How long something is measured. */
export interface Terms {
  /** What ends before this has passed is not counted, in milliseconds. */
  readonly warmMs: number;
  /** How long ends are counted after that, in milliseconds. */
  readonly measureMs: number;
}

/** What was measured. */
export interface Sample {
  /** Operations that ended while it was measured. */
  readonly count: number;
  /** Those a second. */
  readonly perS: number;
  /** What half of them, and 99 of 100, did not exceed, in milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** One operation. Calls `done` once, later, with the error if there was one; the call itself throws nothing. */
export type Operation = (done: (error?: Error) => void) => void;

/**
 * Keeps so many operations in flight: whatever ends is followed by another. Fulfilled when all have ended.
 *
 * @throws Error of the first operation that fails; Error if none ends while it is measured
 */
export function keepInFlight(inFlight: number, { warmMs, measureMs }: Terms, operation: Operation): Promise<Sample> {
  return new Promise((resolve, reject) => {
    const tookMs: number[] = [];
    const fromMs = performance.now() + warmMs;
    const untilMs = fromMs + measureMs;
    let open = inFlight;
    const next = (sentMs: number): void => {
      operation((error) => {
        if (error !== undefined) return reject(error);
        const nowMs = performance.now();
        if (nowMs >= fromMs && nowMs < untilMs) tookMs.push(nowMs - sentMs);
        if (nowMs < untilMs) return next(nowMs);
        open -= 1;
        if (open > 0) return;
        if (tookMs.length > 0) resolve(sampleOf(tookMs, measureMs));
        else reject(new Error(`nothing ended within the ${measureMs} ms that were measured; measure for longer`));
      });
    };
    const startMs = performance.now();
    for (let number = 0; number < inFlight; number += 1) next(startMs);
  });
}

/** @param tookMs How long each operation took; sorted in place */
export function sampleOf(tookMs: number[], measureMs: number): Sample {
  tookMs.sort((a, b) => a - b);
  const count = tookMs.length;
  return { count, perS: (count / measureMs) * 1_000, p50Ms: quantile(tookMs, 0.5), p99Ms: quantile(tookMs, 0.99) };
}

/** The smallest of the sorted values that the given share of them does not exceed; NaN if there are none. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

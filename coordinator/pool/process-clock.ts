/** Monotonic milliseconds on a clock that all threads of the process share; `performance.now()` counts from each thread's start. */
export function processClockMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

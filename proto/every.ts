/**
 * Calls back every `periodMs` milliseconds, whatever came of it the last time: for signs of life, and for looking at those of
 * others. Keeps no process alive.
 *
 * @returns Ends it
 */
export function every(periodMs: number, beat: () => void): () => void {
  const timer = setInterval(beat, periodMs);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}

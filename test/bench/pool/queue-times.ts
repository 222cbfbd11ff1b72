import type { TimedRun } from './handlers.js';

/** Of tasks that had to wait: until a slot was free for each, and from then until its handler was entered, in milliseconds. */
export interface QueueTimes {
  readonly waitMs: readonly number[];
  readonly handoverMs: readonly number[];
}

/**
 * Takes a burst of tasks apart. In a slot one task follows another: the second waited until the first had ended, and what passed
 * then is the handing-over. The first of each slot waited for none, and is not among them.
 *
 * @param submittedMs when all of them were submitted, on the clock of the runs
 */
export function queueTimes(submittedMs: number, runs: readonly TimedRun[]): QueueTimes {
  const waitMs: number[] = [];
  const handoverMs: number[] = [];
  const endedMs = new Map<number, number>();
  for (const run of runs.toSorted((a, b) => a.enteredMs - b.enteredMs)) {
    const freeMs = endedMs.get(run.slot);
    if (freeMs !== undefined) {
      waitMs.push(freeMs - submittedMs);
      handoverMs.push(run.enteredMs - freeMs);
    }
    endedMs.set(run.slot, run.endedMs);
  }
  return { waitMs, handoverMs };
}

import type { SimReport } from '../simulation.js';
import type { RunSeed } from './campaign.js';
import type { SeedRun } from './seed-thread.js';

export interface FoundRun<T extends SeedRun> {
  readonly run: T;
  readonly report: SimReport;
  /** How many runs it took, this one included. */
  readonly tried: number;
}

/**
 * The first of the runs whose report is as wanted; null if none is. Several are made at a time, and still it is the first in
 * their order, whatever each takes.
 */
export async function firstRun<T extends SeedRun>(
  runs: Iterable<T>,
  isWanted: (report: SimReport) => boolean,
  { jobs, runSeed }: { readonly jobs: number; readonly runSeed: RunSeed },
): Promise<FoundRun<T> | null> {
  let tried = 0;
  for (const some of batches(runs, jobs)) {
    const reports = await Promise.all(some.map(runSeed));
    for (const [index, run] of some.entries()) {
      tried += 1;
      const report = reports[index];
      if (report !== undefined && isWanted(report)) return { run, report, tried };
    }
  }
  return null;
}

function* batches<T>(items: Iterable<T>, size: number): Iterable<T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

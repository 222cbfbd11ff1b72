import type { SimReport } from '../simulation.js';
import type { RunSeed, SeedRun } from './seed-run.js';

/** What a search among runs came to. */
export interface FirstRun<T extends SeedRun> {
  /** Null: none is as wanted. */
  readonly found: { readonly run: T; readonly report: SimReport } | null;
  /** How many were looked at, the one found included. */
  readonly tried: number;
}

/**
 * The first of the runs whose report is as wanted. Several are made at a time, and still it is the first in their order,
 * whatever each takes.
 */
export async function firstRun<T extends SeedRun>(
  runs: Iterable<T>,
  isWanted: (report: SimReport) => boolean | Promise<boolean>,
  { jobs, runSeed }: { readonly jobs: number; readonly runSeed: RunSeed },
): Promise<FirstRun<T>> {
  let tried = 0;
  for (const batch of batches(runs, jobs)) {
    const reports = await Promise.all(batch.map(async (run) => ({ run, report: await runSeed(run) })));
    for (const one of reports) {
      tried += 1;
      if (await isWanted(one.report)) return { found: one, tried };
    }
  }
  return { found: null, tried };
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

import type { SimReport } from '../simulation.js';
import type { RunSeed, SeedRun } from './seed-run.js';

/** What a campaign has come to so far. */
export interface CampaignTally {
  /** Seeds that have been run. */
  seeds: number;
  simulatedMs: number;
  attempts: number;
  /** Faults that happened, by kind. */
  readonly faults: Record<string, number>;
  /** Tasks by the state that clients saw them end in. */
  readonly ends: Record<string, number>;
  /** In the order in which they were found. */
  readonly failures: SimReport[];
}

export interface CampaignOptions {
  /** How many runs are made at once. */
  readonly jobs: number;
  /** The runs to make, in this order. */
  readonly runs: Iterable<SeedRun>;
  readonly runSeed: RunSeed;
  /** Called after each run. */
  readonly onReport: (report: SimReport, tally: CampaignTally) => void;
  /** Ends the campaign early. */
  readonly signal: AbortSignal;
}

/**
 * Runs seeds, several at a time. A rule that is broken is part of what comes out.
 *
 * @returns What was found, also if it was ended early
 * @throws what `runSeed` throws, unless the signal has ended the campaign
 */
export async function runCampaign(options: CampaignOptions): Promise<CampaignTally> {
  const { jobs, runs, runSeed, onReport, signal } = options;
  const tally: CampaignTally = { seeds: 0, simulatedMs: 0, attempts: 0, faults: {}, ends: {}, failures: [] };
  // All lanes take from one iterator: who is done first goes on with the next.
  const iterator = runs[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (let next = iterator.next(); next.done !== true && !signal.aborted; next = iterator.next()) {
      const report = await runSeed(next.value);
      add(tally, report);
      onReport(report, tally);
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, lane));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return tally;
}

function add(tally: CampaignTally, report: SimReport): void {
  tally.seeds += 1;
  tally.simulatedMs += report.simulatedMs;
  tally.attempts += report.attempts;
  addCounts(tally.faults, report.faults);
  addCounts(tally.ends, report.ends);
  if (report.violation !== null) tally.failures.push(report);
}

function addCounts(sums: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
}

import type { SimReport } from '../simulation.js';
import { firstRun } from './first-run.js';
import type { RunSeed } from './seed-run.js';

/** A failure with as little in it as breaks the same rule. */
export interface Shrunk {
  readonly maxFaults: number;
  readonly maxTasks: number;
  /** Of the run with so much in it. */
  readonly report: SimReport;
}

/**
 * Shrinks a failed run to its shortest prefix: the fewest first faults after which the same rule is broken, and with so many,
 * the fewest first tasks.
 *
 * Numbers are tried from 0 upwards, not by halves: fewer faults may break a rule that more hide, and every run is short.
 *
 * @returns The run itself, with its numbers, if nothing less breaks the rule
 * @throws what `runSeed` throws
 */
export async function shrink(
  failed: SimReport,
  pool: { readonly jobs: number; readonly runSeed: RunSeed },
): Promise<Shrunk> {
  const { seed, violation } = failed;
  const isSame = (report: SimReport): boolean => report.violation?.rule === violation?.rule;
  const faults = Object.values(failed.faults).reduce((sum, count) => sum + count, 0);
  const runsByFaults = below(faults).map((maxFaults) => ({ seed, maxFaults, maxTasks: failed.tasks }));
  const byFaults = (await firstRun(runsByFaults, isSame, pool)).found;
  const maxFaults = byFaults?.run.maxFaults ?? faults;
  const runsByTasks = below(failed.tasks).map((maxTasks) => ({ seed, maxFaults, maxTasks }));
  const byTasks = (await firstRun(runsByTasks, isSame, pool)).found;
  const { report } = byTasks ?? byFaults ?? { report: failed };
  return { maxFaults, maxTasks: byTasks?.run.maxTasks ?? failed.tasks, report };
}

function below(count: number): number[] {
  return [...Array(count).keys()];
}

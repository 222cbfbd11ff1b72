/** Runs seeds of the simulation: `npm run sim -- --help`. */
import { usageOrExit } from '../../proto/program-options.js';
import { parseCampaignOptions, type CampaignCommand } from './campaign/campaign-options.js';
import { campaignSummary } from './campaign/campaign-summary.js';
import { runCampaign } from './campaign/campaign.js';
import { programSignal } from './campaign/program-signal.js';
import { ProgressLine } from './campaign/progress-line.js';
import { NO_END_RULE, SeedPool } from './campaign/seed-pool.js';
import type { RunLimits, SeedRun } from './campaign/seed-run.js';
import { shrink } from './campaign/shrink.js';
import { describeFailure, summarizeFailure } from './describe-failure.js';
import { simulate, type SimReport } from './simulation.js';

/** The slowest seeds take seconds; a machine may be busy. */
const SEED_LIMIT_MS = 300_000;
/** Failures that are shrunk, each of another rule: what many seeds find is mostly one fault. */
const SHRUNK_MAX = 3;

const command = usageOrExit(() => parseCampaignOptions(process.argv.slice(2)));
const signal = programSignal();
if (command.trace) await trace(command);
else await campaign(command);

/** One seed, with all that happens in it. */
async function trace({ from, limits }: CampaignCommand): Promise<void> {
  const report = await simulate(from, { ...limits, print: (line) => console.log(line) });
  if (report.violation !== null) process.exitCode = 1;
  const { rule, details } = report.violation ?? { rule: '', details: '' };
  console.log(rule === '' ? `seed ${from} breaks no rule` : `${summarizeFailure(report)}\n  ${details}`);
  console.log(`hash of the trace: ${report.hash}`);
}

async function campaign({ from, seeds, jobs, limits }: CampaignCommand): Promise<void> {
  const startMs = performance.now();
  const progress = new ProgressLine(process.stderr);
  const pool = new SeedPool({ jobs: Math.min(jobs, seeds), limitMs: SEED_LIMIT_MS });
  signal.addEventListener('abort', () => void pool.close());
  const tally = await runCampaign({
    ...{ jobs: pool.jobs, signal, runs: seedRuns(from, seeds, limits), runSeed: (run: SeedRun) => pool.run(run) },
    onReport: (report, { seeds: done, failures }) => {
      if (report.violation !== null) {
        progress.clear();
        console.log(summarizeFailure(report));
      }
      progress.show(`${done} of ${seeds} seeds, ${failures.length} failed`);
    },
  });
  const elapsedMs = performance.now() - startMs;
  if (tally.failures.length > 0) process.exitCode ??= 1;
  await shrinkAndTell(tally.failures, pool, progress);
  progress.clear();
  await pool.close();
  if (tally.seeds < seeds) console.log(`ended after ${tally.seeds} of ${seeds} seeds`);
  process.stdout.write(campaignSummary(tally, elapsedMs));
}

async function shrinkAndTell(failures: readonly SimReport[], pool: SeedPool, progress: ProgressLine): Promise<void> {
  const { jobs } = pool;
  const firstOfRule = new Map([...failures].reverse().map((report) => [report.violation?.rule, report]));
  for (const failed of [...firstOfRule.values()].slice(0, SHRUNK_MAX)) {
    if (failed.violation?.rule === NO_END_RULE) {
      // Nothing is known of it that could be less.
      console.log(`\n${describeFailure(failed, command.limits)}\n`);
      continue;
    }
    progress.show(`shrinking seed ${failed.seed}`);
    try {
      const { report, ...shrunk } = await shrink(failed, { jobs, runSeed: (run) => pool.run(run) });
      progress.clear();
      console.log(`\n${describeFailure(report, shrunk)}\n`);
    } catch (error) {
      if (!signal.aborted) throw error;
      progress.clear();
      // Ended before it was done: as it was found.
      console.log(`\n${describeFailure(failed, command.limits)}\n`);
    }
  }
}

function* seedRuns(from: number, seeds: number, limits: RunLimits): Iterable<SeedRun> {
  for (let seed = from; seed < from + seeds; seed += 1) yield { seed, ...limits };
}

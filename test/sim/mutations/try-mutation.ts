import { firstRun } from '../campaign/first-run.js';
import { SeedPool } from '../campaign/seed-pool.js';
import type { SeedRun } from '../campaign/seed-run.js';
import type { SimReport } from '../simulation.js';
import type { MutantTree } from './mutant-tree.js';
import type { Mutation } from './mutation.js';

/** How a mutation fared. */
export interface MutationTrial {
  readonly mutation: Mutation;
  /** The first seed that shows it; null: none does, the mutation survives. */
  readonly caughtBy: SimReport | null;
  /** How many seeds were run, that one included. */
  readonly seeds: number;
  /** Seeds that break a rule without the mutation, too: they say nothing of it. */
  readonly unsound: readonly number[];
  readonly elapsedMs: number;
}

export interface TrialOptions {
  readonly tree: MutantTree;
  /** Runs the product as it is. */
  readonly sound: SeedPool;
  /** The seeds to try, in this order. */
  readonly seeds: Iterable<number>;
  /** A run that takes longer, in real milliseconds, has not come to an end, and counts as one that shows the mutation. */
  readonly limitMs: number;
  /** Ends it early: what has been started then throws. */
  readonly signal: AbortSignal;
}

/** Runs seeds of the product with the mutation until one of them breaks a rule that holds without it. */
export async function tryMutation(mutation: Mutation, options: TrialOptions): Promise<MutationTrial> {
  const { tree, sound, limitMs, signal } = options;
  signal.throwIfAborted();
  const startMs = performance.now();
  const restore = tree.apply(mutation);
  const threadPath = tree.program('test/sim/campaign/seed-thread.js');
  const mutant = new SeedPool({ jobs: sound.jobs, limitMs, threadPath });
  const stop = (): void => void mutant.close();
  signal.addEventListener('abort', stop);
  const unsound: number[] = [];
  const shows = async ({ seed, violation }: SimReport): Promise<boolean> => {
    if (violation === null) return false;
    const holdsWithout = (await sound.run({ seed })).violation === null;
    if (!holdsWithout) unsound.push(seed);
    return holdsWithout;
  };
  try {
    const { found, tried } = await firstRun(seedRuns(options.seeds), shows, {
      jobs: mutant.jobs,
      runSeed: (run) => mutant.run(run),
    });
    const elapsedMs = performance.now() - startMs;
    return { mutation, caughtBy: found?.report ?? null, seeds: tried, unsound, elapsedMs };
  } finally {
    signal.removeEventListener('abort', stop);
    await mutant.close();
    restore();
  }
}

function* seedRuns(seeds: Iterable<number>): Iterable<SeedRun> {
  for (const seed of seeds) yield { seed };
}

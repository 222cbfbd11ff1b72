import { simulate, type SimOptions, type SimReport } from '../simulation.js';

/** How much of a run happens. */
export type RunLimits = Pick<SimOptions, 'maxFaults' | 'maxTasks'>;

/** One run to be made. */
export interface SeedRun extends RunLimits {
  readonly seed: number;
}

/** What a thread of a {@link SeedPool} does. It runs the same in any thread: nothing in it but the seed decides anything. */
export default function runSeed({ seed, ...limits }: SeedRun): Promise<SimReport> {
  return simulate(seed, limits);
}

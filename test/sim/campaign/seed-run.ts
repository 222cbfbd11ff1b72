import type { SimOptions, SimReport } from '../simulation.js';

/** How much of a run happens. */
export type RunLimits = Pick<SimOptions, 'maxFaults' | 'maxTasks'>;

/** One run to be made. */
export interface SeedRun extends RunLimits {
  readonly seed: number;
}

/** Makes one run, somewhere: nothing but what is asked for decides anything in it. */
export type RunSeed = (run: SeedRun) => Promise<SimReport>;

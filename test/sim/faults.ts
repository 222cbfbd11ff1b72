import { coordinatorFaults } from './faults/coordinator-faults.js';
import { networkFaults } from './faults/network-faults.js';
import type { Fault, Victims } from './faults/victims.js';
import { workerFaults } from './faults/worker-faults.js';

/** All that can go wrong, by name. */
export const FAULTS = { ...networkFaults, ...workerFaults, ...coordinatorFaults };
export type FaultName = keyof typeof FAULTS;

/** How often each fault comes, as the mean time between two in milliseconds; null: never in this run. */
export type FaultPlan = Readonly<Record<FaultName, number | null>>;

/** How often each fault has happened, by its kind; and how many may, of all kinds together. */
export class FaultCount {
  readonly byKind: Record<string, number> = {};
  #sum = 0;

  /** @param max The first so many happen, and no other */
  constructor(private readonly max: number) {}

  /** Counts one more, and returns true; false if there have been as many as may be. */
  add(kind: string): boolean {
    if (this.#sum >= this.max) return false;
    this.#sum += 1;
    this.byKind[kind] = (this.byKind[kind] ?? 0) + 1;
    return true;
  }
}

/** Lets the planned faults happen, each at times of its own, until `untilMs`, as far as `count` lets them. */
export function scheduleFaults(plan: FaultPlan, untilMs: number, victims: Victims, count: FaultCount): void {
  const { clock, random } = victims;
  for (const [name, act] of Object.entries(FAULTS) as [FaultName, Fault][]) {
    const meanMs = plan[name];
    if (meanMs === null) continue;
    const next = (): void => {
      const waitMs = random.gap(meanMs);
      if (clock.nowMs + waitMs >= untilMs) return;
      clock.after(waitMs, () => {
        if (!count.add(name)) return;
        act(victims);
        next();
      });
    };
    next();
  }
}

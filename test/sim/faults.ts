import { coordinatorFaults } from './faults/coordinator-faults.js';
import { networkFaults } from './faults/network-faults.js';
import type { Fault, Victims } from './faults/victims.js';
import { workerFaults } from './faults/worker-faults.js';

/** All that can go wrong, by name. */
export const FAULTS = { ...networkFaults, ...workerFaults, ...coordinatorFaults };
export type FaultName = keyof typeof FAULTS;

/** How often each fault comes, as the mean time between two in milliseconds; null: never in this run. */
export type FaultPlan = Readonly<Record<FaultName, number | null>>;

/** Lets the planned faults happen, each at times of its own, until `untilMs`. */
export function scheduleFaults(plan: FaultPlan, untilMs: number, victims: Victims): void {
  const { clock, random } = victims;
  for (const [name, act] of Object.entries(FAULTS) as [FaultName, Fault][]) {
    const meanMs = plan[name];
    if (meanMs === null) continue;
    const next = (): void => {
      const waitMs = random.gap(meanMs);
      if (clock.nowMs + waitMs >= untilMs) return;
      clock.after(waitMs, () => {
        act(victims);
        next();
      });
    };
    next();
  }
}

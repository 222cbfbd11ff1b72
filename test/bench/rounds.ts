import type { Contender, Row, Scene } from './contender.js';
import type { Sample, Terms } from './in-flight.js';
import { rowName } from './result.js';

/** What is measured, and how often. */
export interface Plan {
  readonly contenders: readonly Contender[];
  /** True for what is wanted of them. */
  readonly isWanted: (name: string) => boolean;
  readonly rounds: number;
  readonly terms: Terms;
  /** Told what was measured, as it comes. */
  readonly onSample: (round: number, name: string, sample: Sample) => void;
  /** Starts nothing more once it is aborted. */
  readonly signal: AbortSignal;
}

/**
 * Measures every contender once, then every contender again, and so on, so that whatever else the machine does hits all alike.
 * Each round has processes of its own: one that came to run badly is one run among several.
 *
 * @returns Samples by `contender/row`, one a round
 * @throws Error of the first thing that fails, the signal's reason included; processes may be left running then
 */
export async function measureRounds(plan: Plan, scene: Scene): Promise<ReadonlyMap<string, readonly Sample[]>> {
  const samples = new Map<string, Sample[]>();
  for (let round = 1; round <= plan.rounds; round += 1) {
    for (const contender of plan.contenders) {
      const rows = contender.rows.filter((row) => plan.isWanted(rowName(contender, row)));
      if (rows.length === 0) continue;
      plan.signal.throwIfAborted();
      await measureContender(contender, rows, plan.terms, scene, (row, sample) => {
        const name = rowName(contender, row);
        samples.set(name, [...(samples.get(name) ?? []), sample]);
        plan.onSample(round, name, sample);
      });
    }
  }
  return samples;
}

async function measureContender(
  contender: Contender,
  rows: readonly Row[],
  terms: Terms,
  scene: Scene,
  tell: (row: Row, sample: Sample) => void,
): Promise<void> {
  await using open = await contender.open(scene);
  for (const row of rows) tell(row, await open.measure(row, terms));
}

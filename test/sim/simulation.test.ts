import { expect, it } from 'vitest';
import { describeFailure } from './describe-failure.js';
import { simulate, type SimReport } from './simulation.js';

const SEEDS = 100;

it(
  `keeps every promise under faults, and comes to rest when they stop (${SEEDS} seeds)`,
  { timeout: 180_000 },
  async () => {
    const reports: SimReport[] = [];
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const report = await simulate(seed);
      if (report.violation !== null) throw new Error(describeFailure(report));
      reports.push(report);
    }
    // A simulation in which little happens would prove little.
    const ended = (state: string): number => reports.reduce((sum, { ends }) => sum + (ends[state] ?? 0), 0);
    for (const state of ['SUCCEEDED', 'CANCELLED', 'EXPIRED', 'DEAD_LETTERED'])
      expect(ended(state), state).toBeGreaterThan(SEEDS);
    expect(reports.reduce((sum, { attempts }) => sum + attempts, 0)).toBeGreaterThan(SEEDS * 50);
  },
);

it('runs the same for the same seed, and otherwise for another', async () => {
  const hashes: string[] = [];
  for (const seed of [7, 8, 7, 8]) hashes.push((await simulate(seed)).hash);
  expect(hashes.slice(2)).toEqual(hashes.slice(0, 2));
  expect(hashes[0]).not.toBe(hashes[1]);
});

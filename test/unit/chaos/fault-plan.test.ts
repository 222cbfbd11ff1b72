import { describe, expect, it } from 'vitest';
import { planFaults, type FaultTargets } from '../../chaos/fault-plan.js';

const TARGETS: FaultTargets = {
  workers: ['w', 'pool/0'],
  supervisors: ['pool'],
  clients: ['c'],
  coordinator: 'coordinator',
  links: ['w', 'pool', 'c'],
  canFillDisk: true,
};
const HALF_HOUR = { seed: 1, forMs: 1_800_000, gapMs: 2_500, leaseMs: 3_000 };

describe('a plan of faults', () => {
  it('should be the same for the same seed, and another one for another', () => {
    expect(planFaults(TARGETS, HALF_HOUR)).toEqual(planFaults(TARGETS, HALF_HOUR));
    expect(planFaults(TARGETS, { ...HALF_HOUR, seed: 2 })).not.toEqual(planFaults(TARGETS, HALF_HOUR));
  });

  it('should hold every kind, and well over 200 kills in half an hour', () => {
    const plan = planFaults(TARGETS, HALF_HOUR);
    const kinds = [
      'kill',
      'kill-pair',
      'stop',
      'restart',
      'cut-fin',
      'cut-reset',
      'delay',
      'hold-up',
      'hold-down',
      'hold-both',
    ];
    expect(new Set(plan.map(({ kind }) => kind))).toEqual(new Set([...kinds, 'refuse', 'fill-disk']));
    expect(plan.filter(({ kind }) => kind === 'kill' || kind === 'kill-pair').length).toBeGreaterThan(260);
    expect(
      plan.filter(({ kind, durationMs }) => kind === 'stop' && durationMs > HALF_HOUR.leaseMs).length,
    ).toBeGreaterThan(0);
  });

  it('should leave out the disk where it cannot be filled, and nothing else', () => {
    const plan = planFaults(TARGETS, HALF_HOUR);
    const without = planFaults({ ...TARGETS, canFillDisk: false }, HALF_HOUR);
    expect(without).toEqual(plan.filter(({ kind }) => kind !== 'fill-disk'));
  });
});

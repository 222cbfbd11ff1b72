import { describe, expect, it } from 'vitest';
import { RestartPolicy, type RestartLimit } from '../../../worker/restart-policy.js';

const policy = (limit?: RestartLimit) =>
  new RestartPolicy({ initialMs: 200, maxMs: 30_000, stableMs: 60_000, limit, random: () => 0.999_999 });

/** What follows each failure of processes that live `livesMs` each, started again as they are told. */
function failures(restarts: RestartPolicy, livesMs: readonly number[]): (number | undefined)[] {
  let nowMs = 0;
  return livesMs.map((lifeMs) => {
    const startedMs = nowMs;
    nowMs += lifeMs;
    const waitMs = restarts.failed(nowMs, startedMs);
    nowMs += waitMs ?? 0;
    return waitMs === undefined ? undefined : Math.round(waitMs);
  });
}

describe('RestartPolicy', () => {
  it('should start again at once, then after waits that double', () => {
    expect(failures(policy(), [10, 10, 10, 10, 10])).toEqual([0, 200, 400, 800, 1_600]);
    expect(
      failures(
        policy(),
        Array.from({ length: 12 }, () => 10),
      ).at(-1),
    ).toBe(30_000);
  });

  it('should begin anew after a process that was stable', () => {
    expect(failures(policy(), [10, 10, 59_999, 60_000, 10])).toEqual([0, 200, 400, 0, 200]);
  });

  it('should give up at the failure after so many restarts within the window', () => {
    expect(failures(policy({ attempts: 3, windowMs: 60_000 }), [10, 10, 10, 10])).toEqual([0, 200, 400, undefined]);
    expect(failures(policy({ attempts: 0, windowMs: 60_000 }), [100_000])).toEqual([undefined]);
  });

  it('should count a restart from when it is, and forget it after the window', () => {
    // The restart at 1,000 is 59,000 old at the second failure, and 60,001 at the third.
    expect(failures(policy({ attempts: 1, windowMs: 59_000 }), [1_000, 59_000])).toEqual([0, undefined]);
    expect(failures(policy({ attempts: 1, windowMs: 59_000 }), [1_000, 59_001, 59_001])).toEqual([0, 200, 400]);
  });
});

import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { EXIT_RECYCLE } from '../../../worker/session-effects.js';
import { Rig } from './machine-support.js';

const MINUTE_MS = 60_000;

const reports = (rig: Rig) =>
  rig.frames.flatMap((frame) => frame.reports).map(({ attempt, outcome }) => [attempt?.taskId, outcome]);

describe('an attempt whose handler is never entered', () => {
  it('should be released with its process after its time-out, and a minute at least', () => {
    const rig = new Rig({ slots: 2 });
    rig.connect();
    rig.assign(['long', { timeoutMs: 3 * MINUTE_MS }], ['short', { timeoutMs: 1_000 }]);
    rig.advance(MINUTE_MS - 1, { acknowledge: true, alive: false });
    expect(rig.aborts).toEqual([]);
    rig.advance(1, { acknowledge: true, alive: false });
    expect(rig.aborts).toEqual(['short:RECYCLED']);
    rig.advance(10_000, { acknowledge: true, alive: false });
    // The loop was blocked for the whole grace: it will not enter the other one either.
    expect(reports(rig)).toEqual([
      ['short', AttemptOutcome.RELEASED],
      ['long', AttemptOutcome.RELEASED],
    ]);
    rig.acknowledge('short', 'long');
    rig.say({ drain: { deadlineMs: 5_000 } });
    expect(rig.exit).toMatchObject({ code: EXIT_RECYCLE });
  });

  it('should wait for a handler that runs: that has a time-out of its own', () => {
    const rig = new Rig({ slots: 2 });
    rig.connect();
    rig.assign(['blocks', { timeoutMs: 60 * MINUTE_MS }], ['waits', { timeoutMs: 1_000 }]);
    rig.started('blocks');
    rig.advance(50 * MINUTE_MS, { acknowledge: true, alive: false });
    expect(rig.aborts).toEqual([]);
    expect(rig.exit).toBeUndefined();
  });
});

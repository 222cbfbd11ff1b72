import { describe, expect, it } from 'vitest';
import { CoreDriver, LEASE_END_MS } from './support.js';

describe('silence', () => {
  it('is judged by what has been heard: what lies unapplied in front of us is none', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.hello('other');
    core.submit('t', {});
    const { attempt, workerId } = core.row('t');
    // For twice its lease nothing has been applied; what has arrived meanwhile may hold its frames.
    core.heardMonoMs = core.monoMs;
    core.advance(2 * LEASE_END_MS);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt, workerId });
    expect(core.events('worker-lost')).toEqual([]);
    // All of it is applied now, and the frames of one are among it.
    core.heardMonoMs = Infinity;
    core.step(core.frameInput(session));
    expect(core.events('worker-lost')).toMatchObject([{ workerId: 'other' }]);
  });

  it('of a worker without a stream is no missed report: its lease decides, not the limit of its attempt', () => {
    const core = new CoreDriver({ leaseMs: 60_000, stuckGraceMs: 1_000 });
    const session = core.hello('w');
    core.submit('t', { timeoutMs: 1_000 });
    const ref = core.ref('t');
    core.start(session, ref);
    core.advance(30_000, core.frameInput(session));
    core.step({ kind: 'sessionEnded', sessionId: session });
    // The limit of the attempt: time-out, grace and lease from its start.
    core.advance(32_001);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', failureCount: 0 });
    const again = core.hello('w', { sessionNumber: 2, unsentReports: [ref] });
    expect(core.report(again, ref)).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', failureCount: 0 });
  });

  it('of a worker whose welcome does not arrive is no time-out: it costs no chance', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t', { timeoutMs: 1_000 });
    const ref = core.ref('t');
    core.start(session, ref);
    // Only the way to it is dead: it says hello again and again, which renews its lease, and can say nothing else.
    for (let sessionNumber = 2; core.row('t').state === 'RUNNING' && sessionNumber < 20; sessionNumber += 1) {
      core.advance(7_000);
      if (core.row('t').state === 'RUNNING') core.hello('w', { sessionNumber, unsentReports: [ref] });
    }
    expect(core.row('t')).toMatchObject({ failureCount: 0, crashCount: 0, releaseCount: 1 });
    expect(core.row('t').history).toMatchObject([{ outcome: 'WORKER_LOST', charge: 'FREE' }]);
  });

  it('of a superseded worker begins with its last frame, though its stream counts for nothing else', () => {
    const core = new CoreDriver();
    const loser = core.hello('w');
    core.submit('t');
    core.start(loser, core.ref('t'));
    const winner = core.hello('w', { incarnation: 'w#2' });
    // The end of its stream is not durable yet, so its frames are acknowledged, and it believes in its lease.
    core.advance(10_000);
    core.step(core.frameInput(loser), core.frameInput(winner));
    core.advanceAlive(LEASE_END_MS - 1, winner);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 1 });
    core.advance(1, core.frameInput(winner));
    expect(core.row('t')).toMatchObject({ attempt: 2, incarnation: 'w#2' });
  });
});

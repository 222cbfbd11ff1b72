import { describe, expect, it } from 'vitest';
import type { AttemptRef } from '../../../coordinator/core/task.js';
import { CoreDriver, LEASE_END_MS, LIMIT_MS } from './support.js';

describe('what people are told of a fleet', () => {
  it('is why a worker gets nothing new: it is deaf, or merely slow', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('a');
    const suspect = { kind: 'suspect', sessionId: session, takenBack: [] } as const;
    core.step({ ...suspect, suspect: true, deaf: false });
    expect(core.worker('w')).toMatchObject({ state: 'SUSPECT', stateMessage: expect.stringMatching(/more slowly/) });
    core.step({ ...suspect, suspect: true, deaf: true });
    expect(core.worker('w')).toMatchObject({ stateMessage: expect.stringMatching(/does not acknowledge/) });
    core.step({ ...suspect, suspect: false, deaf: false });
    expect(core.worker('w')).toMatchObject({ state: 'READY', stateMessage: '' });
    expect(core.events('worker-suspect').map((event) => 'message' in event && event.message)).toEqual([
      expect.stringMatching(/more slowly/),
      expect.stringMatching(/does not acknowledge/),
    ]);
    expect(core.events('worker-recovered')).toHaveLength(1);
    expect(core.stats()).toMatchObject({ totals: { suspicions: 2, revokes: 1 }, attempts: { sent: 1 } });
  });

  it('is not a worker that is gone for good, once its lease is over', () => {
    const core = new CoreDriver();
    const cut = core.hello('cut');
    core.hello('silent');
    core.step({ kind: 'sessionEnded', sessionId: cut });
    const listed = (): string[] => {
      const reply = core.ask((token) => ({ kind: 'listWorkers', token, afterWorkerId: '', limit: 10 }));
      return reply.kind === 'workers' ? reply.workers.map(({ workerId, state }) => `${workerId} ${state}`) : [];
    };
    core.advance(LEASE_END_MS - 1);
    expect(listed()).toEqual(['cut DISCONNECTED', 'silent READY']);
    core.advance(1);
    expect(listed()).toEqual([]);
    expect(core.stats().workers).toMatchObject({ ready: 0, disconnected: 0, slots: 0 });
  });

  it('is every state that attempts and workers have been in', () => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 4 });
    for (const id of ['sent', 'held', 'started', 'cancelling']) core.submit(id, { timeoutMs: 10_000_000 });
    core.frame(session, { held: [core.ref('held')], started: [core.ref('started'), core.ref('cancelling')] });
    core.step({ kind: 'cancel', token: 99, taskId: 'cancelling' });
    expect(core.stats().attempts).toEqual({ sent: 1, held: 1, started: 1, cancelling: 1, abandoned: 0 });
    core.advanceAlive(LIMIT_MS + 1, session);
    expect(core.stats().attempts).toMatchObject({ cancelling: 1, abandoned: 1 });
    expect(core.worker('w').stateMessage).toMatch(/^1 attempt\(s\) have ended without its word/);
    core.step({ kind: 'sessionEnded', sessionId: session });
    core.advance(2_000);
    const running = ['sent', 'held', 'started'].map((id) => ({ ref: core.ref(id), started: id === 'started' }));
    const again = core.hello('w', { sessionNumber: 2, slots: 4, running });
    expect(core.events('worker-returned')).toMatchObject([
      { message: expect.stringMatching(/session 2.* 2000 ms ago/) },
    ]);
    core.step({ kind: 'stalled', gapMs: 700 });
    expect(core.events('coordinator-stalled')).toMatchObject([{ gapMs: 700 }]);
    const refs = [core.ref('started')];
    core.advance(LEASE_END_MS + 701);
    expect(core.events('zombie-detected')).toHaveLength(1);
    // Its word comes over a stream of its next life with the coordinator, before anybody else has the task.
    expect(core.report(core.hello('w', { sessionNumber: 3, unsentReports: refs }), refs[0] as AttemptRef)).toBe('');
    core.hello('w', { incarnation: 'w#2' });
    expect(core.stats().totals).toMatchObject({
      ...{ returns: 1, zombies: 1, workersLost: 1, refunds: 1, takeovers: 1, stalls: 1, stalledMs: 700 },
    });
    expect(again).not.toBe(session);
  });
});

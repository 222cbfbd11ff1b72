import { describe, expect, it } from 'vitest';
import { createState, recoveryMs, restore } from '../../../coordinator/core/scheduler.js';
import { CoreDriver, LEASE_END_MS, LEASE_MS } from './support.js';

/** A coordinator that died with task t on worker w, started. */
function died(options: Parameters<CoreDriver['submit']>[1] = {}, slots = 1): CoreDriver {
  const core = new CoreDriver();
  const session = core.hello('w', { slots });
  core.submit('t', options);
  core.start(session, core.ref('t'));
  return core;
}

describe('a restart of the coordinator', () => {
  it('hands out at once what was QUEUED', () => {
    const core = died();
    core.submit('a');
    core.submit('b');
    core.restart(LEASE_MS, false);
    const session = core.hello('v', { slots: 3 });
    expect(core.assigned(session)).toEqual(['a', 'b']);
  });

  it('does not give up what was RUNNING before it listens, however long that takes', () => {
    const core = died();
    core.restart(LEASE_MS, false);
    core.advance(10 * LEASE_END_MS);
    expect(core.row('t').state).toBe('RUNNING');
    core.step({ kind: 'listening' });
    core.advance(LEASE_END_MS - 1);
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(1);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('waits as long as the longest lease that may have been granted, and a margin', () => {
    const core = died();
    core.restart(120_000);
    expect(recoveryMs(120_000)).toBe(132_000);
    core.advance(131_999);
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(1);
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', releaseCount: 1, crashCount: 0, silenceCount: 0 });
  });

  it('waits on for one that came back and never heard its welcome: it still counts the hold', () => {
    const core = died();
    const running = [{ ref: core.ref('t'), started: true }];
    core.restart(120_000);
    const session = core.hello('w', { sessionNumber: 2, running });
    core.step({ kind: 'sessionEnded', sessionId: session });
    core.advance(131_999);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 1 });
    core.advance(1);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('counts the usual lease again once a frame shows that the welcome was heard', () => {
    const core = died();
    const running = [{ ref: core.ref('t'), started: true }];
    core.restart(120_000);
    const session = core.hello('w', { sessionNumber: 2, running });
    core.frame(session);
    core.step({ kind: 'sessionEnded', sessionId: session });
    core.advance(LEASE_END_MS - 1);
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(1);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('keeps what comes back in hello, and its report ends the task', () => {
    const core = died();
    const ref = core.ref('t');
    core.restart();
    const session = core.hello('w', { sessionNumber: 2, running: [{ ref, started: true }] });
    expect(core.sent(session, 'welcome')).toMatchObject([{ keep: [ref] }]);
    expect(core.worker('w')).toMatchObject({ slotsUsed: 1, attempts: [{ state: 'STARTED' }] });
    expect(core.report(session, ref)).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', releaseCount: 0 });
  });

  it('takes the report of what ended while it was away', () => {
    const core = died();
    const ref = core.ref('t');
    core.restart();
    const session = core.hello('w', { sessionNumber: 2, unsentReports: [ref] });
    expect(core.sent(session, 'welcome')).toMatchObject([{ wantedReports: [ref] }]);
    expect(core.row('t').state).toBe('RUNNING');
    expect(core.report(session, ref)).toBe('');
    expect(core.row('t').state).toBe('SUCCEEDED');
  });

  it('releases at once what its worker comes back without', () => {
    const core = died();
    core.restart();
    const session = core.hello('w', { sessionNumber: 2 });
    expect(core.assigned(session)).toEqual(['t']);
    expect(core.row('t')).toMatchObject({ attempt: 2, releaseCount: 1 });
  });

  it('takes a late report of what it has given up', () => {
    const core = died();
    const ref = core.ref('t');
    core.restart();
    core.advance(LEASE_END_MS);
    const session = core.hello('w', { sessionNumber: 2, unsentReports: [ref], taskTypes: { other: 1 } });
    expect(core.report(session, ref)).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', releaseCount: 0 });
  });

  it('holds another process with the same id to nothing of it', () => {
    const core = died();
    core.restart();
    const session = core.hello('w', { incarnation: 'w#2' });
    expect(core.assigned(session)).toEqual([]);
    expect(core.worker('w')).toMatchObject({ incarnation: 'w#2', slotsUsed: 0 });
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', incarnation: 'w#1' });
    core.advanceAlive(LEASE_END_MS, session);
    expect(core.row('t')).toMatchObject({ attempt: 2, incarnation: 'w#2', releaseCount: 1 });
  });

  it('before it listens, another process with the same id, then the wait', () => {
    const core = died();
    core.restart(LEASE_MS, false);
    const session = core.hello('w', { incarnation: 'w#2' });
    core.step({ kind: 'listening' });
    core.advanceAlive(LEASE_END_MS, session);
    expect(core.row('t')).toMatchObject({ attempt: 2, incarnation: 'w#2' });
  });

  it('moves at once what a successor says is dead; whether it had started is not known, so it is free', () => {
    const core = died();
    core.restart();
    const session = core.hello('w', { incarnation: 'w#2', replaces: ['w#1'] });
    expect(core.assigned(session)).toEqual(['t']);
    expect(core.row('t')).toMatchObject({ releaseCount: 1, crashCount: 0 });
  });

  it('knows several attempts of one worker, and several processes of one id', () => {
    const core = new CoreDriver();
    const first = core.hello('w', { slots: 2 });
    core.submit('a');
    core.submit('b');
    core.hello('w', { incarnation: 'w#2', slots: 2 });
    core.submit('c');
    expect(core.sent(first, 'end')).toHaveLength(1);
    const [a, c] = [core.ref('a'), core.ref('c')];
    core.restart();
    const session = core.hello('w', {
      incarnation: 'w#2',
      sessionNumber: 2,
      slots: 2,
      running: [{ ref: c, started: true }],
    });
    expect(core.sent(session, 'welcome')).toMatchObject([{ keep: [c] }]);
    expect(core.row('a')).toMatchObject({ state: 'RUNNING', incarnation: 'w#1' });
    core.advanceAlive(LEASE_END_MS, session);
    expect(core.row('a')).toMatchObject({ state: 'RUNNING', incarnation: 'w#2', attempt: 2 });
    expect(core.row('b')).toMatchObject({ state: 'QUEUED' });
    expect(core.report(session, a)).toBe('STALE_ATTEMPT');
  });

  it('keeps attempts beyond the slots that a worker comes back with, and gives it nothing more', () => {
    const core = new CoreDriver();
    core.hello('w', { slots: 3 });
    for (const id of ['a', 'b', 'c']) core.submit(id);
    const running = ['a', 'b', 'c'].map((id) => ({ ref: core.ref(id), started: true }));
    core.restart();
    const session = core.hello('w', { sessionNumber: 2, slots: 1, running });
    core.submit('d');
    expect(core.worker('w').slotsUsed).toBe(3);
    for (const { ref } of running.slice(0, 2)) core.report(session, ref);
    expect(core.assigned(session)).toEqual([]);
    core.report(session, core.ref('c'));
    expect(core.assigned(session)).toEqual(['d']);
  });

  it('keeps crash isolation', () => {
    const core = died({}, 2);
    core.draws.push(0);
    core.hello('w', { incarnation: 'w#2', replaces: ['w#1'] });
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', crashCount: 1, attempt: 2 });
    const ref = core.ref('t');
    core.restart();
    const session = core.hello('w', {
      incarnation: 'w#2',
      sessionNumber: 2,
      slots: 3,
      running: [{ ref, started: true }],
    });
    expect(core.state.incarnations.get('w#2')?.crashedHolds).toBe(1);
    core.report(session, ref);
    expect(core.state.incarnations.get('w#2')?.crashedHolds).toBe(0);
  });

  it('waits no longer than a back-off can be when the wall clock was set back meanwhile', () => {
    const core = died();
    core.draws.push(0.5);
    core.report(1, core.ref('t'), 'FAILED');
    expect(core.row('t')).toMatchObject({ state: 'SCHEDULED', failureCount: 1 });
    core.wallMs -= 3_600_000;
    core.restart();
    core.advance(29_999);
    expect(core.row('t').state).toBe('SCHEDULED');
    core.advance(1);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('refuses to restore a task that has ended', () => {
    const core = new CoreDriver();
    core.submit('t');
    core.cancel('t');
    expect(() =>
      restore(createState(core.config, { next: () => 0, leaseId: () => '' }), [core.row('t')], {
        longestLeaseMs: 0,
        drains: [],
        now: { monoMs: 0, wallMs: 0 },
      }),
    ).toThrow('task t has ended (CANCELLED)');
  });
});

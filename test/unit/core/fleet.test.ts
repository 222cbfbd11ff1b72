import type { AttemptRef } from '../../../coordinator/core/task.js';
import { describe, expect, it } from 'vitest';
import { MAX_SUPERSEDED } from '../../../coordinator/core/fleet.js';
import { CoreDriver, LEASE_END_MS, LEASE_MS, LIMIT_MS, running } from './support.js';

describe('a lease', () => {
  it('is renewed by any frame, for lease and margin from its arrival', () => {
    const { core, session } = running();
    core.advance(10_000);
    core.step(core.frameInput(session));
    core.advance(LEASE_END_MS - 1);
    expect(core.row('t').state).toBe('RUNNING');
  });

  it('counts from the arrival of the frame, not from its step', () => {
    const { core, session } = running();
    const frame = core.frameInput(session);
    core.advance(10_000, frame);
    core.advance(LEASE_END_MS - 10_000);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('is judged after all that has arrived with the step', () => {
    const { core, session } = running();
    core.monoMs += LEASE_END_MS;
    core.step(core.frameInput(session));
    expect(core.row('t').state).toBe('RUNNING');
    expect(core.events('worker-lost')).toEqual([]);
  });

  it('over with its stream open: zombie, lost, and the stream is ended', () => {
    const { core, session } = running();
    core.advance(LEASE_END_MS - 1);
    expect(core.events('worker-lost')).toEqual([]);
    core.advance(1);
    expect(core.events('zombie-detected')).toMatchObject([{ workerId: 'w', attempts: 1 }]);
    expect(core.events('worker-lost')).toHaveLength(1);
    expect(core.sent(session, 'end')).toMatchObject([{ reason: 'LEASE_LOST' }]);
  });

  it('over: the task runs elsewhere', () => {
    const { core } = running();
    core.advance(1_000);
    const other = core.hello('v');
    core.advanceAlive(LEASE_END_MS - 1_000, other);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2, workerId: 'v' });
    expect(core.assigned(other)).toEqual(['t']);
  });

  it('keeps what a disconnected worker holds until it is over', () => {
    const { core, session } = running();
    core.step({ kind: 'sessionEnded', sessionId: session });
    core.hello('v');
    core.advance(LEASE_END_MS - 1);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', workerId: 'w' });
  });
});

describe('a late report of a lost worker', () => {
  function lost(): CoreDriver {
    const { core } = running();
    core.advance(LEASE_END_MS);
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', releaseCount: 1, silenceCount: 1, attemptOpen: true });
    return core;
  }

  it('is wanted and counts while no newer attempt has been handed out; the charge is given back', () => {
    const core = lost();
    const ref = core.ref('t');
    const session = core.hello('w', { sessionNumber: 2, unsentReports: [ref], taskTypes: { other: 1 } });
    expect(core.sent(session, 'welcome')).toMatchObject([{ wantedReports: [ref], keep: [], cancel: [] }]);
    expect(core.report(session, ref)).toBe('');
    expect(core.row('t')).toMatchObject({
      state: 'SUCCEEDED',
      releaseCount: 0,
      silenceCount: 0,
      history: [{ attempt: 1, outcome: 'SUCCEEDED', reported: true }],
    });
  });

  it('of a failure is charged once', () => {
    const core = lost();
    const session = core.hello('w', { sessionNumber: 2, unsentReports: [core.ref('t')], taskTypes: { other: 1 } });
    core.draws.push(0.5);
    core.report(session, core.ref('t'), 'FAILED');
    expect(core.row('t')).toMatchObject({ state: 'SCHEDULED', failureCount: 1, releaseCount: 0, attemptOpen: false });
  });

  it('gives a crash back', () => {
    const core = lost();
    const again = core.hello('w', { sessionNumber: 2 });
    core.start(again, core.ref('t'));
    core.draws.push(0.9);
    core.advance(LEASE_END_MS);
    // The second silence counts as a crash.
    expect(core.row('t')).toMatchObject({ attempt: 2, state: 'SCHEDULED', crashCount: 1 });
    const ref = core.ref('t');
    const session = core.hello('w', { sessionNumber: 3, unsentReports: [ref] });
    expect(core.report(session, ref)).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', crashCount: 0 });
  });

  it("is refused from another process, which cannot have run it, whatever it knows of the attempt's fence", () => {
    const core = lost();
    const ref = core.ref('t');
    const thief = core.hello('thief', { taskTypes: { other: 1 }, unsentReports: [ref] });
    expect(core.sent(thief, 'welcome')).toMatchObject([{ wantedReports: [] }]);
    expect(core.report(thief, ref)).toBe('STALE_ATTEMPT');
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', attemptOpen: true });
  });

  it('is refused once a newer attempt has been handed out', () => {
    const core = lost();
    const ref = core.ref('t');
    const other = core.hello('v');
    const session = core.hello('w', { sessionNumber: 2, unsentReports: [ref] });
    expect(core.sent(session, 'welcome')).toMatchObject([{ wantedReports: [] }]);
    expect(core.report(session, ref)).toBe('STALE_ATTEMPT');
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2 });
    expect(core.report(other, core.ref('t'))).toBe('');
    expect(core.report(session, ref)).toBe('TASK_ENDED');
  });

  it('waits for the report of an attempt that was given up when its worker is back with it', () => {
    const core = lost();
    const ref = core.ref('t');
    expect(core.row('t').state).toBe('QUEUED');
    core.outputs = [];
    const session = core.hello('w', { sessionNumber: 2, unsentReports: [ref] });
    core.hello('other');
    expect(core.assigned()).toEqual([]);
    expect(core.waiting('t')).toMatchObject({ reason: 'BACKOFF', message: expect.stringContaining('about to report') });
    expect(core.report(session, ref)).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', attempt: 1 });
  });

  it('waits for such a report for a lease, and once for each attempt', () => {
    const core = lost();
    const ref = core.ref('t');
    core.hello('w', { sessionNumber: 2, unsentReports: [ref] });
    core.advance(LEASE_MS - 1);
    const again = core.hello('w', { sessionNumber: 3, unsentReports: [ref] });
    expect(core.row('t').state).toBe('SCHEDULED');
    core.advance(1);
    expect(core.assigned(again)).toEqual(['t']);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2 });
    expect(core.report(again, ref)).toBe('STALE_ATTEMPT');
  });

  it('is refused with another lease', () => {
    const core = lost();
    const session = core.hello('w', { sessionNumber: 2, taskTypes: { other: 1 } });
    expect(core.report(session, { ...core.ref('t'), leaseId: '0'.repeat(16) })).toBe('STALE_ATTEMPT');
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('of an unknown task is refused', () => {
    const core = lost();
    const session = core.hello('w', { sessionNumber: 2, taskTypes: { other: 1 } });
    expect(core.report(session, { taskId: 'x', attempt: 1, leaseId: '0'.repeat(16) })).toBe('UNKNOWN_TASK');
  });

  it('that repeats the ending report is accepted, before and after the task has ended', () => {
    const { core, session } = running();
    const first = core.ref('t');
    core.draws.push(0);
    core.report(session, first, 'FAILED');
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2 });
    expect(core.report(session, first, 'FAILED')).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2, failureCount: 1 });
    core.report(session, core.ref('t'));
    expect(core.report(session, core.ref('t'))).toBe('');
    expect(core.report(session, first, 'FAILED')).toBe('');
    expect(core.state.totals).toMatchObject({ succeeded: 1, failures: 1, reportsRefused: 0 });
  });

  it('of what it had given back counts, or is refused: it is never acknowledged and dropped', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    const first = core.ref('t');
    core.frame(session, { notStarted: [first], leaving: { drainTimeoutMs: 1_000 } });
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', releaseCount: 1 });
    expect(core.report(session, first)).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', releaseCount: 0 });
    const other = core.hello('v');
    core.submit('u');
    const second = core.ref('u');
    core.frame(other, { notStarted: [second] });
    expect(core.row('u')).toMatchObject({ state: 'RUNNING', attempt: 2 });
    expect(core.report(other, second)).toBe('STALE_ATTEMPT');
  });

  it('does not keep a lost attempt in its welcome', () => {
    const core = lost();
    const ref = core.ref('t');
    const session = core.hello('w', { sessionNumber: 2, running: [{ ref, started: true }], taskTypes: { other: 1 } });
    expect(core.sent(session, 'welcome')).toMatchObject([{ keep: [], cancel: [ref] }]);
    expect(core.row('t').state).toBe('QUEUED');
  });
});

describe('a suspect worker', () => {
  it('gets nothing new, keeps what it has, and gets more when it recovers', () => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 2 });
    core.submit('a');
    core.step({ kind: 'suspect', sessionId: session, suspect: true, deaf: true, takenBack: [] });
    core.submit('b');
    expect(core.assigned(session)).toEqual(['a']);
    expect(core.worker('w')).toMatchObject({ state: 'SUSPECT', slotsUsed: 1 });
    core.step({ kind: 'suspect', sessionId: session, suspect: false, deaf: false, takenBack: [] });
    expect(core.assigned(session)).toEqual(['a', 'b']);
  });

  it('is asked once to give back what is on its way, and frees it by its word alone', () => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 3 });
    for (const id of ['sent', 'held', 'started']) core.submit(id);
    const [sent, held, started] = ['sent', 'held', 'started'].map((id) => core.ref(id)) as [
      AttemptRef,
      AttemptRef,
      AttemptRef,
    ];
    core.frame(session, { held: [held], started: [started] });
    const other = core.hello('v');
    const suspect = { kind: 'suspect', sessionId: session, suspect: true, takenBack: [] } as const;
    core.step({ ...suspect, deaf: false });
    expect(core.sent(session, 'revoke')).toEqual([]);
    core.step({ ...suspect, deaf: true });
    core.step({ ...suspect, deaf: true });
    expect(core.sent(session, 'revoke')).toMatchObject([{ ref: sent }]);
    expect(core.assigned(other)).toEqual([]);
    core.frame(session, { notStarted: [sent] });
    expect(core.assigned(other)).toEqual(['sent']);
    expect(core.row('sent')).toMatchObject({ attempt: 2, releaseCount: 1, failureCount: 0 });
  });

  it('goes on with what it had started before it was asked for it', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('a');
    core.step({ kind: 'suspect', sessionId: session, suspect: true, deaf: true, takenBack: [] });
    core.hello('v');
    expect(core.report(session, core.ref('a'))).toBe('');
    expect(core.row('a')).toMatchObject({ state: 'SUCCEEDED', attempt: 1 });
  });

  it('loses at once what had not left for it, free', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('a');
    const other = core.hello('v');
    core.step({ kind: 'suspect', sessionId: session, suspect: true, deaf: true, takenBack: [core.ref('a')] });
    expect(core.assigned(other)).toEqual(['a']);
    expect(core.row('a')).toMatchObject({ attempt: 2, releaseCount: 1, failureCount: 0 });
    expect(core.worker('w').slotsUsed).toBe(0);
  });
});

describe('a return of the same process', () => {
  function away(slots = 4): CoreDriver {
    const core = new CoreDriver();
    const session = core.hello('w', { slots });
    for (const id of ['run', 'sent', 'done', 'gone']) core.submit(id);
    core.frame(session, { started: [core.ref('run'), core.ref('done')] });
    core.step({ kind: 'sessionEnded', sessionId: session });
    return core;
  }

  it('keeps what it names, waits for reports that it owes, and releases what is missing at once', () => {
    const core = away();
    const [run, sent, done] = ['run', 'sent', 'done'].map((id) => core.ref(id)) as [
      ReturnType<typeof core.ref>,
      ReturnType<typeof core.ref>,
      ReturnType<typeof core.ref>,
    ];
    const fenced = { ...core.ref('gone'), leaseId: 'f'.repeat(16) };
    const session = core.hello('w', {
      ...{ sessionNumber: 2, slots: 4, unsentReports: [done] },
      running: [
        { ref: run, started: true },
        { ref: sent, started: false },
        { ref: fenced, started: false },
      ],
    });
    expect(core.sent(session, 'welcome')).toEqual([
      { kind: 'welcome', keep: [run, sent], cancel: [fenced], wantedReports: [done] },
    ]);
    // Released, and handed out again in the same step: to the same worker, as a new attempt.
    expect(core.row('gone')).toMatchObject({ state: 'RUNNING', attempt: 2, releaseCount: 1 });
    expect(core.worker('w')).toMatchObject({ slotsUsed: 4, state: 'READY', sessionNumber: 2 });
    expect(core.report(session, done)).toBe('');
    expect(core.worker('w').slotsUsed).toBe(3);
    expect(core.events('worker-returned')).toHaveLength(1);
  });

  it('frees the slot of an attempt whose report is not wanted any more', () => {
    const { core, session } = running({ timeoutMs: 1_000 });
    const ref = core.ref('t');
    core.draws.push(0);
    core.advanceAlive(1_000 + LIMIT_MS, session);
    const other = core.hello('v');
    expect(core.assigned(other)).toEqual(['t']);
    core.step({ kind: 'sessionEnded', sessionId: session });
    const again = core.hello('w', { sessionNumber: 2, unsentReports: [ref] });
    expect(core.sent(again, 'welcome')).toMatchObject([{ wantedReports: [] }]);
    expect(core.worker('w').slotsUsed).toBe(0);
  });

  it('keeps the slot of an attempt that was given up by time-out and still runs there, until it confirms', () => {
    const { core, session } = running({ timeoutMs: 1_000 });
    const ref = core.ref('t');
    core.draws.push(0.9);
    core.advanceAlive(1_000 + LIMIT_MS, session);
    core.step({ kind: 'sessionEnded', sessionId: session });
    const again = core.hello('w', { sessionNumber: 2, running: [{ ref, started: true }] });
    expect(core.sent(again, 'welcome')).toMatchObject([{ keep: [ref], cancel: [] }]);
    expect(core.sent(again, 'cancel')).toMatchObject([{ ref, reason: 'TIMED_OUT' }]);
    expect(core.worker('w').slotsUsed).toBe(1);
    core.report(again, ref, 'TIMED_OUT');
    expect(core.worker('w').slotsUsed).toBe(0);
  });

  it('frees the slot of an attempt that was given up and is missing', () => {
    const { core, session } = running({ timeoutMs: 1_000 });
    core.draws.push(0.9);
    core.advanceAlive(1_000 + LIMIT_MS, session);
    core.step({ kind: 'sessionEnded', sessionId: session });
    core.hello('w', { sessionNumber: 2 });
    expect(core.worker('w').slotsUsed).toBe(0);
    expect(core.row('t')).toMatchObject({ state: 'SCHEDULED', failureCount: 1 });
  });

  it('over a newer stream: the higher session number wins, and frames of the older one are ignored', () => {
    const { core, session } = running();
    const ref = core.ref('t');
    const newer = core.hello('w', { sessionNumber: 2, running: [{ ref, started: true }] });
    expect(core.sent(session, 'end')).toMatchObject([{ reason: 'STALE_SESSION' }]);
    core.frame(session, { reports: [] });
    core.step({ kind: 'sessionEnded', sessionId: session });
    expect(core.worker('w')).toMatchObject({ state: 'READY', slotsUsed: 1 });
    expect(core.report(newer, ref)).toBe('');
  });

  it.each([1, 2])('over an older or equal stream (%i) is refused', (sessionNumber) => {
    const core = new CoreDriver();
    const session = core.hello('w', { sessionNumber: 2 });
    const stale = core.hello('w', { sessionNumber });
    expect(core.sent(stale, 'end')).toMatchObject([{ reason: 'STALE_SESSION' }]);
    expect(core.sent(session, 'end')).toEqual([]);
  });

  it('with other types and labels is matched by these', () => {
    const core = new CoreDriver();
    const session = core.hello('w', { taskTypes: { old: 1 } });
    core.step({ kind: 'sessionEnded', sessionId: session });
    const again = core.hello('w', { sessionNumber: 2, taskTypes: { new: 1 }, labels: { zone: 'a' } });
    core.submit('o', { type: 'old' });
    core.submit('n', { type: 'new', requiredLabels: { zone: 'a' } });
    expect(core.assigned(again)).toEqual(['n']);
  });

  it('with fewer slots than it holds gets nothing until it is below them', () => {
    const core = away(4);
    const running = ['run', 'sent', 'done', 'gone'].map((id) => ({ ref: core.ref(id), started: false }));
    const session = core.hello('w', { sessionNumber: 2, slots: 2, running });
    core.submit('next');
    for (const { ref } of running.slice(0, 2)) core.report(session, ref);
    expect(core.assigned(session)).toEqual([]);
    core.report(session, core.ref('done'));
    expect(core.assigned(session)).toEqual(['next']);
  });
});

describe('a takeover by another process', () => {
  it('the newest hello wins the id; what the loser holds moves when its lease is over', () => {
    const { core, session } = running();
    const ref = core.ref('t');
    core.advance(1_000);
    const winner = core.hello('w', { incarnation: 'w#2' });
    expect(core.sent(session, 'end')).toMatchObject([{ reason: 'SUPERSEDED' }]);
    expect(core.worker('w')).toMatchObject({ incarnation: 'w#2', slotsUsed: 0 });
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', incarnation: 'w#1' });
    core.advanceAlive(LEASE_END_MS - 1_001, winner);
    expect(core.row('t').incarnation).toBe('w#1');
    core.advance(1);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2, incarnation: 'w#2' });
    expect(core.report(winner, ref)).toBe('STALE_ATTEMPT');
  });

  it('with replaces[] moves at once what the dead one held', () => {
    const { core, session } = running();
    core.draws.push(0);
    const successor = core.hello('w', { incarnation: 'w#2', replaces: ['w#0', 'w#1', 'w#2'] });
    expect(core.assigned(successor)).toEqual(['t']);
    expect(core.sent(session, 'end')).toMatchObject([{ reason: 'SUPERSEDED' }]);
    expect(core.events('worker-lost')).toMatchObject([{ incarnation: 'w#1' }]);
  });

  it('believes replaces[] only for its own worker_id', () => {
    const { core } = running();
    core.hello('v', { replaces: ['w#1'] });
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', workerId: 'w' });
  });

  it.each(['with', 'without'])('the loser may not come back (%s attempts)', (what) => {
    const core = new CoreDriver();
    core.hello('w');
    if (what === 'with') core.submit('t');
    const winner = core.hello('w', { incarnation: 'w#2' });
    const back = core.hello('w', { sessionNumber: 2 });
    expect(core.sent(back, 'end')).toMatchObject([{ reason: 'SUPERSEDED' }]);
    expect(core.sent(winner, 'end')).toEqual([]);
  });

  it('a process that its successor has called dead may not come back', () => {
    const core = new CoreDriver();
    core.hello('w');
    core.hello('w', { incarnation: 'w#2', replaces: ['w#1'] });
    const back = core.hello('w', { sessionNumber: 2 });
    expect(core.sent(back, 'end')).toMatchObject([{ reason: 'SUPERSEDED' }]);
    expect(core.worker('w').incarnation).toBe('w#2');
  });

  it('losers are remembered up to a bound, those that still hold attempts beyond it', () => {
    const { core } = running();
    for (let n = 2; n < MAX_SUPERSEDED + 10; n += 1) core.hello('w', { incarnation: `w#${n}` });
    const back = core.hello('w', { sessionNumber: 2 });
    expect(core.sent(back, 'end')).toMatchObject([{ reason: 'SUPERSEDED' }]);
  });

  it('refuses a process that has said hello under another worker_id', () => {
    const { core } = running();
    const other = core.hello('v', { incarnation: 'w#1', sessionNumber: 2 });
    expect(core.sent(other, 'end')).toMatchObject([
      { reason: 'SUPERSEDED', message: expect.stringContaining('worker_id "w"') as string },
    ]);
    expect(core.worker('w').state).toBe('READY');
  });
});

describe('maxWorkers', () => {
  it('refuses new processes at the bound, and known ones not', () => {
    const core = new CoreDriver({ maxWorkers: 1 });
    const session = core.hello('w');
    expect(core.sent(core.hello('v'), 'end')).toMatchObject([{ reason: 'FLEET_FULL' }]);
    core.step({ kind: 'sessionEnded', sessionId: session });
    expect(core.sent(core.hello('w', { sessionNumber: 2 }), 'end')).toEqual([]);
  });

  it('lets a successor in for the process that it replaces', () => {
    const core = new CoreDriver({ maxWorkers: 1 });
    core.hello('w');
    core.submit('t');
    const successor = core.hello('w', { incarnation: 'w#2', replaces: ['w#1'] });
    expect(core.assigned(successor)).toEqual(['t']);
    const next = core.hello('v', { incarnation: 'v#1' });
    expect(core.sent(next, 'end')).toMatchObject([{ reason: 'FLEET_FULL' }]);
  });

  it('lets a new process in for an idle one of the same id', () => {
    const core = new CoreDriver({ maxWorkers: 1 });
    core.hello('w');
    expect(core.sent(core.hello('w', { incarnation: 'w#2' }), 'end')).toEqual([]);
  });
});

describe('a worker that leaves', () => {
  it('gets nothing more, finishes what it has, and has left when its stream ends', () => {
    const { core, session } = running();
    core.frame(session, { leaving: { drainTimeoutMs: 60_000 } });
    expect(core.sent(session, 'drain')).toEqual([{ kind: 'drain', deadlineMs: 60_000 }]);
    core.submit('next');
    expect(core.report(session, core.ref('t'))).toBe('');
    expect(core.assigned(session)).toEqual(['t']);
    core.step({ kind: 'sessionEnded', sessionId: session });
    expect(core.events('worker-left')).toHaveLength(1);
    expect(core.state.incarnations.size).toBe(0);
    core.advance(LEASE_END_MS);
    expect(core.events('worker-lost')).toEqual([]);
  });

  it('that gives back what has not started costs nothing', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    core.frame(session, { leaving: { drainTimeoutMs: 60_000 }, notStarted: [core.ref('t')] });
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', releaseCount: 1, failureCount: 0 });
  });

  it('whose stream ends while it holds attempts is waited for', () => {
    const { core, session } = running();
    core.frame(session, { leaving: { drainTimeoutMs: 60_000 } });
    core.step({ kind: 'sessionEnded', sessionId: session });
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(LEASE_END_MS);
    expect(core.events('worker-lost')).toHaveLength(1);
    expect(core.row('t').state).toBe('QUEUED');
  });
});

describe('an attempt at its worker', () => {
  it('is SENT, HELD when its frame is acknowledged, STARTED when its handler is entered', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    const states = [core.worker('w').attempts[0]?.state];
    core.frame(session, { held: [core.ref('t')] });
    states.push(core.worker('w').attempts[0]?.state);
    core.start(session, core.ref('t'));
    states.push(core.worker('w').attempts[0]?.state);
    expect(states).toEqual(['SENT', 'HELD', 'STARTED']);
  });

  it('shows its newest progress', () => {
    const { core, session } = running();
    const note = (number: number): { contentType: string; data: Uint8Array } => ({
      contentType: 'x',
      data: new Uint8Array([number]),
    });
    const ref = core.ref('t');
    core.frame(session, { progress: [2, 1].map((number) => ({ ref, number, data: note(number) })) });
    const outputs = core.step({ kind: 'getTask', token: 999, taskId: 't' });
    expect(core.replyTo(999, outputs)).toMatchObject({ progress: { number: 2 } });
  });

  it('counts as reused when its process had entered a handler before', () => {
    const { core, session } = running();
    core.report(session, core.ref('t'));
    core.submit('u');
    core.report(session, core.ref('u'));
    expect(core.state.totals).toMatchObject({ attemptsStarted: 2, attemptsReused: 1 });
  });
});

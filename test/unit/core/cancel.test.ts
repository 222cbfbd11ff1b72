import { describe, expect, it } from 'vitest';
import { CoreDriver, LEASE_END_MS, LIMIT_MS } from './support.js';

function running(options: Parameters<CoreDriver['submit']>[1] = {}): { core: CoreDriver; session: number } {
  const core = new CoreDriver();
  const session = core.hello('w');
  core.submit('t', options);
  core.start(session, core.ref('t'));
  return { core, session };
}

describe('a cancel', () => {
  it('ends a task that waits', () => {
    const core = new CoreDriver();
    core.submit('queued');
    core.submit('scheduled', { runTimeWallMs: core.wallMs + 1_000 });
    expect(core.cancel('queued')).toEqual({ kind: 'cancelled', taskId: 'queued', state: 'CANCELLED' });
    expect(core.cancel('scheduled')).toMatchObject({ state: 'CANCELLED' });
    expect(core.row('queued')).toMatchObject({ failure: { reason: 'CANCELLED' }, attempt: 0 });
    expect(core.untilNextMs()).toBe(Infinity);
  });

  it('asks the worker of a running task to abort it, and its outcome ends the task', () => {
    const { core, session } = running();
    expect(core.cancel('t')).toMatchObject({ state: 'RUNNING' });
    expect(core.row('t').cancelRequested).toBe(true);
    expect(core.sent(session, 'cancel')).toEqual([{ kind: 'cancel', ref: core.ref('t'), reason: 'REQUESTED' }]);
    expect(core.worker('w').attempts).toMatchObject([{ state: 'CANCELLING' }]);
    core.cancel('t');
    expect(core.sent(session, 'cancel')).toHaveLength(1);
    expect(core.report(session, core.ref('t'), 'CANCELLED')).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'CANCELLED', failureCount: 0, history: [{ charge: 'NONE' }] });
  });

  it('loses to SUCCEEDED', () => {
    const { core, session } = running();
    core.cancel('t');
    core.report(session, core.ref('t'), 'SUCCEEDED');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', cancelRequested: true });
  });

  it.each(['FAILED', 'TIMED_OUT', 'RELEASED'] as const)('makes %s CANCELLED, without a retry', (outcome) => {
    const { core, session } = running();
    core.cancel('t');
    core.report(session, core.ref('t'), outcome);
    expect(core.row('t')).toMatchObject({ state: 'CANCELLED', failureCount: 0, releaseCount: 0 });
  });

  it('makes a lost attempt CANCELLED', () => {
    const { core } = running();
    core.cancel('t');
    core.advance(LEASE_END_MS);
    expect(core.row('t').state).toBe('CANCELLED');
  });

  it('of a task that its worker gives back unstarted ends it', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    core.cancel('t');
    core.frame(session, { notStarted: [core.ref('t')] });
    expect(core.row('t').state).toBe('CANCELLED');
  });

  it('after the end changes nothing and tells the end', () => {
    const { core, session } = running();
    core.report(session, core.ref('t'));
    expect(core.cancel('t')).toEqual({ kind: 'cancelled', taskId: 't', state: 'SUCCEEDED' });
    expect(core.lastResult?.writes).toEqual([]);
  });

  it('of an unknown task says so', () => {
    expect(new CoreDriver().cancel('x')).toEqual({ kind: 'taskNotFound', taskId: 'x' });
  });

  it('that nobody confirms ends the task by itself, and the slot stays taken until the worker speaks', () => {
    const { core, session } = running();
    core.cancel('t');
    const ref = core.ref('t');
    core.advanceAlive(LIMIT_MS - 1, session);
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(1);
    expect(core.row('t').state).toBe('CANCELLED');
    expect(core.worker('w').slotsUsed).toBe(1);
    expect(core.report(session, ref, 'CANCELLED')).toBe('TASK_ENDED');
    expect(core.worker('w').slotsUsed).toBe(0);
  });

  it('reaches a worker that was away, and waits for its report as long as after any cancel', () => {
    const { core, session } = running();
    core.step({ kind: 'sessionEnded', sessionId: session });
    core.cancel('t');
    const ref = core.ref('t');
    core.advance(5_000);
    const again = core.hello('w', { sessionNumber: 2, running: [{ ref, started: true }] });
    expect(core.sent(again, 'welcome')).toMatchObject([{ keep: [ref] }]);
    expect(core.sent(again, 'cancel')).toMatchObject([{ ref, reason: 'REQUESTED' }]);
    core.advanceAlive(LIMIT_MS - 1, again);
    expect(core.row('t').state).toBe('RUNNING');
    core.advanceAlive(1, again);
    expect(core.row('t').state).toBe('CANCELLED');
  });

  it('is kept over a restart: the worker is asked again, and waited for no longer than the limit', () => {
    const { core } = running();
    core.cancel('t');
    const ref = core.ref('t');
    core.restart();
    const session = core.hello('w', { sessionNumber: 2, running: [{ ref, started: true }] });
    expect(core.sent(session, 'cancel')).toMatchObject([{ ref, reason: 'REQUESTED' }]);
    expect(core.worker('w').attempts).toMatchObject([{ state: 'CANCELLING' }]);
    core.advanceAlive(LIMIT_MS, session);
    expect(core.row('t').state).toBe('CANCELLED');
  });

  it('is kept over a restart, and its worker never comes back', () => {
    const { core } = running();
    core.cancel('t');
    core.restart();
    core.advance(LEASE_END_MS);
    expect(core.row('t').state).toBe('CANCELLED');
  });
});

describe('a deadline', () => {
  it('that passes while the task waits is EXPIRED', () => {
    const core = new CoreDriver();
    core.submit('queued', { deadlineWallMs: core.wallMs + 1_000 });
    core.submit('scheduled', { deadlineWallMs: core.wallMs + 1_000, runTimeWallMs: core.wallMs + 2_000 });
    core.advance(999);
    expect(core.row('queued').state).toBe('QUEUED');
    core.advance(1);
    for (const id of ['queued', 'scheduled']) {
      expect(core.row(id)).toMatchObject({ state: 'EXPIRED', failure: { reason: 'DEADLINE_PASSED' } });
    }
  });

  it('that has passed refuses a new task, but not the repeat of one that was accepted in time', () => {
    const core = new CoreDriver();
    const deadlineWallMs = core.wallMs + 1_000;
    expect(core.submit('t', { deadlineWallMs })).toMatchObject({ kind: 'submitted', state: 'QUEUED' });
    core.advance(1_500);
    expect(core.submit('late', { deadlineWallMs })).toMatchObject({ kind: 'deadlinePassed', lateMs: 500 });
    expect(core.submit('t', { deadlineWallMs })).toMatchObject({ alreadyExisted: true, state: 'EXPIRED' });
  });

  it('shortens the time-out of an attempt', () => {
    const { core } = running({ deadlineWallMs: 1_700_000_001_000 });
    expect(core.assignment('t').timeoutMs).toBe(1_000);
  });

  it('that passes while the task runs aborts it, and the task is EXPIRED', () => {
    const { core, session } = running({ deadlineWallMs: 1_700_000_001_000 });
    core.advance(1_000);
    expect(core.sent(session, 'cancel')).toMatchObject([{ reason: 'DEADLINE' }]);
    expect(core.row('t').state).toBe('RUNNING');
    core.report(session, core.ref('t'), 'CANCELLED');
    expect(core.row('t')).toMatchObject({ state: 'EXPIRED', failureCount: 0, failure: { reason: 'DEADLINE_PASSED' } });
  });

  it('loses to SUCCEEDED', () => {
    const { core, session } = running({ deadlineWallMs: 1_700_000_001_000 });
    core.advance(1_000);
    core.report(session, core.ref('t'));
    expect(core.row('t').state).toBe('SUCCEEDED');
  });

  it('loses to an earlier cancel', () => {
    const { core, session } = running({ deadlineWallMs: 1_700_000_001_000 });
    core.cancel('t');
    core.advance(1_000);
    core.report(session, core.ref('t'), 'CANCELLED');
    expect(core.row('t').state).toBe('CANCELLED');
    expect(core.sent(session, 'cancel')).toHaveLength(1);
  });

  it('that has passed stays passed when the wall clock is set back', () => {
    const { core, session } = running({ deadlineWallMs: 1_700_000_001_000 });
    core.advance(1_000);
    core.wallMs -= 3_600_000;
    core.report(session, core.ref('t'), 'CANCELLED');
    expect(core.row('t').state).toBe('EXPIRED');
  });

  it('that nobody confirms is EXPIRED by itself', () => {
    const { core, session } = running({ deadlineWallMs: 1_700_000_001_000 });
    core.advance(1_000);
    core.advanceAlive(LIMIT_MS, session);
    expect(core.row('t').state).toBe('EXPIRED');
  });

  it('is kept over a restart', () => {
    const { core } = running({ deadlineWallMs: 1_700_000_001_000 });
    core.submit('waits', { deadlineWallMs: 1_700_000_001_000 });
    core.restart();
    core.advance(1_000);
    expect(core.row('waits').state).toBe('EXPIRED');
    expect(core.row('t').state).toBe('RUNNING');
    core.advance(LEASE_END_MS);
    expect(core.row('t').state).toBe('EXPIRED');
  });
});

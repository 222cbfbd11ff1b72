import { describe, expect, it } from 'vitest';
import { CoreDriver, LEASE_END_MS } from './support.js';

/** Task t, a dead letter after one failure. */
function deadLetter(options: Parameters<CoreDriver['submit']>[1] = {}): { core: CoreDriver; session: number } {
  const core = new CoreDriver();
  const session = core.hello('w');
  core.submit('t', options);
  core.start(session, core.ref('t'));
  core.report(session, core.ref('t'), 'FAILED', { nonRetryable: true });
  expect(core.row('t').state).toBe('DEAD_LETTERED');
  return { core, session };
}

function requeue(core: CoreDriver, ...taskIds: string[]) {
  const reply = core.ask((token) => ({ kind: 'requeue', token, taskIds }));
  if (reply.kind !== 'tasksChanged') throw new Error(`requeue was answered ${reply.kind}`);
  return reply.results.map(({ refusal }) => refusal);
}

function remove(core: CoreDriver, ...taskIds: string[]) {
  const reply = core.ask((token) => ({ kind: 'delete', token, taskIds }));
  if (reply.kind !== 'tasksChanged') throw new Error(`delete was answered ${reply.kind}`);
  return reply.results.map(({ refusal }) => refusal);
}

describe('a dead letter that is requeued', () => {
  it('is handed out again, with counters that begin anew and attempts that are numbered on', () => {
    const { core, session } = deadLetter();
    expect(requeue(core, 't')).toEqual([null]);
    expect(core.row('t')).toMatchObject({
      state: 'RUNNING',
      attempt: 2,
      requeuedAttempt: 1,
      ...{ failureCount: 0, crashCount: 0, releaseCount: 0, failure: null, endWallMs: null },
    });
    expect(core.row('t').history).toHaveLength(1);
    expect(core.report(session, core.ref('t'))).toBe('');
    expect(core.row('t').state).toBe('SUCCEEDED');
  });

  it('has its whole budget of failures again', () => {
    const { core, session } = deadLetter();
    requeue(core, 't');
    for (const failureCount of [1, 2]) {
      core.draws.push(0);
      core.report(session, core.ref('t'), 'FAILED');
      expect(core.row('t')).toMatchObject({ state: 'RUNNING', failureCount });
    }
    core.report(session, core.ref('t'), 'FAILED');
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failureCount: 3 });
  });

  it('refuses a late report of the attempt that made it one', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t', { retry: { maxAttempts: 1 } });
    const ref = core.ref('t');
    core.start(session, ref);
    core.advance(LEASE_END_MS);
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failure: { reason: 'MAYBE_STARTED' } });
    expect(requeue(core, 't')).toEqual([null]);
    const back = core.hello('w', { sessionNumber: 2, unsentReports: [ref] });
    expect(core.sent(back, 'welcome')).toMatchObject([{ wantedReports: [] }]);
    expect(core.report(back, ref)).toBe('STALE_ATTEMPT');
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2 });
  });

  it('names in its poison only the workers that it has cost since', () => {
    const core = new CoreDriver();
    const crash = (n: number): void => {
      core.start(core.hello('w', { incarnation: `w#${n}`, replaces: [`w#${n - 1}`] }), core.ref('t'));
    };
    const first = core.hello('w');
    core.submit('t');
    core.start(first, core.ref('t'));
    for (const n of [2, 3]) {
      core.draws.push(0);
      crash(n);
    }
    const fourth = core.hello('w', { incarnation: 'w#4', replaces: ['w#3'] });
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failure: { reason: 'POISON' } });
    requeue(core, 't');
    core.start(fourth, core.ref('t'));
    core.draws.push(0);
    crash(5);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', crashCount: 1 });
  });

  it('is told to who waits for it then, not to who had its end before', () => {
    const { core, session } = deadLetter();
    requeue(core, 't');
    const again = core.submitInput('t', { want: 'end' });
    core.step(again);
    core.outputs = [];
    core.report(session, core.ref('t'));
    expect(core.replyTo(again.token)).toMatchObject({ kind: 'ended', taskId: 't', row: { state: 'SUCCEEDED' } });
  });

  it('survives a restart as an open task', () => {
    const { core } = deadLetter();
    requeue(core, 't');
    core.restart();
    expect(core.state.tasks.get('t')).toMatchObject({ requeuedAttempt: 1, failureCount: 0 });
  });

  it.each([
    ['SUCCEEDED', 'NOT_DEAD_LETTERED'],
    ['RUNNING', 'NOT_DEAD_LETTERED'],
  ] as const)('is none if it is %s: refused', (state, reason) => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    if (state === 'SUCCEEDED') core.report(session, core.ref('t'));
    expect(requeue(core, 't')).toEqual([{ reason, state }]);
  });

  it('is refused when unknown, late, or one too many, and the others go back all the same', () => {
    const { core } = deadLetter({ deadlineWallMs: 1_700_000_100_000 });
    core.advance(100_001);
    expect(requeue(core, 'unknown', 't')).toEqual([
      { reason: 'NOT_FOUND' },
      { reason: 'DEADLINE_PASSED', deadlineWallMs: 1_700_000_100_000 },
    ]);
    const full = new CoreDriver({ maxOpenTasks: 1 });
    const session = full.hello('w');
    full.submit('t');
    full.report(session, full.ref('t'), 'FAILED', { nonRetryable: true });
    full.submit('other', { type: 'nobody' });
    expect(requeue(full, 't')).toEqual([{ reason: 'QUEUE_FULL', limit: 1 }]);
  });

  it('goes back once when it is named twice', () => {
    const { core } = deadLetter();
    expect(requeue(core, 't', 't')).toEqual([null, { reason: 'NOT_DEAD_LETTERED', state: 'QUEUED' }]);
  });
});

describe('a task that is deleted', () => {
  it('is gone: its id is a new task', () => {
    const { core } = deadLetter();
    expect(remove(core, 't')).toEqual([null]);
    expect(core.store.has('t')).toBe(false);
    expect(core.submit('t', { digest: 'other' })).toMatchObject({ kind: 'submitted', alreadyExisted: false });
  });

  it('is refused while it has not ended, and when there is none', () => {
    const core = new CoreDriver();
    core.submit('t');
    expect(remove(core, 't', 'unknown')).toEqual([{ reason: 'NOT_ENDED', state: 'QUEUED' }, { reason: 'NOT_FOUND' }]);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('is deleted once, and can be submitted again, all in one step', () => {
    const { core } = deadLetter();
    const again = core.submitInput('t', { digest: 'other' });
    core.step({ kind: 'delete', token: 901, taskIds: ['t'] }, { kind: 'delete', token: 902, taskIds: ['t'] }, again, {
      kind: 'requeue',
      token: 903,
      taskIds: ['t'],
    });
    expect(core.replyTo(901)).toMatchObject({ results: [{ refusal: null }] });
    expect(core.replyTo(902)).toMatchObject({ results: [{ refusal: { reason: 'NOT_FOUND' } }] });
    expect(core.replyTo(again.token)).toMatchObject({ kind: 'submitted', alreadyExisted: false });
    expect(core.replyTo(903)).toMatchObject({ results: [{ refusal: { reason: 'NOT_DEAD_LETTERED' } }] });
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 1, digest: 'other' });
  });

  it('may have ended in the same step', () => {
    const core = new CoreDriver();
    core.submit('t');
    core.step(core.cancelInput('t'), { kind: 'delete', token: 901, taskIds: ['t'] });
    expect(core.replyTo(901)).toMatchObject({ results: [{ refusal: null }] });
    expect(core.store.has('t')).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import { retryDelayMs } from '../../../coordinator/core/retry.js';
import { CoreDriver, LEASE_END_MS, LIMIT_MS } from './support.js';

/** A worker with one attempt of task t, started. */
function running(options: Parameters<CoreDriver['submit']>[1] = {}): { core: CoreDriver; session: number } {
  const core = new CoreDriver();
  const session = core.hello('w');
  core.submit('t', options);
  core.start(session, core.ref('t'));
  return { core, session };
}

const NOTHING = { failureCount: 0, crashCount: 0, releaseCount: 0 };

/** The n-th process of worker w dies while it runs t; the next one says so. */
function crash(core: CoreDriver, n: number): void {
  core.start(core.hello(`w`, { incarnation: `w#${n}`, replaces: [`w#${n - 1}`] }), core.ref('t'));
}

describe('an attempt that ends', () => {
  it('SUCCEEDED ends the task and charges nothing', () => {
    const { core, session } = running();
    expect(core.report(session, core.ref('t'))).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', failure: null, ...NOTHING, endWallMs: core.wallMs });
    expect(core.lastResult?.writes).toMatchObject([{ kind: 'update', result: { contentType: 'application/json' } }]);
    expect(core.row('t').history).toMatchObject([{ attempt: 1, outcome: 'SUCCEEDED', charge: 'NONE', reported: true }]);
  });

  it.each(['FAILED', 'TIMED_OUT'] as const)('%s is a failure, and max_attempts of them a dead letter', (outcome) => {
    const { core, session } = running();
    for (const attempt of [1, 2]) {
      core.draws.push(0);
      core.report(session, core.ref('t'), outcome);
      expect(core.row('t')).toMatchObject({ state: 'RUNNING', failureCount: attempt, crashCount: 0, releaseCount: 0 });
      expect(core.assignment('t').failureCount).toBe(attempt);
    }
    core.report(session, core.ref('t'), outcome);
    const reason = outcome === 'FAILED' ? 'HANDLER_ERROR' : 'TIMED_OUT';
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failureCount: 3, failure: { reason, stack: 's' } });
    expect(core.row('t').history.map(({ charge }) => charge)).toEqual(['FAILURE', 'FAILURE', 'FAILURE']);
  });

  it('FAILED, marked as not retryable, is a dead letter at once', () => {
    const { core, session } = running();
    core.report(session, core.ref('t'), 'FAILED', { nonRetryable: true });
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failureCount: 1 });
  });

  it('FAILED for a reason that the task names as not retryable is a dead letter at once', () => {
    const { core, session } = running({ retry: { nonRetryableReasons: ['BAD_INPUT'] } });
    core.report(session, core.ref('t'), 'FAILED', { reason: 'BAD_INPUT' });
    expect(core.row('t').state).toBe('DEAD_LETTERED');
  });

  it('FAILED is a dead letter at once with max_attempts 1', () => {
    const { core, session } = running({ retry: { maxAttempts: 1 } });
    core.report(session, core.ref('t'), 'FAILED');
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failure: { reason: 'HANDLER_ERROR' } });
  });

  it('RELEASED is free: the task goes on at once, in its old place', () => {
    const { core, session } = running();
    const { tag, readyWallMs } = core.row('t');
    core.advance(50, core.submitInput('later'));
    core.report(session, core.ref('t'), 'RELEASED');
    expect(core.row('t')).toMatchObject({
      state: 'RUNNING',
      attempt: 2,
      tag,
      readyWallMs,
      releaseCount: 1,
      failureCount: 0,
    });
  });

  it('RELEASED for the second time in a row waits 200 ms, then twice that, up to 30 s', () => {
    const { core, session } = running();
    core.report(session, core.ref('t'), 'RELEASED');
    const waits: number[] = [];
    for (let n = 2; n <= 11; n += 1) {
      core.report(session, core.ref('t'), 'RELEASED');
      const dueMs = (core.row('t').dueWallMs ?? 0) - core.wallMs;
      waits.push(dueMs);
      core.advance(0);
      expect(core.row('t').state).toBe('SCHEDULED');
      core.advanceAlive(dueMs, session);
      expect(core.row('t').state).toBe('RUNNING');
    }
    expect(waits).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
    expect(core.row('t')).toMatchObject({ releaseCount: 11, releaseStreak: 11, failureCount: 0 });
  });

  it('a failure between two free ends begins the row anew', () => {
    const { core, session } = running();
    core.report(session, core.ref('t'), 'RELEASED');
    core.draws.push(0);
    core.report(session, core.ref('t'), 'FAILED');
    core.report(session, core.ref('t'), 'RELEASED');
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', releaseCount: 2, releaseStreak: 1 });
  });

  it('WORKER_LOST, started, by a proven death is a crash; three are POISON with the evidence', () => {
    const { core } = running();
    core.draws.push(0, 0, 0);
    crash(core, 2);
    expect(core.row('t')).toMatchObject({
      state: 'RUNNING',
      attempt: 2,
      crashCount: 1,
      failureCount: 0,
      releaseCount: 0,
    });
    crash(core, 3);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 3, crashCount: 2 });
    core.hello('w', { incarnation: 'w#4', replaces: ['w#3'] });
    expect(core.row('t')).toMatchObject({
      state: 'DEAD_LETTERED',
      crashCount: 3,
      failure: { reason: 'POISON', message: expect.stringContaining('w, w, w') as string },
    });
  });

  it('three crashes are POISON whatever max_attempts says', () => {
    const { core } = running({ retry: { maxAttempts: 50 } });
    core.draws.push(0, 0, 0);
    for (const n of [2, 3]) crash(core, n);
    core.hello('w', { incarnation: 'w#4', replaces: ['w#3'] });
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failure: { reason: 'POISON' } });
  });

  it('WORKER_LOST by a proven death before its handler was entered is free', () => {
    const core = new CoreDriver();
    core.hello('w');
    core.submit('t');
    core.hello('w', { incarnation: 'w#2', replaces: ['w#1'] });
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2, crashCount: 0, releaseCount: 1 });
  });

  it('WORKER_LOST, started, by silence is free once and a crash the second time', () => {
    const { core } = running();
    core.advance(LEASE_END_MS);
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', releaseCount: 1, crashCount: 0, silenceCount: 1 });
    const session = core.hello('v');
    core.start(session, core.ref('t'));
    core.draws.push(0);
    core.advance(LEASE_END_MS);
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', releaseCount: 1, crashCount: 1, silenceCount: 2 });
  });

  it('WORKER_LOST by silence before its handler was entered stays free', () => {
    const core = new CoreDriver();
    core.submit('t');
    for (const id of ['u', 'v', 'w']) {
      core.hello(id);
      expect(core.row('t').state).toBe('RUNNING');
      core.advance(LEASE_END_MS);
      core.advance(1_000);
    }
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', releaseCount: 3, crashCount: 0 });
  });

  it('keeps the newest attempts in a bounded history', () => {
    const core = new CoreDriver({ maxHistory: 2 });
    const session = core.hello('w');
    core.submit('t', { retry: { maxAttempts: 10, initialBackoffMs: 1 } });
    for (let n = 1; n <= 4; n += 1) {
      core.draws.push(0);
      core.report(session, core.ref('t'), 'FAILED');
    }
    expect(core.row('t').history.map(({ attempt }) => attempt)).toEqual([3, 4]);
    expect(core.row('t').failureCount).toBe(4);
  });
});

describe('max_attempts 1 asks for at most one start', () => {
  const once = { retry: { maxAttempts: 1 } };

  it.each(['silent', 'died'])('lost (%s), it is a dead letter that says it may have been started', (how) => {
    const core = new CoreDriver();
    core.hello('w');
    core.submit('t', once);
    if (how === 'silent') core.advance(LEASE_END_MS);
    else core.hello('w', { incarnation: 'w#2', replaces: ['w#1'] });
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failure: { reason: 'MAYBE_STARTED' } });
  });

  it('released by its worker after its start, it is a dead letter', () => {
    const { core, session } = running(once);
    core.report(session, core.ref('t'), 'RELEASED');
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failure: { reason: 'MAYBE_STARTED' } });
  });

  it('given back unstarted, it goes on', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t', once);
    core.frame(session, { notStarted: [core.ref('t')] });
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2, releaseCount: 1 });
  });

  it('taken back from our outbox, it goes on', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t', once);
    core.step({ kind: 'suspect', sessionId: session, suspect: true, deaf: true, takenBack: [core.ref('t')] });
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', releaseCount: 1 });
  });

  it('lost with the coordinator and its worker, it is a dead letter', () => {
    const core = new CoreDriver();
    core.hello('w');
    core.submit('t', once);
    core.restart();
    core.advance(LEASE_END_MS);
    expect(core.row('t')).toMatchObject({ state: 'DEAD_LETTERED', failure: { reason: 'MAYBE_STARTED' } });
  });
});

describe('back-off', () => {
  it('is drawn evenly from 0 to initial x 2^(n-1), at most the largest', () => {
    const policy = { maxAttempts: 100, initialBackoffMs: 200, maxBackoffMs: 30_000, nonRetryableReasons: [] };
    for (const [count, bound] of [
      [1, 200],
      [2, 400],
      [8, 25_600],
      [9, 30_000],
      [2_000, 30_000],
    ] as const) {
      expect(retryDelayMs(policy, count, 0)).toBe(0);
      expect(retryDelayMs(policy, count, 0.5)).toBe(bound / 2);
      expect(retryDelayMs(policy, count, 1 - 1e-9)).toBe(bound - 1);
    }
  });

  it('grows with failures and crashes together, and not with free ends', () => {
    const { core, session } = running({ retry: { maxAttempts: 10 } });
    core.report(session, core.ref('t'), 'RELEASED');
    const waits: number[] = [];
    for (let n = 0; n < 3; n += 1) {
      core.draws.push(0.5);
      core.report(session, core.ref('t'), 'FAILED');
      waits.push((core.row('t').dueWallMs ?? 0) - core.wallMs);
      core.advanceAlive(waits.at(-1) ?? 0, session);
    }
    expect(waits).toEqual([100, 200, 400]);
  });

  it('counts on the monotonic clock', () => {
    const { core, session } = running();
    core.draws.push(0.5);
    core.report(session, core.ref('t'), 'FAILED');
    core.wallMs -= 3_600_000;
    core.advance(100);
    expect(core.row('t').state).toBe('RUNNING');
  });

  it('counts on the wall clock after a restart', () => {
    const { core, session } = running();
    core.draws.push(0.5);
    core.report(session, core.ref('t'), 'FAILED');
    core.restart();
    core.advance(99);
    expect(core.row('t').state).toBe('SCHEDULED');
    core.advance(1);
    expect(core.row('t').state).toBe('QUEUED');
  });

  it('after a failure gives a new place behind those that wait', () => {
    const { core, session } = running();
    core.submit('other');
    core.draws.push(0);
    core.report(session, core.ref('t'), 'FAILED');
    expect(core.assigned(session)).toEqual(['t', 'other']);
  });
});

describe('a crashed task', () => {
  /** Crashed tasks a and b that wait, each by the death of its own worker. */
  function twoCrashed(): CoreDriver {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 2 });
    core.submit('a');
    core.submit('b');
    core.frame(session, { started: [core.ref('a'), core.ref('b')] });
    core.draws.push(0, 0);
    core.hello('w', { incarnation: 'w#2', replaces: ['w#1'], taskTypes: { other: 1 } });
    expect([core.row('a').crashCount, core.row('b').crashCount]).toEqual([1, 1]);
    return core;
  }

  it('is the only such task of its worker; others of the class pass it', () => {
    const core = twoCrashed();
    const session = core.hello('v', { slots: 3 });
    core.submit('c');
    expect(core.assigned(session)).toEqual(['a', 'c']);
    expect(core.waiting('b')?.reason).toBe('CRASH_ISOLATION');
    core.report(session, core.ref('a'));
    expect(core.assigned(session)).toEqual(['a', 'c', 'b']);
  });

  it('goes to another worker that holds none', () => {
    const core = twoCrashed();
    const one = core.hello('one', { slots: 3 });
    const two = core.hello('two', { slots: 3 });
    expect([core.assigned(one), core.assigned(two)]).toEqual([['a'], ['b']]);
  });
});

describe('the coordinator by itself', () => {
  it('ends an attempt as TIMED_OUT long after its time-out, and keeps the slot until the worker confirms', () => {
    const { core, session } = running({ timeoutMs: 10_000, retry: { initialBackoffMs: 200 } });
    core.advanceAlive(10_000 + LIMIT_MS - 1, session);
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', failureCount: 0 });
    core.draws.push(0.5);
    core.advance(1);
    expect(core.row('t')).toMatchObject({ state: 'SCHEDULED', failureCount: 1, attemptOpen: true });
    expect(core.sent(session, 'cancel')).toMatchObject([{ reason: 'TIMED_OUT' }]);
    expect(core.worker('w').slotsUsed).toBe(1);
    core.submit('other');
    expect(core.waiting('other')?.reason).toBe('NO_FREE_SLOT');
  });

  it('takes a late report of what it has ended, and gives the charge back', () => {
    const { core, session } = running({ timeoutMs: 10_000 });
    core.draws.push(0.9);
    core.advanceAlive(10_000 + LIMIT_MS, session);
    expect(core.report(session, core.ref('t'))).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'SUCCEEDED', failureCount: 0 });
    expect(core.worker('w').slotsUsed).toBe(0);
  });

  it('never gives a worker a second attempt of what it still holds, and gives the next task in line', () => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 2 });
    core.submit('t', { timeoutMs: 1_000 });
    core.start(session, core.ref('t'));
    const stuck = core.ref('t');
    core.draws.push(0);
    core.advanceAlive(1_000 + LIMIT_MS, session);
    expect(core.row('t')).toMatchObject({ state: 'QUEUED', failureCount: 1 });
    expect(core.waiting('t')).toMatchObject({
      reason: 'NO_FREE_SLOT',
      message: expect.stringContaining('earlier attempt') as string,
    });
    core.submit('next');
    expect(core.row('next').state).toBe('RUNNING');
    const other = core.hello('v');
    expect(core.assigned(other)).toEqual(['t']);
    expect(core.report(session, stuck)).toBe('STALE_ATTEMPT');
    expect(core.worker('w').slotsUsed).toBe(1);
  });

  it('gives it back to the same worker when that has confirmed', () => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 2 });
    core.submit('t', { timeoutMs: 1_000 });
    core.start(session, core.ref('t'));
    core.draws.push(0, 0);
    core.advanceAlive(1_000 + LIMIT_MS, session);
    expect(core.report(session, core.ref('t'), 'TIMED_OUT')).toBe('');
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2, failureCount: 1 });
  });
});

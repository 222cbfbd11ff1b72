import { describe, expect, it } from 'vitest';
import type { AttemptFound, AuditLine, ClientLine, HarnessLine, Ledger, ProcessLine } from '../../chaos/ledger.js';
import { expectedDigest, type TaskKind, type TaskSpec } from '../../chaos/task-kinds.js';
import { judge, type Breach, type Verdict } from '../../chaos/verdict.js';

const TASK_ID = '01a20ef6-0000-7000-8000-000000000001';
const KEPT_MS = 60_000;
const [COORDINATOR, FIRST, SECOND] = [10, 20, 30];

/** A ledger that can be spoilt, line by line. */
class Draft implements Ledger {
  readonly clients: ClientLine[] = [];
  readonly handlers: ProcessLine[] = [];
  readonly harness: HarnessLine[] = [];
  readonly audits: AuditLine[] = [];
  readonly spec: TaskSpec;

  constructor(kind: TaskKind = 'slow', more: Partial<TaskSpec> = {}) {
    const nothing = { failures: 0, bytes: 10, priority: 10, maxAttempts: 3, cancelAfterMs: null, deadline: null };
    this.spec = { taskId: TASK_ID, kind, via: 'submit', workMs: 500, timeoutMs: 1_000, ...nothing, ...more };
  }

  submit(): this {
    this.clients.push(
      { is: 'submitting', tMs: 100, spec: this.spec },
      { is: 'acknowledged', tMs: 110, taskId: TASK_ID },
    );
    return this;
  }

  enter(attempt: number, pid: number, tMs: number): this {
    const of = { taskId: TASK_ID, attempt, pid };
    this.handlers.push({ is: 'entered', tMs, ...of, workerId: `worker-${pid}`, incarnation: '' });
    return this;
  }

  alive(pid: number, ...times: number[]): this {
    this.handlers.push(...times.map((tMs) => ({ is: 'alive', tMs, pid }) as const));
    return this;
  }

  abort(attempt: number, pid: number, tMs: number): this {
    this.handlers.push({ is: 'aborted', tMs, taskId: TASK_ID, attempt, pid, cause: 'LEASE_LOST' });
    return this;
  }

  leave(attempt: number, pid: number, tMs: number, how: 'returned' | 'threw' = 'returned'): this {
    this.handlers.push({ is: 'left', tMs, taskId: TASK_ID, attempt, pid, how });
    return this;
  }

  see(state = 'SUCCEEDED', reason = '', digest = this.digest(state)): this {
    this.clients.push({ is: 'seen', tMs: 9_000, taskId: TASK_ID, state, reason, digest });
    return this;
  }

  find(attempts: readonly Partial<AttemptFound>[], state = 'SUCCEEDED', reason = ''): this {
    const nothing = { workerId: '', outcome: '', charge: '', reason: '' };
    this.audits.push({
      ...{
        is: 'found',
        tMs: 20_000,
        taskId: TASK_ID,
        state,
        reason,
        digest: this.digest(state),
        standing: '',
        endTime: '',
      },
      attempts: attempts.map((attempt, index) => ({ attempt: index + 1, ...nothing, ...attempt })),
    });
    return this;
  }

  fault(kind: 'kill' | 'stop', pid: number, tMs: number): this {
    this.harness.push({ is: 'fault', tMs, id: tMs, kind, seat: `seat-${pid}`, role: 'worker', pid });
    return this;
  }

  end(pid: number, code: number | null, signal: string | null, asked: 'SIGKILL' | null = null): this {
    const role = pid === COORDINATOR ? 'coordinator' : 'worker';
    this.harness.push({ is: 'ended', tMs: 15_000, seat: `seat-${pid}`, role, pid, code, signal, asked });
    return this;
  }

  private digest(state: string): string | null {
    return state === 'SUCCEEDED' ? expectedDigest(this.spec) : null;
  }
}

function broken(ledger: Ledger, left: string[] = []): [Breach, number][] {
  const { breaches, isGood } = judge(ledger, { left, keptMs: KEPT_MS });
  const found = Object.entries(breaches).flatMap(([name, list]) =>
    list.length === 0 ? [] : [[name, list.length] as [Breach, number]],
  );
  expect(isGood).toBe(found.length === 0);
  return found;
}

/** A task whose worker is killed, and which ends at another one. */
function killedOnce(): Draft {
  return new Draft()
    .submit()
    .enter(1, FIRST, 200)
    .alive(FIRST, 400, 600)
    .fault('kill', FIRST, 700)
    .end(FIRST, null, 'SIGKILL', 'SIGKILL')
    .enter(2, SECOND, 5_000)
    .leave(2, SECOND, 5_500)
    .see()
    .find([{ outcome: 'WORKER_LOST', charge: 'FREE' }, { outcome: 'SUCCEEDED' }]);
}

describe('the verdict on a ledger', () => {
  it('should be good where a worker was killed and its task ended elsewhere, and say why it ran twice', () => {
    const ledger = killedOnce();
    expect(broken(ledger)).toEqual([]);
    expect(judge(ledger, { left: [], keptMs: KEPT_MS })).toMatchObject({
      submitted: 1,
      acknowledged: 1,
      ends: { SUCCEEDED: 1 },
      executions: 2,
      executedAgain: 1,
      repeats: { 'its worker was killed': 1 },
      kills: 1,
      recovery: [{ count: 1, longestMs: 4_300 }],
    } satisfies { [Key in keyof Verdict]?: unknown });
  });

  const once = [{ outcome: 'SUCCEEDED' }];
  const ran = (draft: Draft): Draft => draft.submit().enter(1, FIRST, 200).leave(1, FIRST, 700);
  const twice = (draft: Draft): Draft => draft.submit().enter(1, FIRST, 200).fault('stop', FIRST, 300);
  const lostOnce = [{ outcome: 'WORKER_LOST', charge: 'FREE' }, { outcome: 'SUCCEEDED' }];
  const cases: Record<string, readonly [Ledger, ...[Breach, number][]]> = {
    'an acknowledged task that has not ended': [ran(new Draft()).see().find([{}], 'RUNNING'), ['lost', 1]],
    'an acknowledged task that is not known': [ran(new Draft()).see().find([], 'UNKNOWN_TASK'), ['lost', 1]],
    'a task that is purged too soon': [ran(new Draft()).see().find([], 'PURGED'), ['lost', 1]],
    'a task whose end no client saw': [ran(new Draft()).find(once), ['unfinished', 1]],
    'a task that ended in two ways': [
      ran(new Draft('cancelled')).see('CANCELLED', 'CANCELLED').find(once),
      ['endedTwice', 1],
    ],
    "another task's result": [
      ran(new Draft()).see('SUCCEEDED', '', 'other').find([], 'PURGED'),
      ['lost', 1],
      ['wrongAnswer', 1],
    ],
    'a dead letter that nothing explains': [
      ran(new Draft())
        .see('DEAD_LETTERED', 'HANDLER_ERROR')
        .find([{ outcome: 'FAILED' }], 'DEAD_LETTERED', 'HANDLER_ERROR'),
      ['wrongEnd', 1],
    ],
    'a poisonous task that succeeded': [ran(new Draft('poison')).see().find(once), ['wrongEnd', 1]],
    'a second start of a task that may have one': [
      twice(new Draft('once', { maxAttempts: 1 }))
        .enter(2, SECOND, 5_000)
        .leave(2, SECOND, 5_500)
        .see()
        .find(lostOnce),
      ['startedAgain', 1],
    ],
    'one attempt at two workers': [
      twice(new Draft()).enter(1, SECOND, 5_000).leave(1, SECOND, 5_500).see().find(lostOnce),
      ['enteredTwice', 1],
    ],
    'an earlier attempt that goes on, untold': [
      twice(new Draft()).alive(FIRST, 5_200).enter(2, SECOND, 5_000).leave(2, SECOND, 5_500).see().find(lostOnce),
      ['overlaps', 1],
    ],
    'an earlier attempt that returns, untold': [
      twice(new Draft()).leave(1, FIRST, 5_400).enter(2, SECOND, 5_000).leave(2, SECOND, 5_500).see().find(lostOnce),
      ['overlaps', 1],
    ],
    'a repeat without a cause': [
      new Draft().submit().enter(1, FIRST, 200).enter(2, SECOND, 5_000).leave(2, SECOND, 5_500).see().find(lostOnce),
      ['unexplained', 1],
    ],
    'a failure charged to a handler that did not fail': [
      killedOnce().find([{ outcome: 'FAILED', charge: 'FAILURE' }, { outcome: 'SUCCEEDED' }]),
      ['wronglyCharged', 1],
    ],
    'a task that nobody has submitted': [new Draft().find(once), ['strangers', 1]],
    'a coordinator that ends with a status for bugs': [
      ran(new Draft()).see().find(once).end(COORDINATOR, 70, null),
      ['strangeExits', 1],
    ],
    'a worker that somebody else has killed': [
      ran(new Draft()).see().find(once).end(FIRST, null, 'SIGKILL'),
      ['strangeExits', 1],
    ],
  };
  for (const [what, [ledger, ...breaches]] of Object.entries(cases)) {
    it(`should tell ${what}`, () => expect(broken(ledger)).toEqual(breaches));
  }

  it('should tell a process that is left, and an answer that no fault explains', () => {
    const ledger = ran(new Draft()).see().find(once);
    ledger.clients.push({ is: 'trouble', tMs: 500, taskId: TASK_ID, reason: 'INTERNAL', message: 'oops' });
    expect(broken(ledger, ['process 99'])).toEqual([
      ['strangeErrors', 1],
      ['leftProcesses', 1],
    ]);
  });

  it('should not take an attempt for running once its signal is aborted', () => {
    const ledger = twice(new Draft()).abort(1, FIRST, 4_000).alive(FIRST, 5_200).leave(1, FIRST, 5_400, 'threw');
    expect(broken(ledger.enter(2, SECOND, 5_000).leave(2, SECOND, 5_500).see().find(lostOnce))).toEqual([]);
  });

  it('should not take a process for running that has just woken, but one that goes on', () => {
    const woken = (): Draft => twice(new Draft()).enter(2, SECOND, 5_000).leave(2, SECOND, 5_500).see().find(lostOnce);
    const gap = { is: 'gap', fromMs: 350, tMs: 5_600, pid: FIRST } as const;
    const short = woken().alive(FIRST, 6_000);
    short.handlers.push(gap);
    expect(broken(short)).toEqual([]);
    const long = woken().alive(FIRST, 6_000, 6_900);
    long.handlers.push(gap);
    expect(broken(long)).toEqual([['overlaps', 1]]);
  });
});

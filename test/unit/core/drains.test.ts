import { describe, expect, it } from 'vitest';
import { fits } from '../../../coordinator/core/pattern.js';
import type { Reply } from '../../../coordinator/core/outputs.js';
import { CoreDriver, LEASE_END_MS } from './support.js';

function drain(core: CoreDriver, ...patterns: string[]): Reply {
  return core.ask((token) => ({ kind: 'drain', token, patterns, whenIdle: false }));
}

function resume(core: CoreDriver, ...patterns: string[]): Reply {
  return core.ask((token) => ({ kind: 'resume', token, patterns }));
}

describe("an operator's drain", () => {
  it('keeps new work from the workers that fit, and leaves them what they run', () => {
    const core = new CoreDriver();
    const session = core.hello('host-1/a', { slots: 2 });
    core.submit('first');
    expect(drain(core, 'host-1/*')).toEqual({ kind: 'drained', workers: [{ workerId: 'host-1/a', attempts: 1 }] });
    core.submit('second');
    expect(core.assigned(session)).toEqual(['first']);
    expect(core.waiting('second')?.reason).toBe('NO_READY_WORKER');
    expect(core.worker('host-1/a')).toMatchObject({ state: 'DRAINING', attempts: [{ taskId: 'first' }] });
    expect(core.worker('host-1/a').stateMessage).toContain('an operator drained "host-1/*"');
    expect(core.report(session, core.ref('first'))).toBe('');
    expect(core.row('first').state).toBe('SUCCEEDED');
    expect(core.row('second').state).toBe('QUEUED');
  });

  it('holds for a worker that comes back, for one that is new, and after a restart of the coordinator', () => {
    const core = new CoreDriver();
    drain(core, 'w*');
    core.hello('w-1');
    core.submit('t');
    expect(core.assigned()).toEqual([]);
    core.restart();
    core.hello('w-1', { sessionNumber: 2 });
    core.hello('w-2');
    expect(core.assigned()).toEqual([]);
    core.hello('x');
    expect(core.assigned()).toEqual(['t']);
  });

  it('keeps a worker known whose stream ends while it is drained and idle', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    drain(core, 'w');
    core.step({ kind: 'sessionEnded', sessionId: session });
    expect(core.worker('w').state).toBe('DISCONNECTED');
  });

  it('is given up by its own words, or by a pattern of them', () => {
    const core = new CoreDriver();
    core.hello('a/1');
    core.hello('b/1');
    drain(core, 'a/*', 'b/1');
    core.submit('t');
    core.submit('u');
    expect(resume(core, 'a/1')).toEqual({ kind: 'drainNotFound', pattern: 'a/1', held: ['a/*', 'b/1'] });
    expect(resume(core, 'a/*')).toMatchObject({ kind: 'resumed', drains: [{ pattern: 'a/*' }], resumedWorkers: 1 });
    expect(core.assigned()).toEqual(['t']);
    expect(resume(core, '*')).toMatchObject({ kind: 'resumed', drains: [{ pattern: 'b/1' }], resumedWorkers: 1 });
    expect(core.assigned()).toEqual(['t', 'u']);
    expect([...core.storedDrains]).toEqual([]);
  });

  it('gives up nothing when one of the patterns fits no drain', () => {
    const core = new CoreDriver();
    core.hello('a');
    drain(core, 'a');
    expect(resume(core, 'a', 'b').kind).toBe('drainNotFound');
    expect(core.worker('a').state).toBe('DRAINING');
  });

  it('keeps a worker drained as long as another drain fits it', () => {
    const core = new CoreDriver();
    core.hello('a/1');
    drain(core, 'a/*', 'a/1');
    expect(resume(core, 'a/1')).toMatchObject({ resumedWorkers: 0 });
    expect(core.worker('a/1').state).toBe('DRAINING');
  });

  it('is written once, with the time of the first', () => {
    const core = new CoreDriver();
    drain(core, 'a');
    const since = core.storedDrains.get('a');
    core.advance(1_000);
    drain(core, 'a', 'a');
    expect(core.lastResult?.writes).toEqual([]);
    expect(core.storedDrains.get('a')).toBe(since);
  });

  it('is refused beyond 1,000', () => {
    const core = new CoreDriver();
    for (let n = 0; n < 10; n += 1) {
      expect(drain(core, ...Array.from({ length: 100 }, (_, i) => `w${n}-${i}`)).kind).toBe('drained');
    }
    expect(drain(core, 'one-more')).toEqual({ kind: 'tooManyDrains', limit: 1_000 });
    expect(drain(core, 'w0-0').kind).toBe('drained');
  });
});

describe('a drain that waits', () => {
  it('is answered when the last of its workers is idle', () => {
    const core = new CoreDriver();
    const [a, b] = [core.hello('a'), core.hello('b')];
    core.submit('t');
    core.submit('u');
    core.outputs = [];
    core.step({ kind: 'drain', token: 900, patterns: ['*'], whenIdle: true });
    core.report(a, core.ref(core.assignedTo('a')));
    expect(() => core.replyTo(900)).toThrow('no reply');
    core.report(b, core.ref(core.assignedTo('b')));
    expect(core.replyTo(900)).toEqual({
      kind: 'drained',
      workers: [
        { workerId: 'a', attempts: 0 },
        { workerId: 'b', attempts: 0 },
      ],
    });
  });

  it('is answered at once when all are idle, or nobody fits', () => {
    const core = new CoreDriver();
    core.hello('a');
    core.step({ kind: 'drain', token: 900, patterns: ['a'], whenIdle: true });
    expect(core.replyTo(900)).toEqual({ kind: 'drained', workers: [{ workerId: 'a', attempts: 0 }] });
    core.step({ kind: 'drain', token: 901, patterns: ['nobody'], whenIdle: true });
    expect(core.replyTo(901)).toEqual({ kind: 'drained', workers: [] });
  });

  it('waits for a process that has lost the id and still runs something under its lease', () => {
    const core = new CoreDriver();
    core.hello('a', { incarnation: 'old' });
    core.submit('t');
    const session = core.hello('a', { incarnation: 'new' });
    core.step({ kind: 'drain', token: 900, patterns: ['a'], whenIdle: true });
    expect(() => core.replyTo(900)).toThrow('no reply');
    core.advanceAlive(LEASE_END_MS, session);
    expect(core.replyTo(900)).toMatchObject({ workers: [{ workerId: 'a', attempts: 0 }] });
  });

  it('is answered as it stands when its caller has waited long enough', () => {
    const core = new CoreDriver();
    core.hello('a');
    core.submit('t');
    core.step({ kind: 'drain', token: 900, patterns: ['a'], whenIdle: true });
    core.step({ kind: 'stopWaiting', token: 900 });
    expect(core.replyTo(900)).toEqual({ kind: 'drained', workers: [{ workerId: 'a', attempts: 1 }] });
    expect(core.state.drainWaits).toEqual([]);
  });
});

describe('a pattern', () => {
  it.each([
    ['w', 'w', true],
    ['w', 'w1', false],
    ['w*', 'w', true],
    ['w*', 'w/1', true],
    ['*', '', true],
    ['*/3', 'host/3', true],
    ['*/3', 'host/33', false],
    ['a*b*c', 'a--b-b--c', true],
    ['a*b*c', 'a--c--b', false],
    ['**', 'x', true],
    ['*a*a*a*a*a*a*a*a*b', 'a'.repeat(127), false],
  ])('%s stands for %s: %s', (pattern, text, expected) => {
    expect(fits(pattern, text)).toBe(expected);
  });
});

describe('the list of queues', () => {
  it('shows types that have tasks or workers, with what waits longest and what is free', () => {
    const core = new CoreDriver();
    core.hello('w', { slots: 4, taskTypes: { a: 2, idle: 4 } });
    const startMs = core.wallMs;
    core.submit('1', { type: 'a' });
    core.submit('2', { type: 'nobody' });
    core.advance(1_000, core.submitInput('3', { type: 'nobody' }));
    core.submit('4', { type: 'later', runTimeWallMs: core.wallMs + 60_000 });
    const reply = core.ask((token) => ({ kind: 'listQueues', token, afterType: '', limit: 10 }));
    const none = { scheduled: 0, queued: 0, running: 0 };
    expect(reply).toEqual({
      kind: 'queues',
      more: false,
      queues: [
        { type: 'a', tasks: { ...none, running: 1 }, oldestReadyWallMs: null, readyWorkers: 1, slots: 2, slotsFree: 1 },
        { type: 'idle', tasks: none, oldestReadyWallMs: null, readyWorkers: 1, slots: 4, slotsFree: 3 },
        {
          type: 'later',
          tasks: { ...none, scheduled: 1 },
          ...{ oldestReadyWallMs: null, readyWorkers: 0, slots: 0, slotsFree: 0 },
        },
        {
          type: 'nobody',
          tasks: { ...none, queued: 2 },
          ...{ oldestReadyWallMs: startMs, readyWorkers: 0, slots: 0, slotsFree: 0 },
        },
      ],
    });
  });

  it('goes on after the type that it is told', () => {
    const core = new CoreDriver();
    for (const type of ['a', 'b', 'c']) core.submit(type, { type });
    const reply = core.ask((token) => ({ kind: 'listQueues', token, afterType: 'a', limit: 1 }));
    expect(reply).toMatchObject({ more: true, queues: [{ type: 'b' }] });
  });
});

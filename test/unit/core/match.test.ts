import { describe, expect, it } from 'vitest';
import { CoreDriver } from './support.js';

describe('who gets it', () => {
  it('goes to the worker with the smallest share of its slots in use', () => {
    const core = new CoreDriver();
    const small = core.hello('small', { slots: 2 });
    const large = core.hello('large', { slots: 8 });
    for (let n = 0; n < 10; n += 1) core.submit(`t${n}`);
    expect([core.assigned(small).length, core.assigned(large).length]).toEqual([2, 8]);
    core.report(large, core.ref(core.assigned(large)[0] ?? ''));
    core.report(small, core.ref(core.assigned(small)[0] ?? ''));
    core.outputs = [];
    core.submit('x');
    // 1 of 2 against 7 of 8.
    expect(core.assigned(small)).toEqual(['x']);
  });

  it('counts what the same step has handed out: a burst fills the slots of all, and no more', () => {
    const core = new CoreDriver();
    const sessions = [1, 2, 4].map((slots) => core.hello(`w${slots}`, { slots, taskTypes: { a: slots, b: slots } }));
    const burst = (name: string) =>
      Array.from({ length: 10 }, (_, n) => core.submitInput(`${name}${n}`, { type: n % 2 === 0 ? 'a' : 'b' }));
    core.step(...burst('first'));
    expect(sessions.map((session) => core.assigned(session).length)).toEqual([1, 2, 4]);
    expect(core.waiting('first9')?.reason).toBe('NO_FREE_SLOT');
    // Nobody has said yet that anything has arrived.
    core.step(...burst('second'));
    expect(core.assigned()).toHaveLength(7);
  });

  it('breaks ties by the most recently used, so that caches stay warm', () => {
    const core = new CoreDriver();
    const sessions = ['a', 'b', 'c'].map((id) => core.hello(id));
    core.submit('t0');
    const used = sessions.find((session) => core.assigned(session).length > 0) ?? 0;
    for (let n = 1; n < 5; n += 1) {
      core.report(used, core.ref(`t${n - 1}`));
      core.submit(`t${n}`);
    }
    expect(core.assigned(used)).toHaveLength(5);
  });

  it('takes turns with round-robin', () => {
    const core = new CoreDriver({ balancing: 'round-robin' });
    const sessions = ['a', 'b', 'c'].map((id) => core.hello(id, { slots: 4 }));
    for (let n = 0; n < 6; n += 1) core.submit(`t${n}`);
    expect(sessions.map((session) => core.assigned(session).length)).toEqual([2, 2, 2]);
  });

  it('requires all labels', () => {
    const core = new CoreDriver();
    core.hello('plain');
    core.hello('half', { labels: { zone: 'a' } });
    const requiredLabels = { zone: 'a', gpu: 'yes' };
    expect(core.submit('t', { requiredLabels })).toMatchObject({ state: 'QUEUED', capableWorkers: 0 });
    expect(core.waiting('t')).toMatchObject({
      reason: 'NO_WORKER_WITH_LABELS',
      message: expect.stringContaining('zone=a, gpu=yes') as string,
    });
    const full = core.hello('full', { labels: { zone: 'a', gpu: 'yes', more: 'x' } });
    expect(core.assigned(full)).toEqual(['t']);
  });

  it('treats the same labels in another order as the same class', () => {
    const core = new CoreDriver();
    core.submit('a', { requiredLabels: { x: '1', y: '2' } });
    core.submit('b', { requiredLabels: { y: '2', x: '1' } });
    expect(core.state.matcher.classes.size).toBe(1);
  });

  it('honours the cap of a type, and its other slots go to other types', () => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 3, taskTypes: { rare: 1, work: 3 } });
    for (const id of ['r1', 'r2']) core.submit(id, { type: 'rare' });
    for (const id of ['w1', 'w2', 'w3']) core.submit(id);
    expect(core.assigned(session)).toEqual(['r1', 'w1', 'w2']);
    expect(core.waiting('r2')?.reason).toBe('NO_FREE_SLOT');
    core.report(session, core.ref('w1'));
    expect(core.assigned(session)).toEqual(['r1', 'w1', 'w2', 'w3']);
    core.report(session, core.ref('r1'));
    expect(core.assigned(session).at(-1)).toBe('r2');
  });

  it('never gives a worker more than its slots and its prefetch', () => {
    const core = new CoreDriver();
    const session = core.hello('w', { slots: 2, prefetch: 1 });
    for (let n = 0; n < 6; n += 1) core.submit(`t${n}`);
    expect(core.assigned(session)).toHaveLength(3);
    expect(core.worker('w').slotsUsed).toBe(3);
  });

  it('forgets the class that has been idle for longest at the bound', () => {
    const core = new CoreDriver({ maxIdleClasses: 2 });
    const session = core.hello('w', { taskTypes: { a: 1, b: 1, c: 1 } });
    for (const type of ['a', 'b', 'c', 'a', 'b', 'c']) {
      core.submit(`${type}${core.monoMs}`, { type });
      core.report(session, core.ref(`${type}${core.monoMs}`));
      core.advance(1);
    }
    expect(core.state.matcher.classes.size).toBe(2);
  });

  it.each([
    ['suspect', 'NO_READY_WORKER'],
    ['draining', 'NO_READY_WORKER'],
    ['disconnected', 'NO_READY_WORKER'],
    ['busy', 'NO_FREE_SLOT'],
  ])('gives nothing to a worker that is %s, and says %s', (state, reason) => {
    const core = new CoreDriver();
    const session = core.hello('w');
    if (state === 'suspect')
      core.step({ kind: 'suspect', sessionId: session, suspect: true, deaf: true, takenBack: [] });
    if (state === 'draining') core.frame(session, { leaving: { drainTimeoutMs: 1 } });
    if (state === 'disconnected') {
      core.submit('held');
      core.step({ kind: 'sessionEnded', sessionId: session });
    }
    if (state === 'busy') core.submit('held');
    core.outputs = [];
    core.submit('t');
    expect(core.assigned()).toEqual([]);
    expect(core.waiting('t')?.reason).toBe(reason);
  });

  it('gives a reason to what waits for its back-off', () => {
    const core = new CoreDriver();
    const session = core.hello('w');
    core.submit('t');
    core.draws.push(0.5);
    core.report(session, core.ref('t'), 'FAILED');
    expect(core.waiting('t')).toMatchObject({ reason: 'BACKOFF' });
  });

  it('gives no reason to what runs', () => {
    const core = new CoreDriver();
    core.hello('w');
    core.submit('t');
    expect(core.waiting('t')).toBeNull();
  });
});

describe('a retry', () => {
  it('prefers a worker on which it has not failed', () => {
    const core = new CoreDriver();
    const one = core.hello('one', { slots: 4 });
    core.submit('t');
    const two = core.hello('two', { slots: 1 });
    core.draws.push(0);
    core.report(one, core.ref('t'), 'FAILED');
    expect(core.row('t')).toMatchObject({ state: 'RUNNING', attempt: 2, workerId: 'two' });
    core.hello('three');
    core.draws.push(0);
    core.report(two, core.ref('t'), 'FAILED');
    expect(core.row('t')).toMatchObject({ attempt: 3, workerId: 'three' });
  });

  it('does not wait for one', () => {
    const core = new CoreDriver();
    const one = core.hello('one');
    core.submit('t');
    core.hello('two');
    core.submit('filler');
    core.draws.push(0);
    core.report(one, core.ref('t'), 'FAILED');
    expect(core.row('t')).toMatchObject({ attempt: 2, workerId: 'one' });
  });
});

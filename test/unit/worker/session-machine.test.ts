import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { CancelReason } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { EXIT_RECYCLE } from '../../../worker/session-effects.js';
import { ref, outcomes, Rig, THREW } from './machine-support.js';

describe('the stream', () => {
  it('should say who it is and nothing else until it is welcomed', () => {
    const rig = new Rig();
    const hello = rig.connect();
    expect(hello.hello).toMatchObject({
      ...{ workerId: 'w/0', sessionNumber: 1, replaces: ['b'.repeat(32)], slots: 2, prefetch: 1 },
      ...{ running: [], unsentReports: [], labels: { zone: 'a' } },
    });
    expect(hello.seq).toBe(1n);
    expect(rig.machine.state.t).toBe('Open');
    expect(rig.events).toEqual(['welcome']);
  });

  it('should give up a coordinator whose first frame is no welcome', () => {
    const rig = new Rig();
    rig.machine.start(rig.nowMs);
    rig.turn();
    rig.machine.opened(1);
    rig.turn();
    rig.say({ drain: { deadlineMs: 1 } });
    expect(rig.machine.state.t).toBe('BackingOff');
    expect(rig.effects.at(-1)).toMatchObject({ event: { reason: 'FIRST_FRAME_NOT_WELCOME' } });
  });

  it('should dial again after 100 ms to 1 s, with rising session numbers, and ignore older streams', () => {
    const rig = new Rig();
    rig.machine.start(rig.nowMs);
    const waits: number[] = [];
    for (let dial = 1; dial <= 6; dial += 1) {
      rig.turn();
      expect(rig.sessionNumber).toBe(dial);
      rig.cut();
      const { state } = rig.machine;
      if (state.t !== 'BackingOff') throw new Error(state.t);
      waits.push(Math.round(state.dialAtMs - rig.nowMs));
      rig.advance(state.dialAtMs - rig.nowMs);
    }
    expect(waits).toEqual([150, 250, 450, 550, 550, 550]);
    rig.machine.ended(rig.nowMs, 3, { code: 'UNAVAILABLE', reason: '', message: 'late' });
    expect(rig.machine.state.t).toBe('Dialling');
  });

  it('should give up a dial that brings no welcome', () => {
    const rig = new Rig();
    rig.machine.start(rig.nowMs);
    rig.turn();
    rig.machine.opened(1);
    rig.advance(10_000);
    expect(rig.effects.filter(({ kind }) => kind === 'hangUp')).toHaveLength(1);
    expect(rig.machine.state.t).toBe('BackingOff');
  });

  it('should wait longer for something that is no coordinator', () => {
    const rig = new Rig();
    rig.machine.start(rig.nowMs);
    rig.turn();
    rig.cut({ code: 'UNIMPLEMENTED' });
    expect(rig.machine.state).toMatchObject({ t: 'BackingOff', dialAtMs: rig.nowMs + 10_000 });
  });

  it('should end with 2 when the coordinator refuses what it says', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.cut({ code: 'INVALID_ARGUMENT', reason: 'INVALID_HELLO', message: 'labels' });
    expect(rig.exit).toMatchObject({ code: 2, message: 'the coordinator refuses this worker: labels' });
    expect(rig.aborts).toEqual(['t:WORKER_FAILED']);
    expect(rig.machine.deadlineMs()).toBe(Infinity);
  });

  it('should end with 2 when its hello is refused without a reason of ours', () => {
    const rig = new Rig();
    rig.machine.start(rig.nowMs);
    rig.turn();
    rig.machine.opened(rig.sessionNumber);
    rig.turn();
    rig.cut({ code: 'INVALID_ARGUMENT' });
    expect(rig.exit?.code).toBe(2);
  });

  it('should go on, and dial again later, when a frame is refused after the welcome', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.cut({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FRAME', message: 'frame.seq: is 7' });
    expect(rig.machine.state).toMatchObject({ t: 'BackingOff', dialAtMs: rig.nowMs + 10_000 });
    expect({ exit: rig.exit, aborts: rig.aborts }).toEqual({ exit: undefined, aborts: [] });
    expect(rig.connect({ keep: [ref('t')] }).hello?.running).toMatchObject([{ attempt: { taskId: 't' } }]);
  });

  it('should abort and end with 78 when superseded, after its handlers have settled', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.cut({ code: 'ABORTED', reason: 'SUPERSEDED', message: 'taken' });
    expect(rig.aborts).toEqual(['t:SUPERSEDED']);
    expect(rig.exit).toBeUndefined();
    rig.settle('t', THREW);
    expect(rig.exit).toEqual({ code: 78, message: 'taken' });
    expect(rig.reports).toEqual([]);
  });

  it('should end with 78 after 5 s although a handler has not settled', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.cut({ code: 'ABORTED', reason: 'SUPERSEDED', message: 'taken' });
    rig.advance(5_000);
    expect(rig.exit?.code).toBe(78);
  });

  it('should send heartbeats at the interval of the coordinator', () => {
    const rig = new Rig();
    rig.connect({ heartbeatIntervalMs: 1_000 });
    rig.advance(3_500, { acknowledge: true });
    expect(rig.frames.filter(({ heartbeat }) => heartbeat !== undefined)).toHaveLength(4);
    expect(rig.frames.at(-1)?.heartbeat).toMatchObject({ cpuMillis: 1, rssBytes: 2n, handlerLoopLagMs: 3 });
  });

  it('should acknowledge by itself within 200 ms, once', () => {
    const rig = new Rig();
    rig.connect();
    rig.advance(1_000);
    rig.assign(['t']);
    const before = rig.frames.length;
    rig.advance(200);
    expect(rig.frames.slice(before)).toMatchObject([{ seq: 0n, ack: 2n }]);
  });

  it('should drop a stream whose frames are unacknowledged for half a lease, and let handlers run on', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.advance(7_400);
    expect(rig.machine.state.t).toBe('Open');
    rig.advance(200);
    expect(rig.machine.state.t).not.toBe('Open');
    expect(rig.aborts).toEqual([]);
    expect(rig.connect({ keep: [ref('t')] }).hello?.running).toMatchObject([
      { attempt: { taskId: 't' }, started: true },
    ]);
  });
});

describe('attempts', () => {
  it('should hand out as many as there are slots, and caps of types, and keep the rest', () => {
    const rig = new Rig();
    rig.connect();
    rig.assign(['a', { type: 'rare' }], ['b', { type: 'rare' }], ['c']);
    expect(rig.run).toEqual(['a', 'c']);
    rig.settle('a');
    expect(rig.run).toEqual(['a', 'c', 'b']);
  });

  it('should ignore an assignment that it has seen, running or reported', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.assign(['t']);
    rig.settle('t');
    rig.acknowledge('t');
    rig.assign(['t']);
    expect(rig.run).toEqual(['t']);
    expect(rig.notStarted).toEqual([]);
  });

  it('should give back what is over its capacity or of a type that it does not handle', () => {
    const rig = new Rig();
    rig.connect();
    rig.assign(['a'], ['b'], ['c'], ['d'], ['e', { type: 'unknown' }]);
    expect(rig.run).toEqual(['a', 'b']);
    expect(rig.notStarted).toEqual(['d', 'e']);
    expect(rig.events.filter((name) => name === 'refused-assignment')).toHaveLength(2);
  });

  it('should say started, then report and repeat nothing once acknowledged', () => {
    const rig = new Rig();
    rig.connect();
    rig.assign(['t']);
    rig.nowMs += 7;
    rig.started('t');
    expect(rig.frames.at(-1)?.started).toMatchObject([{ taskId: 't' }]);
    rig.settle('t');
    expect(rig.reports).toMatchObject([
      { attempt: { taskId: 't' }, outcome: AttemptOutcome.SUCCEEDED, startDelayMs: 7, runMs: 5 },
    ]);
    rig.acknowledge('t');
    rig.cut();
    expect(rig.connect().hello?.unsentReports).toEqual([]);
  });

  it('should abort at the time-out, counted from the entry, and at the shorter one of the handler', () => {
    const rig = new Rig({ onStuck: 'report' });
    rig.connect();
    rig.assign(['t', { timeoutMs: 5_000 }], ['r', { type: 'rare' }]);
    rig.advance(3_000, { acknowledge: true });
    rig.started('t');
    rig.started('r');
    rig.advance(4_999, { acknowledge: true });
    expect(rig.aborts).toEqual(['r:TIMED_OUT']);
    rig.advance(1, { acknowledge: true });
    expect(rig.aborts).toEqual(['r:TIMED_OUT', 't:TIMED_OUT']);
    rig.settle('r', THREW);
    rig.settle('t');
    expect(outcomes(rig)).toEqual(['r:TIMED_OUT', 't:SUCCEEDED']);
    expect(rig.reports[0]?.failure).toMatchObject({ reason: 'TIMED_OUT', stack: 'stack' });
  });

  it.each([
    [CancelReason.REQUESTED, 'CANCELLED', 'CANCELLED', 'CANCELLED'],
    [CancelReason.DEADLINE, 'DEADLINE_PASSED', 'CANCELLED', 'DEADLINE_PASSED'],
    [CancelReason.TIMED_OUT, 'TIMED_OUT', 'TIMED_OUT', 'TIMED_OUT'],
    [CancelReason.FENCED, 'FENCED', 'RELEASED', 'RELEASED'],
    [99 as CancelReason, 'CANCELLED', 'CANCELLED', 'CANCELLED'],
  ])('should abort for cancel reason %s, and report the outcome', (reason, cause, outcome, failureReason) => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.say({ cancels: [{ attempt: ref('t'), reason }] });
    expect(rig.aborts).toEqual([`t:${cause}`]);
    rig.settle('t', THREW);
    expect(outcomes(rig)).toEqual([`t:${outcome}`]);
    expect(rig.reports[0]?.failure?.reason).toBe(failureReason);
  });

  it('should say started of a repeated attempt as it is handed over, and count its time-out from its entry', () => {
    const rig = new Rig();
    rig.connect();
    rig.assign(['a'], ['b', { attempt: 2, timeoutMs: 1_000 }]);
    const told = () => rig.frames.flatMap(({ started }) => started.map(({ taskId }) => taskId));
    expect(rig.run).toEqual(['a', 'b']);
    expect(told()).toEqual(['b']);
    rig.advance(1_500, { acknowledge: true });
    expect(rig.aborts).toEqual([]);
    rig.started('b', 2);
    rig.started('a');
    expect(told()).toEqual(['b', 'a']);
    rig.advance(1_000, { acknowledge: true });
    expect(rig.aborts).toEqual(['b:TIMED_OUT']);
  });

  it('should give a cancelled attempt back that has not started', () => {
    const rig = new Rig({ slots: 1 });
    rig.connect();
    rig.assign(['a'], ['b']);
    rig.say({ cancels: [{ attempt: ref('b'), reason: CancelReason.REQUESTED }] });
    expect(rig.notStarted).toEqual(['b']);
    rig.settle('a');
    expect(rig.run).toEqual(['a']);
  });

  it('should give back what is revoked before it has been handed out, and go on with the rest', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t', 'u');
    rig.assign(['waiting']);
    rig.say({ revokes: [ref('t'), ref('waiting'), ref('unknown')] });
    expect(rig.notStarted).toEqual(['waiting']);
    expect(rig.aborts).toEqual([]);
  });

  it('should not start what the same turn takes back again', () => {
    const rig = new Rig();
    rig.connect();
    const assignments = [{ attempt: ref('t'), type: 'work', timeoutMs: 1_000 }];
    // Two frames that a slow network has brought together: the turn comes after both.
    rig.hear({ assignments });
    rig.say({ revokes: [ref('t')] });
    expect(rig.run).toEqual([]);
    expect(rig.notStarted).toEqual(['t']);
  });

  it('should fail, not time out, an attempt whose result cannot be sent', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.say({ cancels: [{ attempt: ref('t'), reason: CancelReason.REQUESTED }] });
    rig.settle('t', {
      kind: 'refused',
      failure: { reason: 'RESULT_TOO_LARGE', message: '', stack: '', nonRetryable: true },
    });
    expect(outcomes(rig)).toEqual(['t:FAILED']);
  });

  it('should send the newest progress only, and none after the end', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    const content = { contentType: 'application/json', data: new Uint8Array([49]) };
    const { machine } = rig;
    for (const number of [1, 2, 3]) machine.progress('t/1/ffffffffffffffff', number, content);
    rig.turn();
    expect(rig.frames.flatMap(({ progress }) => progress)).toMatchObject([{ number: 3 }]);
    machine.progress('t/1/ffffffffffffffff', 4, content);
    rig.settle('t');
    expect(rig.frames.flatMap(({ progress }) => progress)).toHaveLength(1);
  });
});

describe('the return', () => {
  it('should send again, in order, only the reports that are wanted', () => {
    const rig = new Rig({ slots: 3 });
    rig.connect();
    rig.running('a', 'b', 'c');
    rig.cut();
    for (const taskId of ['c', 'a', 'b']) rig.settle(taskId);
    expect(rig.reports).toEqual([]);
    const hello = rig.connect({ wantedReports: [ref('b'), ref('c')] });
    expect(hello.hello?.unsentReports.map(({ taskId }) => taskId)).toEqual(['c', 'a', 'b']);
    expect(outcomes(rig)).toEqual(['c:SUCCEEDED', 'b:SUCCEEDED']);
    rig.acknowledge('b', 'c');
    rig.cut();
    expect(rig.connect().hello?.unsentReports).toEqual([]);
  });

  it('should go on with what is kept, and abort the rest without a report', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('a', 'b');
    rig.cut();
    rig.connect({ keep: [ref('a')], cancel: [ref('b')] });
    expect(rig.aborts).toEqual(['b:FENCED']);
    rig.settle('b', THREW);
    rig.settle('a');
    expect(outcomes(rig)).toEqual(['a:SUCCEEDED']);
  });

  it('should report what settled between hello and welcome, unless it is cancelled', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('a', 'b');
    rig.cut();
    rig.advance(1_000);
    rig.machine.opened(rig.sessionNumber);
    rig.turn();
    rig.settle('a');
    rig.settle('b');
    const terms = { heartbeatIntervalMs: 5_000, leaseMs: 15_000 };
    rig.say({ welcome: { ...terms, keep: [ref('a')], cancel: [ref('b')] } });
    expect(outcomes(rig)).toEqual(['a:SUCCEEDED']);
  });

  it('should say started for what started between hello and welcome', () => {
    const rig = new Rig();
    rig.connect();
    rig.assign(['a']);
    rig.cut();
    rig.advance(1_000);
    rig.machine.opened(rig.sessionNumber);
    rig.turn();
    rig.started('a');
    rig.say({ welcome: { heartbeatIntervalMs: 5_000, leaseMs: 15_000, keep: [ref('a')] } });
    expect(rig.frames.flatMap(({ started }) => started)).toMatchObject([{ taskId: 'a' }]);
  });

  it('should hand out a newer attempt of a task only when the older one here has settled', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.cut();
    rig.connect({ cancel: [ref('t')] });
    rig.say({ assignments: [{ attempt: ref('t', 2), type: 'work', timeoutMs: 1_000 }] });
    expect(rig.run).toEqual(['t']);
    rig.settle('t', THREW);
    expect(rig.run).toEqual(['t', 't']);
  });
});

describe('the lease', () => {
  it('should end one lease after the newest acknowledged frame was sent, and abort everything', () => {
    const rig = new Rig();
    rig.connect();
    const helloAtMs = rig.nowMs;
    rig.running('t');
    rig.cut();
    rig.advance(14_999 - (rig.nowMs - helloAtMs));
    expect(rig.aborts).toEqual([]);
    rig.advance(1);
    expect(rig.aborts).toEqual(['t:LEASE_LOST']);
    expect(rig.events).toContain('lease-lost');
  });

  it('should be longer, from the same moment, while the coordinator restarts', () => {
    const rig = new Rig();
    rig.connect();
    const helloAtMs = rig.nowMs;
    rig.running('t');
    rig.say({ reconnect: { holdMs: 50_000 } });
    expect(rig.events).toContain('hold');
    rig.cut({ reason: 'COORDINATOR_STOPPING' });
    rig.advance(49_999 - (rig.nowMs - helloAtMs));
    expect(rig.aborts).toEqual([]);
    rig.advance(1);
    expect(rig.aborts).toEqual(['t:LEASE_LOST']);
  });

  it('should be what the welcome says again once the coordinator is back', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.say({ reconnect: { holdMs: 120_000 } });
    rig.cut({ reason: 'COORDINATOR_STOPPING' });
    rig.connect({ keep: [ref('t')] });
    const helloAtMs = rig.nowMs;
    rig.cut();
    rig.advance(15_000 - (rig.nowMs - helloAtMs));
    expect(rig.aborts).toEqual(['t:LEASE_LOST']);
  });

  it('should be renewed by acknowledgements, whatever arrives else', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.advance(50_000, { acknowledge: true });
    expect(rig.aborts).toEqual([]);
  });

  it('should not begin with a welcome that is older than itself', () => {
    const rig = new Rig();
    rig.machine.start(rig.nowMs);
    rig.turn();
    rig.machine.opened(rig.sessionNumber);
    rig.turn();
    rig.advance(3_000);
    const welcome = { heartbeatIntervalMs: 1_000, leaseMs: 3_000 };
    rig.say({ welcome, assignments: [{ attempt: ref('t'), type: 'work', timeoutMs: 1_000 }] });
    expect(rig.machine.state.t).toBe('BackingOff');
    expect(rig.run).toEqual([]);
  });

  it('should end the stream with it, and take nothing from it any more, after a standstill of the process', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t', 'u');
    rig.assign(['waiting']);
    rig.advance(5_000, { acknowledge: true });
    rig.nowMs += 60_000;
    rig.assign(['late']);
    expect(rig.machine.state.t).toBe('BackingOff');
    expect(rig.aborts).toEqual(['t:LEASE_LOST', 'u:LEASE_LOST']);
    expect(rig.run).toEqual(['t', 'u']);
    rig.settle('t');
    rig.settle('u');
    expect(rig.connect().hello?.running).toEqual([]);
  });

  it('should give back what waits when it ends between hello and welcome', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t', 'u');
    rig.assign(['waiting']);
    rig.advance(12_000);
    rig.cut();
    if (rig.machine.state.t === 'BackingOff') rig.advance(rig.machine.state.dialAtMs - rig.nowMs);
    rig.machine.opened(rig.sessionNumber);
    rig.turn();
    expect(rig.frames.at(-1)?.hello?.running).toHaveLength(3);
    rig.advance(3_000);
    expect(rig.machine.state.t).toBe('AwaitingWelcome');
    expect(rig.events).toContain('lease-lost');
    rig.say({
      welcome: { heartbeatIntervalMs: 5_000, leaseMs: 15_000, keep: [ref('t'), ref('u'), ref('waiting')] },
    });
    expect(rig.notStarted).toEqual(['waiting']);
  });

  it('should offer what a handler returned after it as an unsent report', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('a', 'b');
    rig.cut();
    rig.advance(16_000);
    rig.settle('a');
    rig.settle('b', THREW);
    const hello = rig.connect({ wantedReports: [ref('a'), ref('b')] });
    expect(hello.hello?.running).toEqual([]);
    expect(outcomes(rig)).toEqual(['a:SUCCEEDED', 'b:RELEASED']);
  });

  it('should not make a handler stuck by itself', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('t');
    rig.cut();
    rig.advance(40_000);
    expect(rig.events).not.toContain('stuck');
  });

  it('should forget what had not started', () => {
    const rig = new Rig({ slots: 1 });
    rig.connect();
    rig.running('a');
    rig.assign(['b']);
    rig.cut();
    rig.advance(16_000);
    expect(rig.connect({ cancel: [ref('a')] }).hello?.running).toMatchObject([{ attempt: { taskId: 'a' } }]);
  });
});

describe('a stuck handler', () => {
  it('should be reported by its abort, give back the rest, and end the process when others are done', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('stuck', 'other');
    rig.assign(['waits']);
    rig.say({ cancels: [{ attempt: ref('stuck'), reason: CancelReason.REQUESTED }] });
    rig.advance(9_999, { acknowledge: true });
    expect(rig.events).not.toContain('stuck');
    rig.advance(1, { acknowledge: true });
    expect(rig.events).toContain('stuck');
    expect(outcomes(rig)).toEqual(['stuck:CANCELLED']);
    expect(rig.notStarted).toEqual(['waits']);
    expect(rig.frames.some(({ leaving }) => leaving !== undefined)).toBe(true);
    rig.say({ drain: { deadlineMs: 1_000_000 } });
    rig.acknowledge('stuck');
    expect(rig.exit).toBeUndefined();
    rig.settle('other');
    rig.acknowledge('other');
    expect(rig.exit?.code).toBe(EXIT_RECYCLE);
  });

  it('should release the others if the loop was blocked for the whole grace', () => {
    const rig = new Rig();
    rig.connect();
    rig.assign(['stuck', { timeoutMs: 1_000 }], ['other']);
    rig.started('stuck');
    rig.advance(11_000, { acknowledge: true, alive: false });
    expect(outcomes(rig)).toEqual(['stuck:TIMED_OUT', 'other:RELEASED']);
    expect(rig.exit).toBeUndefined();
    rig.advance(5_000, { acknowledge: true, alive: false });
    expect(rig.exit?.code).toBe(EXIT_RECYCLE);
  });

  it('should only be an event, and keep its slot, when the process is not its own', () => {
    const rig = new Rig({ onStuck: 'report', slots: 1 });
    rig.connect();
    rig.assign(['stuck', { timeoutMs: 1_000 }]);
    rig.started('stuck');
    rig.assign(['next']);
    rig.advance(60_000, { acknowledge: true });
    expect(rig.events.filter((name) => name === 'stuck')).toHaveLength(1);
    expect(rig.reports).toEqual([]);
    expect(rig.run).toEqual(['stuck']);
    rig.settle('stuck', THREW);
    expect(outcomes(rig)).toEqual(['stuck:TIMED_OUT']);
    expect(rig.run).toEqual(['stuck', 'next']);
  });

  it('should not keep a worker from leaving', () => {
    const rig = new Rig({ onStuck: 'report' });
    rig.connect();
    rig.running('stuck');
    rig.machine.leave(rig.nowMs, 1_000);
    rig.turn();
    rig.say({ drain: { deadlineMs: 1_000 } });
    rig.advance(11_000, { acknowledge: true });
    expect(outcomes(rig)).toEqual(['stuck:RELEASED']);
    rig.acknowledge('stuck');
    expect(rig.exit?.code).toBe(0);
  });
});

import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { StreamRig } from './stream-rig.js';

describe('a task stream', () => {
  it('should dial at the first call, and put all calls of one turn into one frame', () => {
    const rig = new StreamRig();
    rig.turn();
    expect(rig.effects).toEqual([]);
    rig.add('submit', 'a');
    rig.add('run', 'b');
    rig.add('result', 'c');
    rig.turn();
    expect(rig.streamNumber).toBe(1);
    expect(rig.frames).toEqual([]);
    rig.connect();
    expect(rig.frames).toHaveLength(1);
    expect(rig.frames[0]?.submits.map(({ task, await: awaits }) => [task?.taskId, awaits])).toEqual([
      ['a', false],
      ['b', true],
    ]);
    expect(rig.awaits()).toEqual(['c']);
  });

  it('should end a submit with its acknowledgement and a run with its end, and acknowledge the result', () => {
    const rig = new StreamRig();
    rig.opened('submit', 'a');
    rig.call('run', 'b');
    rig.acknowledge('a', 'b');
    expect(rig.outcomes).toEqual(['accepted 1', 'accepted 2']);
    rig.finish('b');
    expect(rig.outcomes.at(-1)).toBe('ended 2');
    expect(rig.frames.at(-1)?.resultAcks).toEqual(['b']);
    expect(rig.machine.calls).toMatchObject({ size: 0, inFlight: 0, inFlightBytes: 0 });
  });

  it('should hold a frame to 1,024 elements and 256 KiB, or one larger task alone', () => {
    const rig = new StreamRig({ maxInFlightBytes: 10_000_000, maxWaiting: 10_000 });
    for (let n = 0; n < 1_500; n += 1) rig.add('submit', `s${n}`, 10);
    for (let n = 0; n < 100; n += 1) rig.add('result', `r${n}`);
    rig.add('submit', 'half', 200_000);
    rig.add('submit', 'other half', 200_000);
    rig.add('submit', 'large', 900_000);
    rig.add('submit', 'last', 10);
    rig.turn();
    rig.connect();
    const counts = rig.frames.map(({ submits, awaits }) => submits.length + awaits.length);
    expect(counts).toEqual([1_024, 577, 1, 1, 1]);
    expect(rig.submits(2)).toEqual(['other half', 'large', 'last']);
  });

  it('should write nothing while the stream takes nothing', () => {
    const rig = new StreamRig();
    rig.opened('submit', 'a');
    rig.writable = false;
    rig.call('submit', 'b');
    expect(rig.submits()).toEqual(['a']);
    rig.writable = true;
    rig.turn();
    expect(rig.submits()).toEqual(['a', 'b']);
  });

  it('should refuse one task, with what the coordinator says, and not its neighbours', () => {
    const rig = new StreamRig();
    rig.opened('submit', 'a');
    rig.call('submit', 'b');
    rig.refuse(['a'], Code.RESOURCE_EXHAUSTED, 'QUEUE_FULL', 1_000);
    rig.acknowledge('b');
    expect(rig.outcomes).toEqual(['failed 1 QUEUE_FULL', 'accepted 2']);
    expect(rig.machine.calls).toMatchObject({ size: 0, inFlight: 0, inFlightBytes: 0 });
    expect(rig.failure(1)).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, retryDelayMs: 1_000 });
  });

  it('should repeat what is refused as UNAVAILABLE after the wait that was asked for, in order, and hold all else', () => {
    const rig = new StreamRig();
    rig.opened('submit', 'a');
    rig.call('submit', 'b');
    const before = rig.frames.length;
    rig.refuse(['a', 'b'], Code.UNAVAILABLE, 'STORE_UNAVAILABLE', 2_000);
    rig.call('submit', 'c');
    rig.call('result', 'd');
    rig.advance(1_900);
    expect(rig.frames).toHaveLength(before);
    rig.advance(200);
    expect(rig.submits(before)).toEqual(['a', 'b', 'c']);
    expect(rig.awaits(before)).toEqual(['d']);
    expect(rig.outcomes).toEqual([]);
  });

  it('should reject what is awaited when there is nothing to await', () => {
    const rig = new StreamRig();
    rig.opened('result', 'a');
    rig.say({ results: [{ taskId: 'a', error: { code: Code.NOT_FOUND, message: 'gone' } }] });
    expect(rig.failure(1)).toMatchObject({ code: Code.NOT_FOUND, message: 'gone' });
    expect(rig.frames.flatMap(({ resultAcks }) => resultAcks)).toEqual([]);
  });
});

describe('two calls for one task', () => {
  it('should both get the one result', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.call('result', 'a');
    expect(rig.awaits()).toEqual([]);
    rig.finish('a');
    expect(rig.outcomes).toEqual(['accepted 1', 'ended 1', 'ended 2']);
  });

  it('should not both fail because the task was not there when the first asked', () => {
    const rig = new StreamRig();
    rig.opened('result', 'a');
    rig.call('run', 'a');
    const error = { code: Code.NOT_FOUND, message: 'gone' };
    rig.say({ submitAcks: [{ taskId: 'a', state: TaskState.QUEUED }], results: [{ taskId: 'a', error }] });
    rig.finish('a');
    expect(rig.outcomes).toEqual(['accepted 2', 'ended 1', 'ended 2']);
  });

  it('should be told that the task was deleted after their submit was accepted, once the coordinator has said so again', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.call('result', 'a');
    rig.acknowledge('a');
    const results = [{ taskId: 'a', error: { code: Code.NOT_FOUND, message: 'gone' } }];
    rig.say({ results });
    expect(rig.outcomes).toEqual(['accepted 1']);
    expect(rig.awaits().slice(1)).toEqual(['a']);
    rig.say({ results });
    expect([rig.failure(1).message, rig.failure(2).message]).toEqual(['gone', 'gone']);
    expect(rig.machine.calls).toMatchObject({ size: 0, inFlight: 0 });
  });

  it('should be answered in order when the second says something else', () => {
    const rig = new StreamRig();
    rig.add('run', 'a');
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.refuse(['a'], Code.ALREADY_EXISTS, 'TASK_ID_TAKEN');
    rig.finish('a');
    expect(rig.outcomes).toEqual(['accepted 1', 'failed 2 TASK_ID_TAKEN', 'ended 1']);
  });

  it('should be awaited until the last of them is gone, and again when another comes', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.call('result', 'a');
    rig.abandon(1, 'keep');
    expect(rig.detaches()).toEqual([]);
    rig.abandon(2);
    expect(rig.detaches()).toEqual(['a']);
    rig.call('result', 'a');
    expect(rig.awaits()).toEqual(['a']);
  });

  it('should not be detached in the frame in which a new one is submitted', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.machine.abandon(1, 'keep');
    rig.call('run', 'a');
    expect(rig.detaches()).toEqual([]);
    rig.acknowledge('a');
    rig.finish('a');
    expect(rig.outcomes.at(-1)).toBe('ended 2');
  });

  it('should not be detached while one of them is not acknowledged', () => {
    const rig = new StreamRig();
    rig.add('run', 'a');
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.abandon(1, 'keep');
    rig.abandon(2, 'keep');
    expect(rig.detaches()).toEqual([]);
    rig.acknowledge('a');
    expect(rig.detaches()).toEqual(['a']);
    rig.call('result', 'a');
    expect(rig.awaits()).toEqual(['a']);
  });

  it('should ignore a result that nobody wants any more', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.abandon(1, 'keep');
    rig.finish('a');
    expect(rig.outcomes).toEqual(['accepted 1']);
    expect(rig.frames.flatMap(({ resultAcks }) => resultAcks)).toEqual([]);
  });
});

describe('a call whose caller goes away', () => {
  it('should leave no trace before it was sent', () => {
    const rig = new StreamRig();
    rig.call('run', 'a');
    expect(rig.abandon(1)).toBe('unsent');
    rig.connect();
    expect(rig.submits()).toEqual([]);
    expect(rig.cancels).toEqual([]);
  });

  it('should cancel a run that is accepted, unless it is to go on', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.call('run', 'b');
    rig.acknowledge('a', 'b');
    expect([rig.abandon(1, 'cancel'), rig.abandon(2, 'keep')]).toEqual(['accepted', 'accepted']);
    expect(rig.cancels).toEqual(['a']);
    expect(rig.detaches()).toEqual(['a', 'b']);
    expect(rig.machine.calls.inFlight).toBe(0);
  });

  it('should cancel a run only once it is acknowledged: before, there may be nothing to cancel', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    expect(rig.abandon(1)).toBe('unacknowledged');
    expect(rig.cancels).toEqual([]);
    expect(rig.machine.calls).toMatchObject({ size: 0, inFlight: 1 });
    rig.acknowledge('a');
    expect(rig.cancels).toEqual(['a']);
    expect(rig.detaches()).toEqual(['a']);
    expect(rig.machine.calls.inFlight).toBe(0);
    expect(rig.outcomes).toEqual([]);
  });

  it('should cancel a run whose acknowledgement was lost, and not submit it again', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.call('run', 'b');
    rig.abandon(1);
    rig.cut();
    expect(rig.cancels).toEqual(['a']);
    expect(rig.abandon(2)).toBe('unacknowledged');
    expect(rig.cancels).toEqual(['a', 'b']);
    rig.call('submit', 'c');
    rig.connect();
    expect(rig.submits(2)).toEqual(['c']);
  });

  it('should never cancel a submit or a result', () => {
    const rig = new StreamRig();
    rig.opened('submit', 'a');
    rig.call('result', 'b');
    expect([rig.abandon(1), rig.abandon(2)]).toEqual(['unacknowledged', 'accepted']);
    rig.acknowledge('a');
    expect(rig.cancels).toEqual([]);
    expect(rig.abandon(1)).toBeUndefined();
  });

  it('should not pile up while there is no coordinator', () => {
    const rig = new StreamRig({ waitForReady: true, maxInFlight: 10_000, maxInFlightBytes: 100_000_000 });
    const kept = rig.call('submit', 'kept');
    for (let n = 0; n < 5_000; n += 1) rig.machine.abandon(rig.add('run', `t${n}`), 'cancel');
    expect(rig.machine.calls).toMatchObject({ size: 1, inFlight: 1 });
    rig.connect();
    expect(rig.submits()).toEqual(['kept']);
    expect(rig.abandon(kept)).toBe('unacknowledged');
  });
});

describe('a stream that breaks', () => {
  it('should be opened again after 100 ms to 1 s, and repeat what was not acknowledged, in order', () => {
    const rig = new StreamRig();
    rig.opened('submit', 'a');
    for (const id of ['b', 'c']) rig.call('run', id);
    rig.acknowledge('a');
    rig.acknowledge('b');
    const before = rig.frames.length;
    rig.cut();
    expect(rig.machine.state).toMatchObject({ t: 'BackingOff', dialAtMs: rig.nowMs + 150 });
    rig.call('run', 'd');
    rig.connect();
    expect(rig.streamNumber).toBe(2);
    expect(rig.submits(before)).toEqual(['c', 'd']);
    expect(rig.awaits(before)).toEqual(['b']);
    rig.acknowledge('c', 'd');
    rig.finish('b', 'c', 'd');
    expect(rig.outcomes.filter((outcome) => outcome.startsWith('ended'))).toEqual(['ended 2', 'ended 3', 'ended 4']);
    expect(rig.machine.reconnects).toBe(1);
  });

  it('should grow its back-off up to 1 s, and begin anew after a stream that lasted', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    const waits: number[] = [];
    for (let n = 0; n < 6; n += 1) {
      rig.cut();
      if (rig.machine.state.t === 'BackingOff') waits.push(rig.machine.state.dialAtMs - rig.nowMs);
      rig.connect();
    }
    expect(waits).toEqual([150, 250, 450, 550, 550, 550]);
    rig.advance(10_000);
    rig.cut();
    expect(rig.machine.state).toMatchObject({ dialAtMs: rig.nowMs + 150 });
  });

  it('should not let a frame or an end of an older stream count', () => {
    const rig = new StreamRig();
    rig.opened('submit', 'a');
    rig.cut();
    rig.connect();
    rig.say({ submitAcks: [{ taskId: 'a' }] }, 1);
    rig.machine.ended(rig.nowMs, 1, { code: 'UNAVAILABLE', reason: '', message: 'late' });
    expect(rig.outcomes).toEqual([]);
    expect(rig.machine.state.t).toBe('Open');
  });

  it('should stay closed while nothing is under way', () => {
    const rig = new StreamRig();
    rig.opened('submit', 'a');
    rig.acknowledge('a');
    rig.cut();
    rig.advance(60_000);
    expect(rig.machine.state.t).toBe('Idle');
    expect(rig.streamNumber).toBe(1);
    rig.call('submit', 'b');
    rig.connect();
    expect(rig.submits(1)).toEqual(['b']);
  });

  it('should wait for a coordinator that restarts for as long as the callers do', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.cut();
    for (let n = 0; n < 100; n += 1) {
      rig.advance(1_000);
      if (rig.machine.state.t === 'Dialling') rig.cut({ message: 'ECONNREFUSED' });
    }
    expect(rig.outcomes).toEqual(['accepted 1']);
    rig.advance(1_000);
    rig.connect();
    expect(rig.awaits()).toEqual(['a']);
  });

  it('should tell all callers what a repeat cannot help', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.call('submit', 'b');
    rig.cut({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FRAME', message: 'frame: too many' });
    expect(rig.outcomes).toEqual(['failed 1 INVALID_FRAME', 'failed 2 INVALID_FRAME']);
  });

  it('should blame the large task alone when a frame was larger than the coordinator takes', () => {
    const rig = new StreamRig();
    rig.opened('run', 'small');
    rig.call('run', 'large', 300_000);
    rig.cut({ code: 'RESOURCE_EXHAUSTED', message: 'Received message larger than max (300000 vs 200000)' });
    expect(rig.outcomes).toEqual(['failed 2 PAYLOAD_TOO_LARGE']);
    rig.connect();
    expect(rig.submits(2)).toEqual(['small']);
  });

  it('should blame the largest task when several were under way, and repeat the others', () => {
    const rig = new StreamRig({ maxInFlightBytes: 10_000_000 });
    rig.opened('run', 'small');
    for (const [id, bytes] of [
      ['fits', 400_000],
      ['large', 5_000_000],
      ['fits too', 400_000],
    ] as const) {
      rig.call('run', id, bytes);
    }
    rig.call('run', 'second', 4_000_000);
    const end = { code: 'RESOURCE_EXHAUSTED', message: 'Received message larger than max (5000000 vs 3000000)' };
    rig.cut(end);
    expect(rig.outcomes).toEqual(['failed 3 PAYLOAD_TOO_LARGE']);
    const before = rig.frames.length;
    rig.connect();
    expect(rig.submits(before)).toEqual(['small', 'fits', 'fits too', 'second']);
    rig.cut(end);
    expect(rig.outcomes.slice(1)).toEqual(['failed 5 PAYLOAD_TOO_LARGE']);
    rig.connect();
    rig.acknowledge('small', 'fits', 'fits too');
    expect(rig.outcomes.slice(2)).toEqual(['accepted 1', 'accepted 2', 'accepted 4']);
  });
});

describe('the first connection', () => {
  it('should be tried for the connect time-out, then fail every call and say what to start', () => {
    const rig = new StreamRig();
    rig.call('run', 'a');
    rig.cut({ message: 'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1' });
    rig.advance(4_999);
    expect(rig.outcomes).toEqual([]);
    rig.call('submit', 'b');
    rig.advance(1);
    expect(rig.outcomes).toEqual(['failed 1 COORDINATOR_UNREACHABLE', 'failed 2 COORDINATOR_UNREACHABLE']);
    expect(rig.failure(1).message).toMatch(
      /^no coordinator answers at a:1 \(.*; tried for 5000 ms\); is it running .* Start one with .* name another with the option address$/,
    );
    expect(rig.machine.deadlineMs()).toBe(Infinity);
    rig.call('submit', 'c');
    expect(rig.machine.state.t).toBe('Dialling');
  });

  it('should be waited for without a limit when that was asked for', () => {
    const rig = new StreamRig({ waitForReady: true });
    rig.call('run', 'a');
    rig.advance(100_000);
    expect(rig.outcomes).toEqual([]);
    expect(rig.effects.filter(({ kind }) => kind === 'hangUp').length).toBeGreaterThan(5);
  });

  it('should fail at once when something else answers', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.cut({ code: 'UNIMPLEMENTED', message: 'The server does not implement the method' });
    expect(rig.outcomes).toEqual(['failed 1 NOT_A_COORDINATOR']);
    rig.call('run', 'b');
    rig.advance(1_000);
    rig.advance(5_000);
    expect(rig.outcomes[1]).toBe('failed 2 COORDINATOR_UNREACHABLE');
  });

  it('should not take a proxy for the coordinator that it has heard before', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.cut({ code: 'UNAVAILABLE', message: 'Received HTTP status code 503' });
    expect(rig.outcomes).toEqual(['accepted 1']);
    expect(rig.machine.state.t).toBe('BackingOff');
  });
});

describe('the bounds', () => {
  it('should let calls wait their turn, first come first served', () => {
    const rig = new StreamRig({ maxInFlight: 2 });
    rig.opened('run', 'a');
    for (const id of ['b', 'c', 'd']) rig.call('run', id);
    expect(rig.submits()).toEqual(['a', 'b']);
    expect(rig.machine.calls).toMatchObject({ inFlight: 2, waiting: 2, size: 4 });
    rig.acknowledge('a', 'b');
    expect(rig.submits()).toEqual(['a', 'b']);
    rig.finish('b');
    expect(rig.submits()).toEqual(['a', 'b', 'c']);
    rig.abandon(4);
    rig.finish('a');
    expect(rig.machine.calls).toMatchObject({ inFlight: 1, waiting: 0 });
  });

  it('should count bytes until the acknowledgement, and let one larger task through alone', () => {
    const rig = new StreamRig({ maxInFlightBytes: 1_000 });
    rig.opened('run', 'a');
    rig.call('run', 'large', 5_000);
    rig.call('run', 'c', 10);
    expect(rig.submits()).toEqual(['a']);
    rig.acknowledge('a');
    expect(rig.submits()).toEqual(['a', 'large']);
    expect(rig.machine.calls).toMatchObject({ inFlightBytes: 5_000, waiting: 1 });
    rig.acknowledge('large');
    expect(rig.submits()).toEqual(['a', 'large', 'c']);
    expect(rig.machine.calls.inFlightBytes).toBe(10);
  });

  it('should refuse more calls than may wait', () => {
    const rig = new StreamRig({ maxInFlight: 1, maxWaiting: 1 });
    rig.opened('run', 'a');
    rig.call('run', 'b');
    expect(() => rig.call('run', 'c')).toThrow(
      expect.objectContaining({ code: Code.RESOURCE_EXHAUSTED, reason: 'TOO_MANY_WAITING' }),
    );
  });

  it('should keep a place for a submit that nobody waits for until the coordinator has answered', () => {
    const rig = new StreamRig({ maxInFlight: 1 });
    rig.opened('submit', 'a');
    rig.abandon(1);
    rig.call('submit', 'b');
    expect(rig.submits()).toEqual(['a']);
    rig.acknowledge('a');
    expect(rig.submits()).toEqual(['a', 'b']);
  });
});

describe('close', () => {
  it('should fail what is under way by how far it has come, detach, and end the stream gently', () => {
    const rig = new StreamRig({ maxInFlight: 2 });
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.call('run', 'b');
    rig.call('run', 'c');
    rig.machine.close(rig.nowMs, 0);
    rig.turn();
    expect([1, 2, 3].map((callId) => rig.failure(callId).message)).toEqual([
      expect.stringContaining('task a goes on'),
      expect.stringContaining('whether the coordinator accepted task b is not known'),
      expect.stringContaining('task c was not sent'),
    ]);
    expect(rig.detaches()).toEqual(['a']);
    expect(rig.machine.state.t).toBe('Leaving');
    rig.acknowledge('b');
    expect(rig.detaches()).toEqual(['a', 'b']);
    expect(rig.cancels).toEqual([]);
    expect(rig.effects.slice(-2)).toEqual([{ kind: 'hangUp', streamNumber: 1, gently: true }, { kind: 'closed' }]);
    expect(() => rig.add('submit', 'd')).toThrow(expect.objectContaining({ reason: 'CLIENT_CLOSED' }));
  });

  it('should let what is under way end within the drain time-out', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.machine.close(rig.nowMs, 5_000);
    rig.advance(4_000);
    rig.finish('a');
    expect(rig.outcomes.at(-1)).toBe('ended 1');
    expect(rig.frames.at(-1)?.resultAcks).toEqual(['a']);
    expect(rig.effects.at(-1)).toEqual({ kind: 'closed' });
  });

  it('should be brought forward by a repeat, and never put off', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.machine.close(rig.nowMs, 5_000);
    rig.machine.close(rig.nowMs, 9_000);
    rig.advance(1_000);
    expect(rig.machine.state.t).toBe('Open');
    rig.machine.close(rig.nowMs, 0);
    rig.turn();
    expect(rig.outcomes).toEqual(['failed 1 CLIENT_CLOSED']);
  });

  it('should end at once without a stream, and with one that ends: what was to be cancelled is', () => {
    const idle = new StreamRig();
    idle.machine.close(idle.nowMs, 0);
    idle.turn();
    expect(idle.effects).toEqual([{ kind: 'closed' }]);
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.abandon(1, 'cancel');
    rig.machine.close(rig.nowMs, 0);
    rig.turn();
    expect(rig.machine.state.t).toBe('Leaving');
    rig.cut();
    expect(rig.cancels).toEqual(['a']);
    expect(rig.machine.state.t).toBe('Closed');
  });

  it('should give up a stream that takes nothing after a second', () => {
    const rig = new StreamRig();
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.writable = false;
    rig.machine.close(rig.nowMs, 0);
    rig.turn();
    expect(rig.machine.state.t).toBe('Leaving');
    rig.advance(1_000);
    expect(rig.effects.slice(-2)).toEqual([{ kind: 'hangUp', streamNumber: 1, gently: false }, { kind: 'closed' }]);
  });
});

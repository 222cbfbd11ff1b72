import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { CancelReason } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { FleetError } from '../../../proto/fleet-error.js';
import { FRAME_LINK_LIMITS } from '../../../proto/frame-link.js';
import type { EndReason } from '../../../coordinator/core/outputs.js';
import { assign, Driver, HELLO, ref, SESSION_ID, TERMS, WELCOME } from './session-support.js';

function setup(terms: Partial<typeof TERMS> = {}): Driver {
  const driver = new Driver(terms);
  driver.open();
  return driver;
}

describe('Session, the hello', () => {
  it('hands a good hello to the core, and welcomes on its word with the terms', () => {
    const driver = new Driver();
    driver.say(3, { hello: HELLO }, 99);
    expect(driver.session.state.t).toBe('Joining');
    expect(driver.session.workerId).toBe('w1');
    const [sized] = driver.session.takeInputs();
    expect(sized).toMatchObject({ bytes: 99, input: { kind: 'hello', sessionId: SESSION_ID, atMonoMs: 3 } });
    expect(driver.frames(1_000)).toEqual([]);

    const welcome = { ...WELCOME, keep: [ref(1)], cancel: [ref(2)], wantedReports: [ref(3)] };
    driver.session.deliver([welcome, assign(4)]);
    const [frame, ...more] = driver.frames(1_000);
    expect(more).toEqual([]);
    expect(frame).toMatchObject({ seq: 1n, ack: 1n, assignments: [{ attempt: ref(4), type: 'echo' }] });
    expect(frame?.welcome).toMatchObject({
      heartbeatIntervalMs: TERMS.heartbeatIntervalMs,
      leaseMs: TERMS.leaseMs,
      maxPayloadBytes: TERMS.maxPayloadBytes,
      stuckGraceMs: TERMS.stuckGraceMs,
      coordinatorVersion: TERMS.version,
      keep: [ref(1)],
      cancel: [ref(2)],
      wantedReports: [ref(3)],
    });
  });

  it('ends a stream that has not said hello for 10 s, and not before', () => {
    const driver = new Driver();
    driver.session.tick(9_999);
    expect(driver.error).toBeUndefined();
    driver.session.tick(10_000);
    expect(driver.error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, reason: 'HELLO_TIMEOUT' });
  });

  it('does not end for want of a hello while the core thinks about it', () => {
    const driver = new Driver();
    driver.say(0, { hello: HELLO });
    driver.session.tick(60_000);
    expect(driver.session.state.t).toBe('Joining');
  });

  it.each([
    ['a heartbeat', { heartbeat: {} }],
    ['nothing', {}],
    ['hello with a heartbeat', { hello: HELLO, heartbeat: {} }],
    ['hello with a report', { hello: HELLO, reports: [{ attempt: ref(1) }] }],
    ['hello with leaving', { hello: HELLO, leaving: {} }],
  ])('refuses a first frame of %s', (_what, frame) => {
    const driver = new Driver();
    driver.say(0, frame);
    expect(driver.error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'FIRST_FRAME_NOT_HELLO' });
    expect(driver.inputs()).toEqual([]);
  });

  it.each([
    ['seq', { seq: 0n }],
    ['seq', { seq: 2n }],
    ['ack', { seq: 1n, ack: 1n }],
  ])('refuses a hello whose %s does not fit, as %o', (field, numbers) => {
    const driver = new Driver();
    driver.raw(0, { ...numbers, hello: HELLO });
    expect(driver.error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_FRAME' });
    expect(driver.error?.violations[0]?.field).toBe(field);
    expect(driver.inputs()).toEqual([]);
  });

  it('refuses a faulty hello and tells the core nothing', () => {
    const driver = new Driver();
    driver.say(0, { hello: { ...HELLO, slots: 0 } });
    expect(driver.error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_HELLO' });
    expect(driver.inputs()).toEqual([]);
  });

  it.each([
    ['while joining', false],
    ['when open', true],
  ])('refuses a second hello %s', (_when, open) => {
    const driver = new Driver();
    if (open) driver.open();
    else driver.say(0, { hello: HELLO });
    driver.inputs();
    driver.say(1, { hello: HELLO });
    expect(driver.error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'SECOND_HELLO' });
    expect(driver.inputs()).toEqual([{ kind: 'sessionEnded', sessionId: SESSION_ID }]);
  });

  it.each([
    ['a heartbeat', { seq: 2n, heartbeat: {} }],
    ['a bare acknowledgement', {}],
  ])('refuses %s before the welcome', (_what, frame) => {
    const driver = new Driver();
    driver.say(0, { hello: HELLO });
    driver.raw(1, frame);
    expect(driver.error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_FRAME' });
    expect(driver.error?.message).toContain('before the welcome');
  });

  it('refuses bytes that are no frame', () => {
    const driver = new Driver();
    driver.session.frame(0, undefined, 3);
    expect(driver.error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_FRAME' });
    expect(driver.error?.message).toContain('is no remuda.v1.ConnectRequest');
  });
});

describe('Session, frames', () => {
  it.each([
    ['a gap', { seq: 3n, heartbeat: {} }, 'seq'],
    ['a repeat', { seq: 1n, heartbeat: {} }, 'seq'],
    ['a number beyond 2^53', { seq: 9_007_199_254_740_993n, heartbeat: {} }, 'seq'],
    ['an ack of what was never sent', { seq: 2n, ack: 2n, heartbeat: {} }, 'ack'],
    ['an ack that goes back', { seq: 2n, ack: 0n, heartbeat: {} }, 'ack'],
    ['a bare acknowledgement that says something', { ack: 1n, heartbeat: {} }, 'seq'],
    ['a bare acknowledgement with a start', { ack: 1n, started: [ref(1)] }, 'seq'],
    ['a fence of no task', { seq: 2n, ack: 1n, started: [{}] }, 'started[0].task_id'],
  ])('refuses %s', (_what, frame, field) => {
    const driver = setup();
    driver.raw(1, frame);
    expect(driver.error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_FRAME' });
    expect(driver.error?.violations[0]?.field).toBe(field);
    expect(driver.inputs()).toEqual([{ kind: 'sessionEnded', sessionId: SESSION_ID }]);
  });

  it('passes any frame on with the time of its arrival, an empty one too', () => {
    const driver = setup();
    driver.raw(41, { ack: 1n });
    driver.say(42, { ack: 1n }, 17);
    expect(driver.session.takeInputs()).toMatchObject([
      { input: { kind: 'frame', atMonoMs: 41, held: [] } },
      { input: { kind: 'frame', atMonoMs: 42, held: [] }, bytes: 17 },
    ]);
  });

  it('tells the core what the worker holds once the frame of the assignment is acknowledged', () => {
    const driver = setup();
    driver.session.deliver([assign(1), assign(2)]);
    expect(driver.frames(10)).toHaveLength(1);
    driver.session.deliver([assign(3)]);
    expect(driver.frames(11)).toHaveLength(1);

    driver.raw(20, { ack: 2n });
    driver.raw(21, { ack: 2n });
    driver.raw(22, { ack: 3n });
    expect(driver.inputs()).toMatchObject([{ held: [ref(1), ref(2)] }, { held: [] }, { held: [ref(3)] }]);
  });

  it('acknowledges within 200 ms when nothing else carries the acknowledgement, and never a bare one', () => {
    const driver = setup();
    driver.say(1_000, { ack: 1n, heartbeat: {} });
    expect(driver.frames(1_000)).toEqual([]);
    expect(driver.session.ackIsDue(1_200)).toBe(true);
    expect(driver.frames(1_200)).toMatchObject([{ seq: 0n, ack: 2n }]);
    driver.raw(1_300, { ack: 1n });
    expect(driver.session.ackIsDue(9_999)).toBe(false);
  });

  it('lets an assignment carry the acknowledgement', () => {
    const driver = setup();
    driver.say(1_000, { ack: 1n, heartbeat: {} });
    driver.session.deliver([assign(1)]);
    expect(driver.frames(1_000)).toMatchObject([{ seq: 2n, ack: 2n }]);
    expect(driver.session.ackIsDue(1_200)).toBe(false);
  });

  it('turns a result beyond the bound into a failure, and goes on', () => {
    const driver = setup({ maxPayloadBytes: 8 });
    const data = new TextEncoder().encode('"0123456"');
    const result = { body: { case: 'data' as const, value: data } };
    driver.say(1, { ack: 1n, reports: [{ attempt: ref(1), outcome: AttemptOutcome.SUCCEEDED, result }] });
    expect(driver.session.state.t).toBe('Open');
    expect(driver.inputs()).toMatchObject([
      { reports: [{ outcome: 'FAILED', result: null, failure: { reason: 'RESULT_TOO_LARGE', nonRetryable: true } }] },
    ]);
  });

  it('sends a cancel before what waits, but never before its own assignment', () => {
    const driver = setup();
    driver.session.deliver([assign(1)]);
    driver.frames(0);
    // Larger than a frame: the second waits for the next one, and with it its cancel.
    driver.session.deliver([assign(2, FRAME_LINK_LIMITS.maxFrameBytes), assign(3)]);
    driver.session.deliver([
      { kind: 'cancel', ref: ref(3), reason: 'REQUESTED' },
      { kind: 'cancel', ref: ref(1), reason: 'TIMED_OUT' },
    ]);
    const frames = driver.frames(0);
    const order = frames.flatMap(({ cancels, assignments }) => [
      ...assignments.map(({ attempt }) => `assign ${attempt?.taskId.at(-1) ?? ''}`),
      ...cancels.map(({ attempt }) => `cancel ${attempt?.taskId.at(-1) ?? ''}`),
    ]);
    expect(order).toEqual(['cancel 1', 'assign 2', 'assign 3', 'cancel 3']);
  });

  it.each([
    ['REQUESTED', CancelReason.REQUESTED],
    ['DEADLINE', CancelReason.DEADLINE],
    ['TIMED_OUT', CancelReason.TIMED_OUT],
    ['FENCED', CancelReason.FENCED],
  ] as const)('says why it cancels: %s', (reason, expected) => {
    const driver = setup();
    driver.session.deliver([{ kind: 'cancel', ref: ref(1), reason }]);
    expect(driver.frames(0)).toMatchObject([{ cancels: [{ attempt: ref(1), reason: expected }] }]);
  });

  it('carries answers to reports and the drain', () => {
    const driver = setup();
    driver.session.deliver([
      { kind: 'reportAck', ref: ref(1), accepted: false, reason: 'TASK_ENDED' },
      { kind: 'drain', deadlineMs: 5_000 },
    ]);
    expect(driver.frames(0)).toMatchObject([
      { reportAcks: [{ attempt: ref(1), accepted: false, reason: 'TASK_ENDED' }], drain: { deadlineMs: 5_000 } },
    ]);
  });
});

describe('Session, a worker that does not acknowledge', () => {
  it('is suspect after 3 s, and recovers with its acknowledgement', () => {
    const driver = setup();
    driver.session.deliver([assign(1)]);
    driver.frames(1_000);
    driver.session.tick(3_999);
    expect(driver.inputs()).toEqual([]);
    driver.session.tick(4_000);
    expect(driver.inputs()).toEqual([
      { kind: 'suspect', sessionId: SESSION_ID, suspect: true, deaf: true, takenBack: [] },
    ]);
    driver.session.tick(4_100);
    expect(driver.inputs()).toEqual([]);

    driver.raw(4_200, { ack: 2n });
    driver.session.tick(4_200);
    expect(driver.inputs()).toMatchObject([
      { kind: 'frame', held: [ref(1)] },
      { kind: 'suspect', suspect: false },
    ]);
  });

  it('is asked, once it does not acknowledge, to give back what it has not started', () => {
    const driver = setup();
    driver.session.deliver([assign(1)]);
    driver.frames(1_000);
    driver.session.deliver([{ kind: 'revoke', ref: ref(1) }]);
    expect(driver.frames(4_000)).toMatchObject([{ revokes: [ref(1)] }]);
  });

  it('is told that the coordinator will be back, and is settled when it has heard', () => {
    const driver = setup();
    driver.raw(500, { ack: 1n });
    expect(driver.session.isSettled).toBe(true);
    driver.session.announceReturn(120_000);
    expect(driver.session.isSettled).toBe(false);
    expect(driver.frames(1_000)).toMatchObject([{ reconnect: { holdMs: 120_000 } }]);
    expect(driver.session.isSettled).toBe(false);
    driver.raw(1_100, { ack: 2n });
    expect(driver.session.isSettled).toBe(true);
  });

  it('is not suspect when heartbeats come and acknowledge all that was sent', () => {
    const driver = setup();
    driver.session.tick(60_000);
    expect(driver.inputs()).toEqual([]);
  });

  it('gives back what has not left for it, and what the core hands out before it knows', () => {
    const driver = setup();
    driver.session.deliver([assign(1)]);
    driver.frames(0);
    driver.session.deliver([assign(2), assign(3)]);
    driver.session.tick(3_000);
    expect(driver.inputs()).toMatchObject([{ kind: 'suspect', suspect: true, takenBack: [ref(2), ref(3)] }]);
    driver.session.deliver([assign(4)]);
    driver.session.tick(3_100);
    expect(driver.inputs()).toMatchObject([{ kind: 'suspect', suspect: true, takenBack: [ref(4)] }]);
    expect(driver.frames(3_200)).toEqual([]);
  });

  it('is suspect while more waits for it than the bound, and recovers when it has left', () => {
    const driver = setup();
    const bytes = FRAME_LINK_LIMITS.maxFrameBytes;
    const count = FRAME_LINK_LIMITS.maxQueuedBytes / bytes + 1;
    driver.session.deliver(Array.from({ length: count }, (_, index) => assign(index, bytes)));
    driver.session.tick(1);
    expect(driver.inputs()).toMatchObject([{ kind: 'suspect', suspect: true, takenBack: [] }]);
    expect(driver.frames(2)).toHaveLength(count);
    // At once, without another look.
    expect(driver.inputs()).toMatchObject([{ kind: 'suspect', suspect: false, takenBack: [] }]);
  });

  it('is ended as a slow reader when it is deaf and more waits for it than the bound', () => {
    const driver = setup();
    driver.session.deliver([assign(1)]);
    driver.frames(0);
    const count = FRAME_LINK_LIMITS.maxQueued + 1;
    const waiting = Array.from(
      { length: count },
      (_, n) => ({ kind: 'cancel', ref: ref(n), reason: 'FENCED' }) as const,
    );
    driver.session.deliver(waiting);
    driver.session.tick(3_000);
    expect(driver.error).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'SLOW_READER' });
    expect(driver.error?.message).toContain('"w1"');
  });

  it('is ended when its frames still arrive a lease and its margin later, and not while it is silent', () => {
    const driver = setup();
    driver.session.deliver([assign(1)]);
    driver.frames(1_000);
    driver.say(17_500, { ack: 1n, heartbeat: {} });
    expect(driver.error).toBeUndefined();
    driver.session.tick(60_000);
    expect(driver.error).toBeUndefined();
    driver.say(60_001, { ack: 1n, heartbeat: {} });
    expect(driver.error).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'SLOW_READER' });
    expect(driver.error?.message).toContain('"w1" has acknowledged nothing for 59001 ms');
    // The frame has arrived all the same.
    expect(driver.inputs().slice(-2)).toMatchObject([{ kind: 'frame' }, { kind: 'sessionEnded' }]);
  });

  it('is not ended by the frame that brings its late acknowledgement', () => {
    const driver = setup();
    driver.session.deliver([assign(1)]);
    driver.frames(1_000);
    driver.say(60_000, { ack: 2n, heartbeat: {} });
    expect(driver.error).toBeUndefined();
  });

  it('is ended at once when far more waits for it than the bound', () => {
    const driver = setup();
    for (let n = 0; n < 9 && driver.error === undefined; n += 1) {
      const count = FRAME_LINK_LIMITS.maxQueued;
      driver.session.deliver(
        Array.from({ length: count }, () => ({ kind: 'cancel', ref: ref(n), reason: 'FENCED' }) as const),
      );
    }
    expect(driver.error).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'SLOW_READER' });
  });
});

describe('Session, its end', () => {
  it.each([
    ['SUPERSEDED', Code.ABORTED],
    ['STALE_SESSION', Code.ABORTED],
    ['LEASE_LOST', Code.UNAVAILABLE],
    ['FLEET_FULL', Code.RESOURCE_EXHAUSTED],
  ] as const satisfies readonly (readonly [EndReason, Code])[])("ends on the core's word: %s", (reason, code) => {
    const driver = new Driver();
    driver.say(0, { hello: HELLO });
    driver.session.deliver([{ kind: 'end', reason, message: 'why' }, assign(1)]);
    expect(driver.error).toMatchObject({ code, reason, message: 'why' });
    expect(driver.frames(0)).toEqual([]);
  });

  it('tells the core nothing of a stream that never said hello', () => {
    const driver = new Driver();
    driver.session.end(null);
    expect(driver.error).toBeNull();
    expect(driver.inputs()).toEqual([]);
  });

  it('tells the core once of the end of a stream, after all that came before', () => {
    const driver = setup();
    driver.say(1, { ack: 1n, heartbeat: {} });
    driver.session.end(null);
    driver.session.end(new FleetError(Code.UNAVAILABLE, 'COORDINATOR_STOPPING', 'again'));
    expect(driver.error).toBeNull();
    expect(driver.inputs()).toMatchObject([{ kind: 'frame' }, { kind: 'sessionEnded', sessionId: SESSION_ID }]);
  });

  it('takes nothing more after its end', () => {
    const driver = setup();
    driver.session.end(null);
    driver.inputs();
    driver.say(1, { ack: 1n, heartbeat: {} });
    driver.session.deliver([assign(1)]);
    driver.session.tick(90_000);
    expect(driver.frames(90_000)).toEqual([]);
    expect(driver.inputs()).toEqual([]);
    expect(driver.session.ackIsDue(90_000)).toBe(false);
  });
});

import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { StreamRig } from './stream-rig.js';

describe('a deadline that passes before the task was sent', () => {
  it('should end a call that waits for a place, within 100 ms', () => {
    const rig = new StreamRig({ maxInFlight: 1 });
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.add('run', 'b', 100, rig.nowMs + 500);
    rig.add('run', 'c', 100, rig.nowMs + 550);
    rig.add('run', 'd');
    rig.advance(499);
    expect(rig.machine.calls.waiting).toBe(3);
    rig.advance(1);
    expect(rig.failure(2)).toMatchObject({ code: Code.DEADLINE_EXCEEDED, reason: 'DEADLINE_PASSED' });
    expect(rig.failure(2).message).toContain('the deadline of task b passed while it waited in this client');
    rig.advance(100);
    expect(rig.outcomes).toEqual(['accepted 1', 'failed 2 DEADLINE_PASSED', 'failed 3 DEADLINE_PASSED']);
    rig.finish('a');
    expect(rig.submits()).toEqual(['a', 'd']);
    expect(rig.machine.calls).toMatchObject({ size: 1, inFlight: 1, inFlightBytes: 100, waiting: 0 });
  });

  it('should never be sent, also between two looks at the deadlines', () => {
    const rig = new StreamRig({ maxInFlight: 1 });
    rig.opened('run', 'a');
    rig.acknowledge('a');
    rig.add('run', 'b', 100, rig.nowMs + 10);
    rig.advance(10);
    rig.add('run', 'c', 100, rig.nowMs + 10);
    rig.add('submit', 'd');
    rig.advance(10);
    expect(rig.outcomes).toEqual(['accepted 1', 'failed 2 DEADLINE_PASSED']);
    rig.finish('a');
    expect(rig.outcomes.slice(2)).toEqual(['ended 1', 'failed 3 DEADLINE_PASSED']);
    expect(rig.submits()).toEqual(['a', 'd']);
  });

  it('should end a call for which there is no stream', () => {
    const rig = new StreamRig({ waitForReady: true });
    rig.add('run', 'a', 100, rig.nowMs + 500);
    rig.advance(500);
    expect(rig.outcomes).toEqual(['failed 1 DEADLINE_PASSED']);
    rig.advance(10_000);
    expect(rig.machine.state.t).toBe('Idle');
    expect(rig.machine.deadlineMs()).toBe(Infinity);
  });

  it('should not end one that was sent: the coordinator may have it', () => {
    const rig = new StreamRig();
    rig.add('run', 'a', 100, rig.nowMs + 500);
    rig.turn();
    rig.connect();
    rig.cut();
    rig.advance(1_000);
    rig.connect();
    expect(rig.submits()).toEqual(['a', 'a']);
    expect(rig.outcomes).toEqual([]);
  });
});

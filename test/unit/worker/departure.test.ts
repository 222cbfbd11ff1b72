import { describe, expect, it } from 'vitest';
import { ref, outcomes, Rig, THREW } from './machine-support.js';

describe('the departure', () => {
  it('should ask, finish what runs, give back the rest, and leave when all reports are acknowledged', () => {
    const rig = new Rig({ slots: 1 });
    rig.connect();
    rig.running('a');
    rig.assign(['b']);
    rig.machine.leave(rig.nowMs, 60_000);
    rig.turn();
    expect(rig.frames.at(-1)?.leaving).toMatchObject({ drainTimeoutMs: 60_000 });
    expect(rig.effects.some(({ kind }) => kind === 'draining')).toBe(true);
    rig.say({ drain: { deadlineMs: 60_000 } });
    expect(rig.notStarted).toEqual(['b']);
    rig.assign(['c']);
    expect(rig.notStarted).toEqual(['b', 'c']);
    rig.settle('a');
    expect(rig.exit).toBeUndefined();
    rig.acknowledge('a');
    expect(rig.exit).toMatchObject({ code: 0 });
    expect(rig.effects.at(-2)).toMatchObject({ kind: 'hangUp', gently: true });
  });

  it('should be over with the last handler when nobody is left to report to, whatever is not acknowledged', () => {
    const rig = new Rig({ slots: 1 });
    rig.connect();
    rig.running('a');
    rig.assign(['b']);
    rig.machine.abandon(rig.nowMs);
    rig.turn();
    expect(rig.aborts).toEqual(['a:DRAINED']);
    expect(rig.exit).toBeUndefined();
    rig.settle('a', THREW);
    expect(rig.run).toEqual(['a']);
    expect(rig.exit).toMatchObject({ code: 0 });
    expect(rig.events).toContain('undelivered');
  });

  it('should be over at once when nobody is left to report to and nothing runs, connected or not', () => {
    const connected = new Rig();
    connected.connect();
    const dialling = new Rig();
    dialling.machine.start(dialling.nowMs);
    for (const rig of [new Rig(), connected, dialling]) {
      rig.machine.abandon(rig.nowMs);
      rig.turn();
      expect(rig.exit).toMatchObject({ code: 0 });
    }
  });

  it('should start nothing new between leaving and drain', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('a');
    rig.machine.leave(rig.nowMs, 60_000);
    rig.turn();
    rig.assign(['b']);
    expect(rig.run).toEqual(['a']);
    rig.say({ drain: { deadlineMs: 60_000 } });
    expect(rig.notStarted).toEqual(['b']);
  });

  it('should abort at the deadline: a throw is RELEASED, a return has SUCCEEDED', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('a', 'b');
    rig.machine.leave(rig.nowMs, 60_000);
    rig.turn();
    rig.say({ drain: { deadlineMs: 2_000 } });
    rig.advance(2_000, { acknowledge: true });
    expect(rig.aborts).toEqual(['a:DRAINED', 'b:DRAINED']);
    rig.settle('a', THREW);
    rig.settle('b');
    expect(outcomes(rig)).toEqual(['a:RELEASED', 'b:SUCCEEDED']);
    rig.acknowledge('a', 'b');
    expect(rig.exit?.code).toBe(0);
  });

  it('should hold its lease for as long as it takes, however often that has passed', () => {
    const rig = new Rig();
    rig.connect({ heartbeatIntervalMs: 5_000, leaseMs: 15_000 });
    rig.assign(['a', { timeoutMs: 600_000 }]);
    rig.started('a');
    rig.machine.leave(rig.nowMs, 600_000);
    rig.turn();
    rig.say({ drain: { deadlineMs: 600_000 } });
    const framesBefore = rig.frames.length;
    rig.advance(300_000, { acknowledge: true });
    expect(rig.aborts).toEqual([]);
    expect(rig.frames.slice(framesBefore).filter(({ heartbeat }) => heartbeat !== undefined)).toHaveLength(60);
    rig.settle('a');
    expect(outcomes(rig)).toEqual(['a:SUCCEEDED']);
    // Its report is owed for longer than a lease, too.
    rig.advance(30_000, { acknowledge: true });
    expect(rig.exit).toBeUndefined();
    rig.acknowledge('a');
    expect(rig.exit?.code).toBe(0);
  });

  it('should ask again on the next stream', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('a');
    rig.machine.leave(rig.nowMs, 60_000);
    rig.turn();
    rig.cut();
    rig.connect({ keep: [ref('a')] });
    expect(rig.frames.filter(({ leaving }) => leaving !== undefined)).toHaveLength(2);
    rig.say({ drain: { deadlineMs: 50_000 } });
    rig.settle('a');
    rig.acknowledge('a');
    expect(rig.exit?.code).toBe(0);
  });

  it('should leave at once without a coordinator and without anything owed', () => {
    const rig = new Rig();
    rig.machine.start(rig.nowMs);
    rig.turn();
    rig.cut();
    rig.machine.leave(rig.nowMs, 60_000);
    rig.turn();
    expect(rig.exit?.code).toBe(0);
  });

  it('should leave without a coordinator 10 s after its last handler, and name what it could not deliver', () => {
    const rig = new Rig();
    rig.connect();
    rig.running('a');
    rig.cut();
    rig.machine.leave(rig.nowMs, 60_000);
    rig.advance(5_000);
    rig.settle('a');
    for (let dial = 0; dial < 100 && rig.exit === undefined; dial += 1) {
      rig.advance(100);
      rig.cut();
    }
    expect(rig.exit?.code).toBe(0);
    expect(rig.effects.find((effect) => effect.kind === 'event' && effect.event.name === 'undelivered')).toMatchObject({
      event: { taskIds: ['a'] },
    });
  });

  it('should leave when the coordinator says so unasked', () => {
    const rig = new Rig();
    rig.connect();
    rig.say({ drain: { deadlineMs: 1_000 } });
    rig.say({});
    expect(rig.exit?.code).toBe(0);
  });

  it('should do nothing but end when it had not been started', () => {
    const rig = new Rig();
    rig.machine.leave(rig.nowMs, 1_000);
    rig.turn();
    expect(rig.exit?.code).toBe(0);
    rig.machine.leave(rig.nowMs, 1_000);
    rig.turn();
    expect(rig.effects.filter(({ kind }) => kind === 'exit')).toHaveLength(1);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SessionEvent } from '../../../worker/session-messages.js';
import { SessionPulses, type SessionPulse } from '../../../worker/session-pulse.js';
import { Rig } from './machine-support.js';

const welcome: SessionEvent = {
  ...{ name: 'welcome', sessionNumber: 1, coordinatorVersion: '1', leaseMs: 15_000, heartbeatIntervalMs: 5_000 },
};
const disconnected = (message: string, code = 'UNAVAILABLE'): SessionEvent => ({
  ...{ name: 'disconnected', sessionNumber: 1, code, reason: '', message, retryInMs: 1, failures: 1 },
});

describe('the pulse of a session', () => {
  const told: (SessionPulse & { regular: boolean })[] = [];
  let vital = true;
  let pulses: SessionPulses;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    told.length = 0;
    vital = true;
    pulses = new SessionPulses({
      periodMs: 1_000,
      isVital: () => vital,
      runningCount: () => 2,
      tell: (pulse, regular) => told.push({ ...pulse, regular }),
    });
  });
  afterEach(() => void vi.useRealTimers());

  it('should come at the start, with each period, and when the stream comes or goes', () => {
    pulses.handlerSettled();
    pulses.heard(welcome);
    vi.advanceTimersByTime(1_000);
    pulses.heard(disconnected('the coordinator is stopping'));
    // Each dial that fails for the same reason is no news.
    pulses.heard(disconnected('the coordinator is stopping'));
    const figures = { running: 2, settled: 1 };
    expect(told).toEqual([
      { connected: false, running: 2, settled: 0, trouble: '', regular: false },
      { connected: true, ...figures, trouble: '', regular: false },
      { connected: true, ...figures, trouble: '', regular: true },
      { connected: false, ...figures, trouble: 'the coordinator is stopping', regular: false },
    ]);
  });

  it('should come with each handler that settles while the worker leaves', () => {
    pulses.heard({ name: 'draining', deadlineMs: 1_000, cause: 'asked' });
    pulses.handlerSettled();
    expect(told.slice(1).map(({ settled, regular }) => ({ settled, regular }))).toEqual([
      { settled: 0, regular: false },
      { settled: 1, regular: false },
    ]);
  });

  it('should not come while the session leaves undone what is due', () => {
    vital = false;
    vi.advanceTimersByTime(5_000);
    expect(told).toHaveLength(1);
  });

  it('should name what the system says of a connection, and something in any case', () => {
    const words =
      'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:7070. Resolution note: ';
    pulses.heard(disconnected(words));
    pulses.heard(disconnected(''));
    pulses.heard(disconnected('x'.repeat(1_000)));
    pulses.heard(disconnected('read ECONNRESET (2026-11-30T16:55:18.132Z)'));
    pulses.heard(disconnected('read ECONNRESET (2026-11-30T16:55:19.250Z)'));
    expect(told.slice(1).map(({ trouble }) => trouble)).toEqual([
      'connect ECONNREFUSED 127.0.0.1:7070',
      'UNAVAILABLE',
      'x'.repeat(200),
      'read ECONNRESET',
    ]);
  });
});

describe('a session machine', () => {
  it('should be vital with a coordinator and without, as long as it is turned', () => {
    const rig = new Rig();
    rig.connect();
    expect(rig.machine.isVital(rig.nowMs)).toBe(true);
    rig.cut();
    for (let second = 0; second < 3_600; second += 1) {
      rig.advance(1_000);
      expect(rig.machine.isVital(rig.nowMs)).toBe(true);
    }
    // Nobody turns it: a dial is overdue.
    rig.nowMs += 20_000;
    expect(rig.machine.isVital(rig.nowMs)).toBe(false);
    rig.turn();
    expect(rig.machine.isVital(rig.nowMs)).toBe(true);
  });

  it('should be vital while the stream takes nothing, until it is given up', () => {
    const rig = new Rig();
    rig.connect({ leaseMs: 120_000, heartbeatIntervalMs: 40_000 });
    // It owes an acknowledgement, which nobody takes.
    rig.hear({ revokes: [], drain: { deadlineMs: 3_600_000 } });
    for (let second = 0; second < 3_600; second += 1) {
      rig.nowMs += 1_000;
      rig.machine.tick(rig.nowMs);
      rig.machine.takeEffects();
      expect(rig.machine.isVital(rig.nowMs), `${rig.machine.state.t} after ${second} s`).toBe(true);
    }
  });

  it('should be vital once it has left', () => {
    const rig = new Rig();
    rig.connect();
    rig.machine.abandon(rig.nowMs);
    rig.turn();
    expect(rig.exit).toBeDefined();
    expect(rig.machine.isVital(rig.nowMs + 3_600_000)).toBe(true);
  });
});

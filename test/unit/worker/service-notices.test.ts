import { beforeEach, describe, expect, it } from 'vitest';
import type { ServiceNotice } from '../../../proto/service-manager.js';
import { ServiceNotices } from '../../../worker/service-notices.js';
import type { SessionPulse } from '../../../worker/session-pulse.js';

const IDLE: SessionPulse = { connected: false, running: 0, settled: 0, trouble: '' };

describe('what the service manager is told of workers', () => {
  const told: ServiceNotice[] = [];
  let closed = 0;
  let nowMs = 0;

  beforeEach(() => {
    told.length = 0;
    closed = 0;
    nowMs = 1_000;
  });

  const open = (processes?: number, beatMs = 10_000): ServiceNotices =>
    new ServiceNotices({
      manager: {
        notify: (notice) => told.push(notice),
        close: () => {
          closed += 1;
          return Promise.resolve();
        },
      },
      ...{ address: 'coordinator:7070', processes, beatMs, nowMs: () => nowMs },
    });

  it('should say what it waits for, and be ready once at the first welcome of one', () => {
    const notices = open(2);
    notices.pulse(0, IDLE);
    notices.pulse(1, IDLE);
    notices.pulse(1, { ...IDLE, trouble: 'connect ECONNREFUSED' });
    notices.pulse(1, { ...IDLE, connected: true });
    notices.pulse(0, { ...IDLE, connected: true });
    notices.pulse(0, { ...IDLE, trouble: 'gone' });
    notices.pulse(0, { ...IDLE, connected: true });
    expect(told).toEqual([
      { status: 'starting' },
      { status: 'waiting for coordinator at coordinator:7070; 0 tasks running, 0 ended' },
      { status: 'waiting for coordinator at coordinator:7070 (connect ECONNREFUSED); 0 tasks running, 0 ended' },
      { ready: true, status: '1 of 2 processes connected to coordinator:7070; 0 tasks running, 0 ended' },
      { status: '2 of 2 processes connected to coordinator:7070; 0 tasks running, 0 ended' },
      { status: '1 of 2 processes connected to coordinator:7070; 0 tasks running, 0 ended' },
      { status: '2 of 2 processes connected to coordinator:7070; 0 tasks running, 0 ended' },
    ]);
  });

  it('should give signs of life with the newest figures, those of ended processes included', () => {
    const notices = open(2);
    notices.pulse(0, { ...IDLE, connected: true, running: 1, settled: 1_000 });
    notices.pulse(1, { ...IDLE, connected: true, settled: 7 });
    notices.gone(1, true);
    notices.pulse(1, { ...IDLE, connected: true, settled: 1 });
    told.length = 0;
    notices.beat();
    notices.beat();
    const status = '2 of 2 processes connected to coordinator:7070; 1 task running, 1,008 ended, 1 restart';
    expect(told).toEqual([
      { watchdog: true, status },
      { watchdog: true, status },
    ]);
  });

  it('should move the time-out of the stop ahead for as long as there are signs of life', async () => {
    const notices = open(1, 5_000);
    notices.pulse(0, { ...IDLE, connected: true, running: 1 });
    told.length = 0;
    notices.draining(60_000);
    // A second one only brings the end forward.
    notices.draining(90_000);
    nowMs += 58_000;
    notices.beat();
    nowMs += 4_000;
    notices.beat();
    // Whatever is left then is for the service manager to end.
    nowMs += 90_000;
    notices.beat();
    nowMs -= 90_000;
    notices.gone(0, false);
    await notices.ended('all processes have left');
    notices.beat();
    expect(told).toEqual([
      {
        ...{ stopping: true, extendTimeoutMs: 20_000 },
        status: 'draining: 1 task running, 0 ended, 1 of 1 process left; at most 1m more',
      },
      {
        ...{ watchdog: true, extendTimeoutMs: 20_000 },
        status: 'draining: 1 task running, 0 ended, 1 of 1 process left; at most 2s more',
      },
      {
        ...{ watchdog: true, extendTimeoutMs: 20_000 },
        status: 'draining: 1 task running, 0 ended, 1 of 1 process left; the time is over, handlers are aborted',
      },
      {
        watchdog: true,
        status: 'draining: 1 task running, 0 ended, 1 of 1 process left; the time is over, handlers are aborted',
      },
      {
        extendTimeoutMs: 20_000,
        status: 'draining: 0 tasks running, 0 ended, 0 of 1 process left; the time is over, handlers are aborted',
      },
      { status: 'all processes have left' },
      // The process still runs.
      { watchdog: true },
    ]);
    expect(closed).toBe(1);
  });

  it('should speak of no processes where this one is the worker', () => {
    const notices = open();
    notices.pulse(0, { ...IDLE, connected: true, running: 2 });
    expect(told.at(-1)?.status).toBe('connected to coordinator:7070; 2 tasks running, 0 ended');
  });
});

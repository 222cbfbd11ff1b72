import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { CoreEvent } from '../../../coordinator/core/outputs.js';
import { CoreEventLog } from '../../../coordinator/logging.js';

const FAILED: CoreEvent = {
  name: 'attempt-ended',
  taskId: 't',
  type: 'work',
  attempt: 1,
  workerId: 'w',
  outcome: 'FAILED',
  charge: 'FAILURE',
  taskState: 'SCHEDULED',
  reason: 'HANDLER_ERROR',
  stack: '',
  message: 'the database is down',
  runMs: 1,
  startDelayMs: 1,
  reported: true,
};

function setup() {
  const lines: { msg: string; count?: number; detail?: string }[] = [];
  const clock = { nowMs: 5_000 };
  const write = (text: string): void => {
    lines.push(JSON.parse(text) as (typeof lines)[number]);
  };
  const log = new CoreEventLog(pino({ level: 'info' }, { write }), () => clock.nowMs);
  return { log, lines, clock };
}

describe('the log of events', () => {
  it('tells failures with their reason, and successes not at level info', () => {
    const { log, lines } = setup();
    log.write(FAILED);
    log.write({ ...FAILED, outcome: 'SUCCEEDED', taskState: 'SUCCEEDED' });
    expect(lines).toMatchObject([{ msg: 'attempt-ended', reason: 'HANDLER_ERROR', detail: 'the database is down' }]);
  });

  it('is no flood when everything fails: 100 lines a second, and how many were left out', () => {
    const { log, lines, clock } = setup();
    for (let index = 0; index < 5_000; index += 1) log.write(FAILED);
    expect(lines).toHaveLength(100);
    clock.nowMs += 1_000;
    log.write(FAILED);
    expect(lines.slice(100)).toMatchObject([{ msg: 'lines-suppressed', count: 4_900 }, { msg: 'attempt-ended' }]);
  });

  it('tells every event of a worker', () => {
    const { log, lines } = setup();
    for (let index = 0; index < 150; index += 1) {
      log.write({ name: 'worker-lost', workerId: `w${index}`, incarnation: 'i', attempts: 0, message: 'silent' });
    }
    expect(lines).toHaveLength(150);
  });
});

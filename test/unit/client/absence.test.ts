import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { Absence } from '../../../client/cli/absence.js';
import { FleetError } from '../../../proto/fleet-error.js';

const away = new FleetError(status.UNAVAILABLE, 'COORDINATOR_UNREACHABLE', 'nobody answers');
const { signal } = new AbortController();

/** An absence whose time the test sets. */
function setup() {
  const time = { nowMs: 0 };
  const told: number[] = [];
  const absence = new Absence({ wallMs: () => 0, monoMs: () => time.nowMs }, () => told.push(time.nowMs));
  return { absence, time, told };
}

describe('Absence', () => {
  it('should not bear with a coordinator that was never there', async () => {
    const { absence, told } = setup();
    await expect(absence.bear(away, signal)).rejects.toBe(away);
    expect(told).toEqual([]);
  });

  it('should bear with one whose connection broke before the answer, also when nobody answers after that', async () => {
    const { absence, time, told } = setup();
    await absence.bear(new FleetError(status.UNAVAILABLE, 'CONNECTION_LOST', 'lost'), signal);
    await absence.bear(away, signal);
    time.nowMs = 30_001;
    await expect(absence.bear(away, signal)).rejects.toBe(away);
    expect(told).toEqual([0]);
  });

  it('should wait for one that answered, tell it once, and give up after 30 s', async () => {
    const { absence, time, told } = setup();
    absence.answered();
    await absence.bear(away, signal);
    time.nowMs = 200;
    await absence.bear(away, signal);
    time.nowMs = 30_001;
    await expect(absence.bear(away, signal)).rejects.toBe(away);
    expect(told).toEqual([0]);
  });

  it('should begin anew when it has answered', async () => {
    const { absence, time, told } = setup();
    absence.answered();
    await absence.bear(away, signal);
    absence.answered();
    time.nowMs = 40_000;
    await absence.bear(away, signal);
    expect(told).toEqual([0, 40_000]);
  });

  it('should not bear with anything else, nor once it is told to stop', async () => {
    const { absence } = setup();
    absence.answered();
    const refused = new FleetError(status.NOT_FOUND, 'TASK_NOT_FOUND', 'no such task');
    await expect(absence.bear(refused, signal)).rejects.toBe(refused);
    await expect(absence.bear(away, AbortSignal.abort())).rejects.toBe(away);
  });
});

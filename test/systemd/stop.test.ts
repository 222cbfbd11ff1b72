import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { COORDINATOR, onFleet, workerUnit } from './fleet.js';

/** Of a unit whose drain takes longer. */
const STOP_MS = 2_000;

describe('systemctl stop of a worker in mid-task', () => {
  it('lets the task finish, reports it, and ends well', () =>
    onFleet('worker-stop', async (fleet) => {
      const { worker, taskId } = await fleet.holdTask();
      const stop = worker.stop();
      await worker.waitForState('deactivating');
      await worker.waitFor(
        ['StatusText'],
        ({ StatusText }) => /^draining: 1 task running, .* left; at most 5m more$/.test(StatusText ?? ''),
        'word that it drains',
      );
      await fleet.record('worker-stop-draining');
      await fleet.release();
      expect(await stop).toMatchObject({ code: 0 });
      expect(await worker.show('ActiveState', 'Result', 'ExecMainStatus')).toEqual({
        ActiveState: 'inactive',
        Result: 'success',
        ExecMainStatus: '0',
      });
      expect(await fleet.ended(taskId)).toBe('SUCCEEDED');
      expect(await fleet.ledger()).toHaveLength(1);
      // Nothing was left for systemd to end.
      expect(await fleet.container.journal(worker.name)).not.toContain('Killing process');
    }));
});

describe('a drain that takes longer than TimeoutStopSec=', () => {
  it('is not cut short while it makes progress', () =>
    onFleet('worker-long-drain', async (fleet) => {
      await fleet.dropIn(workerUnit('a'), `[Service]\nTimeoutStopSec=${STOP_MS}ms\n`);
      const { worker, taskId } = await fleet.holdTask();
      const stop = worker.stop();
      await worker.waitForState('deactivating');
      // What must not happen has its time to happen in.
      await delay(3 * STOP_MS);
      expect(await worker.show('ActiveState')).toEqual({ ActiveState: 'deactivating' });
      await fleet.release();
      expect(await stop).toMatchObject({ code: 0 });
      expect(await worker.show('Result')).toEqual({ Result: 'success' });
      expect(await fleet.ended(taskId)).toBe('SUCCEEDED');
      expect(await fleet.ledger()).toHaveLength(1);
    }));
});

describe('systemctl stop of the coordinator', () => {
  it('ends it well with its socket, and a start of the service brings both back', () =>
    onFleet('coordinator-stop', async (fleet) => {
      await fleet.coordinator.start();
      await fleet.socket.stop();
      expect(await fleet.coordinator.show('ActiveState', 'Result')).toEqual({
        ActiveState: 'inactive',
        Result: 'success',
      });
      expect(await fleet.container.journal(COORDINATOR)).not.toContain('Killing process');
      await fleet.coordinator.start();
      expect(await fleet.socket.show('ActiveState')).toEqual({ ActiveState: 'active' });
    }));
});

/** Ends after which a restart would not help: the unit stays down, and says why. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { COORDINATOR, onFleet, SOCKET, workerUnit, type Fleet } from './fleet.js';

/** TriggerLimitIntervalSec= of the socket. */
const TRIGGER_LIMIT_MS = 10_000;

async function sameId(fleet: Fleet, id: string): Promise<void> {
  await fleet.coordinator.start();
  for (const instance of ['a', 'b']) await fleet.workerEnv(instance, { REMUDA_WORKER_ID: id });
}

describe('two workers with one id', () => {
  it('leave one up; the other stays down, with status 78', () =>
    onFleet('twin', async (fleet) => {
      await sameId(fleet, 'twin');
      await fleet.worker('a').start();
      await fleet.worker('b').start();
      const loser = fleet.worker('a');
      await loser.waitForState('failed');
      expect(await loser.show('ExecMainStatus', 'NRestarts')).toEqual({ ExecMainStatus: '78', NRestarts: '0' });
      expect(await loser.status()).toContain('worker_id');
      expect((await fleet.submitEach('echo', [1])).map(({ state }) => state)).toEqual(['SUCCEEDED']);
      expect(await loser.show('ActiveState', 'NRestarts')).toEqual({ ActiveState: 'failed', NRestarts: '0' });
      expect(await fleet.worker('b').show('ActiveState', 'NRestarts')).toEqual({
        ActiveState: 'active',
        NRestarts: '0',
      });
    }));
});

describe('a wrong option', () => {
  it('of a worker fails its unit, and systemctl status says what is wrong', () =>
    onFleet('worker-wrong-option', async (fleet) => {
      const worker = fleet.worker('a');
      await fleet.workerEnv('a', { REMUDA_SLOTS: 'many' });
      await worker.startSoon();
      await worker.waitForState('failed');
      expect(await worker.show('ExecMainStatus', 'NRestarts')).toEqual({ ExecMainStatus: '2', NRestarts: '0' });
      expect(await worker.status()).toContain('--slots is "many"');

      await fleet.workerEnv('a', {});
      await fleet.coordinator.start();
      await worker.start();
    }));

  it('of a worker that is told no handlers file says that it is told none', () =>
    onFleet('worker-no-handlers', async (fleet) => {
      await fleet.workerEnv(null, { REMUDA_HANDLERS: '' });
      const worker = fleet.worker('a');
      await worker.startSoon();
      await worker.waitForState('failed');
      expect(await worker.show('ExecMainStatus', 'NRestarts')).toEqual({ ExecMainStatus: '2', NRestarts: '0' });
      expect(await worker.status()).toContain('no handlers file');
    }));

  it('of the coordinator fails it, also while workers dial its socket, and a restart brings both back', () =>
    onFleet('coordinator-wrong-option', async (fleet) => {
      await fleet.coordinator.start();
      await fleet.worker('a').start();
      await fleet.coordinatorEnv({ REMUDA_LEASE: 'long' });
      const { code } = await fleet.container.run(['systemctl', 'restart', COORDINATOR]);
      expect(code).not.toBe(0);
      await fleet.socket.waitForState('failed', 60_000);
      await fleet.coordinator.waitForState('failed');
      expect(await fleet.coordinator.show('ExecMainStatus')).toEqual({ ExecMainStatus: '2' });
      expect(await fleet.coordinator.status()).toContain('--lease is "long"');
      await fleet.record('coordinator-wrong-option-failed');

      await fleet.coordinatorEnv({});
      // The starts of these seconds still count. Nobody repairs an option faster.
      await delay(TRIGGER_LIMIT_MS);
      await fleet.coordinator.restart();
      expect(await fleet.container.unit(SOCKET).show('ActiveState')).toEqual({ ActiveState: 'active' });
      expect((await fleet.submitEach('echo', [1])).map(({ state }) => state)).toEqual(['SUCCEEDED']);
      expect(await fleet.container.unit(workerUnit('a')).show('NRestarts')).toEqual({ NRestarts: '0' });
    }));
});

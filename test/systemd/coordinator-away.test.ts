import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { onFleet, workerUnit } from './fleet.js';

const WATCHDOG_MS = 3_000;
const PROCESSES = 2;

describe('a coordinator that is down for three periods of the watchdog', () => {
  it('costs no worker: they wait, say so, and work again when it is back', () =>
    onFleet('coordinator-away', async (fleet) => {
      await fleet.workerEnv('a', { REMUDA_PROCESSES: PROCESSES });
      await fleet.dropIn(workerUnit('a'), `[Service]\nWatchdogSec=${WATCHDOG_MS}ms\n`);
      await fleet.coordinator.start();
      const worker = fleet.worker('a');
      await worker.start();
      expect((await fleet.submitEach('echo', [1])).map(({ state }) => state)).toEqual(['SUCCEEDED']);
      const before = await worker.show('MainPID', 'NRestarts', 'ActiveState');
      const children = await worker.childPids();
      expect(before).toMatchObject({ NRestarts: '0', ActiveState: 'active' });
      expect(children).toHaveLength(PROCESSES);

      // The service alone would be started again by the workers, which dial its socket.
      await fleet.socket.stop();
      expect(await fleet.coordinator.show('ActiveState')).toEqual({ ActiveState: 'inactive' });
      await worker.waitFor(
        ['StatusText'],
        ({ StatusText }) => StatusText?.includes('waiting for coordinator') === true,
        'word that it waits',
      );
      // What must not happen has its time to happen in.
      await delay(3 * WATCHDOG_MS + 500);
      await fleet.record('coordinator-away-waiting');
      expect(await worker.show('MainPID', 'NRestarts', 'ActiveState')).toEqual(before);
      expect(await worker.childPids()).toEqual(children);

      await fleet.coordinator.start();
      expect((await fleet.submitEach('echo', [2])).map(({ state }) => state)).toEqual(['SUCCEEDED']);
      await worker.waitFor(
        ['StatusText'],
        ({ StatusText }) => StatusText?.includes('waiting for coordinator') === false,
        'word that it waits no more',
      );
      expect(await worker.show('MainPID', 'NRestarts', 'ActiveState')).toEqual(before);
      expect(await worker.childPids()).toEqual(children);
    }));
});

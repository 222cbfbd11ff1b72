import { describe, expect, it } from 'vitest';
import { PACKAGE } from './container.js';
import { COORDINATOR, onFleet, SOCKET, workerUnit } from './fleet.js';

const UNIT_FOLDER = '/etc/systemd/system';
/** What `systemd-analyze security` may give, 0 the best and 10 the worst. The reasons for the rest are in the units. */
const COORDINATOR_EXPOSURE_MAX = 2.5;
const WORKER_EXPOSURE_MAX = 4;
const STRICT_WORKER_EXPOSURE_MAX = 2;
const DROP_INS = ['gpu', 'memory', 'network-isolated', 'strict'];

describe('the units', () => {
  it('have nothing in them that systemd does not know, with each drop-in too', () =>
    onFleet('units', async ({ container }) => {
      const verify = async (): Promise<void> => {
        const units = [COORDINATOR, SOCKET, workerUnit('a')];
        const { code, stdout, stderr } = await container.run(['systemd-analyze', 'verify', ...units]);
        expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
      };
      await verify();
      for (const name of DROP_INS) {
        const text = await container.output(['cat', `${PACKAGE}/docs/deploy/systemd/worker-${name}.conf`]);
        await container.writeFile(`${UNIT_FOLDER}/remuda-worker@.service.d/${name}.conf`, text);
        await verify();
        await container.output(['rm', '-r', `${UNIT_FOLDER}/remuda-worker@.service.d`]);
      }
    }));

  it('are hardened as they say', () =>
    onFleet('units-hardening', async (fleet) => {
      const exposure = async (unit: string): Promise<number> => {
        const text = await fleet.container.output(['systemd-analyze', 'security', '--no-pager', unit]);
        return Number(/Overall exposure level for \S+: ([\d.]+)/.exec(text)?.[1] ?? NaN);
      };
      await fleet.container.output(['systemctl', 'daemon-reload']);
      expect(await exposure(COORDINATOR)).toBeLessThanOrEqual(COORDINATOR_EXPOSURE_MAX);
      expect(await exposure(workerUnit('a'))).toBeLessThanOrEqual(WORKER_EXPOSURE_MAX);
      const strict = await fleet.container.output(['cat', `${PACKAGE}/docs/deploy/systemd/worker-strict.conf`]);
      await fleet.dropIn('remuda-worker@.service', strict);
      expect(await exposure(workerUnit('a'))).toBeLessThanOrEqual(STRICT_WORKER_EXPOSURE_MAX);
      // And handlers still run in it.
      await fleet.coordinator.start();
      await fleet.worker('a').start();
      expect((await fleet.submitEach('echo', ['hello'])).map(({ state }) => state)).toEqual(['SUCCEEDED']);
    }));
});

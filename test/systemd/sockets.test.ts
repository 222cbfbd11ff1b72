import { describe, expect, it } from 'vitest';
import { COORDINATOR, onFleet, SOCKET, workerUnit } from './fleet.js';

const UNIX_PATH = '/run/remuda/coordinator.sock';

describe('the coordinator with a Unix socket beside its port', () => {
  it('serves both, and a worker without any network', () =>
    onFleet('socket-unix', async (fleet) => {
      await fleet.dropIn(SOCKET, `[Socket]\nListenStream=${UNIX_PATH}\n`);
      // What worker-network-isolated.conf says for the coordinator's own machine.
      const isolated = ['PrivateNetwork=yes', 'RestrictAddressFamilies=', 'RestrictAddressFamilies=AF_UNIX'];
      await fleet.dropIn(workerUnit('a'), ['[Service]', ...isolated, 'SupplementaryGroups=remuda', ''].join('\n'));
      await fleet.workerEnv('a', { REMUDA_ADDRESS: `unix:${UNIX_PATH}` });
      await fleet.coordinator.start();
      expect(await fleet.container.output(['stat', '--format=%a %U %G', UNIX_PATH])).toBe('660 remuda remuda\n');
      await fleet.worker('a').start();
      expect((await fleet.submitEach('echo', [1])).map(({ state }) => state)).toEqual(['SUCCEEDED']);
    }));
});

describe('a socket unit that is edited while its service runs', () => {
  it('lets no service start elsewhere, and works when it is restarted itself', () =>
    onFleet('socket-edited', async (fleet) => {
      const { container } = fleet;
      await fleet.coordinator.start();
      await fleet.dropIn(SOCKET, '[Socket]\nListenStream=\nListenStream=127.0.0.2:7070\n');
      const { code } = await container.run(['systemctl', 'restart', COORDINATOR]);
      expect(code).not.toBe(0);
      await fleet.coordinator.waitForState('failed');
      expect(await fleet.coordinator.show('ExecMainStatus')).toEqual({ ExecMainStatus: '2' });
      expect(await container.journal(COORDINATOR)).toContain('systemctl restart remuda-coordinator.socket');
      await fleet.record('socket-edited-refused');
      await container.output(['systemctl', 'restart', SOCKET, COORDINATOR]);
      await fleet.workerEnv(null, { REMUDA_ADDRESS: '127.0.0.2:7070' });
      await fleet.worker('a').start();
    }));
});

describe('a socket whose address the machine does not have yet', () => {
  it('waits for it, as at a boot, and is served', () =>
    onFleet('socket-early', async (fleet) => {
      const { container } = fleet;
      await fleet.dropIn(SOCKET, '[Socket]\nListenStream=\nListenStream=10.0.0.5:7070\n');
      await fleet.coordinatorEnv({ REMUDA_INSECURE: 1 });
      await fleet.workerEnv(null, { REMUDA_ADDRESS: '10.0.0.5:7070' });
      await fleet.coordinator.start();
      await fleet.worker('a').startSoon();
      await fleet.worker('a').waitForState('activating');
      await container.output(['ip', 'address', 'add', '10.0.0.5/32', 'dev', 'lo']);
      await fleet.worker('a').waitForState('active');
    }));
});

describe('the coordinator with a socket that other machines can reach', () => {
  it('refuses it until it is told REMUDA_INSECURE, and says so', () =>
    onFleet('socket-open', async (fleet) => {
      await fleet.dropIn(SOCKET, '[Socket]\nListenStream=\nListenStream=0.0.0.0:7070\n');
      const { code } = await fleet.container.run(['systemctl', 'start', COORDINATOR]);
      expect(code).not.toBe(0);
      expect(await fleet.coordinator.show('ExecMainStatus')).toEqual({ ExecMainStatus: '2' });
      expect(await fleet.container.journal(COORDINATOR)).toMatch(/0\.0\.0\.0:7070.*--insecure/);

      await fleet.coordinatorEnv({ REMUDA_INSECURE: 1 });
      await fleet.coordinator.restart();
      await fleet.worker('a').start();
    }));
});

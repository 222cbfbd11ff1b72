import { describe, expect, it } from 'vitest';
import { onFleet } from './fleet.js';

describe('a worker that starts before its coordinator', () => {
  it('waits for it, and says so, for longer than any time-out', () =>
    onFleet('worker-first', async (fleet) => {
      const worker = fleet.worker('a');
      await worker.startSoon();
      const look = ['ActiveState', 'StatusText', 'ExecMainPID', 'NRestarts'];
      const waits = await worker.waitFor(
        look,
        ({ StatusText }) => StatusText?.includes('waiting for coordinator at 127.0.0.1:7070') === true,
        'word that it waits',
      );
      expect(waits).toMatchObject({ ActiveState: 'activating', NRestarts: '0' });
      expect(await worker.show('TimeoutStartUSec')).toEqual({ TimeoutStartUSec: 'infinity' });
      await fleet.record('worker-first-waiting');

      await fleet.coordinator.start();
      const { ExecMainPID } = waits;
      await worker.waitForState('active');
      expect(await worker.show('ExecMainPID', 'NRestarts')).toEqual({ ExecMainPID, NRestarts: '0' });
      expect((await fleet.submitEach('echo', ['hello'])).map(({ state }) => state)).toEqual(['SUCCEEDED']);
    }));
});

describe('the boot of a machine with workers', () => {
  it('does not wait for a coordinator, starts them, and stops and starts all by their target', () =>
    onFleet('worker-boot', async (fleet) => {
      const { container } = fleet;
      await container.output(['systemctl', 'enable', fleet.worker('a').name]);
      // What the boot does with it.
      await container.output(['systemctl', 'start', 'remuda-workers.target']);
      await fleet.worker('a').waitForState('activating');
      await fleet.coordinator.start();
      await fleet.worker('a').waitForState('active');
      const first = await fleet.worker('a').mainPid();
      await container.output(['systemctl', 'restart', 'remuda-workers.target']);
      await fleet.worker('a').waitForState('active');
      expect(await fleet.worker('a').mainPid()).not.toBe(first);
      await container.output(['systemctl', 'stop', 'remuda-workers.target']);
      await fleet.worker('a').waitForState('inactive');
      // As the guide says it.
      await container.output(['systemctl', 'enable', '--now', '--no-block', fleet.worker('b').name]);
      await fleet.worker('b').waitForState('active');
    }));
});

describe('a worker that starts after its coordinator', () => {
  it('is active once it has been welcomed, and both say how they are', () =>
    onFleet('coordinator-first', async (fleet) => {
      await fleet.coordinator.start();
      await fleet.worker('a').start();
      // Active says that it has been welcomed: the coordinator knows it.
      const workers = await fleet.container.output(['remuda', 'workers', '--json']);
      expect(workers).toContain(`${fleet.container.name}/a/0`);
      for (const unit of [fleet.coordinator, fleet.worker('a')]) {
        await unit.waitFor(['StatusText'], ({ StatusText }) => StatusText !== '', 'status text');
      }
      // The shipped defaults, hardening included: the store is where the unit says, and nobody else reads it.
      expect(
        await fleet.container.output(['stat', '--format=%a %U', '/var/lib/remuda', '/var/lib/remuda/remuda.db']),
      ).toBe('700 remuda\n600 remuda\n');
      expect((await fleet.submitEach('echo', [1, 2, 3])).map(({ state }) => state)).toEqual([
        'SUCCEEDED',
        'SUCCEEDED',
        'SUCCEEDED',
      ]);
    }));
});

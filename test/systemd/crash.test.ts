import { describe, expect, it } from 'vitest';
import { COORDINATOR, onFleet, workerUnit, type Fleet } from './fleet.js';

/**
 * A lease that no test sees the end of: a task that moves within it has moved because the successor of its worker has named the
 * incarnation that died.
 */
const LONG_LEASE = { REMUDA_LEASE: '10m' };
/** Far below the lease, far above a restart. */
const AT_ONCE_MS = 30_000;
/** For a watchdog of seconds: three signs of life within it, on a busy machine. */
const SHORT_WATCHDOG = '[Service]\nWatchdogSec=3s\n';

/** A fleet of one worker with a task that runs in it and would not end by itself. */
async function withHangingTask(fleet: Fleet): Promise<string> {
  await fleet.coordinatorEnv(LONG_LEASE);
  await fleet.coordinator.start();
  await fleet.worker('a').start();
  const taskId = await fleet.submit('hang-once');
  await fleet.entered(taskId, 1);
  return taskId;
}

describe('a worker whose main process is killed', () => {
  it('is started again, and names what died, so that its task runs again at once', () =>
    onFleet('worker-killed', async (fleet) => {
      const taskId = await withHangingTask(fleet);
      const worker = fleet.worker('a');
      const children = await worker.childPids();
      await worker.kill('SIGKILL');
      const [first, second] = await fleet.entered(taskId, 2, AT_ONCE_MS);
      expect(second).toMatchObject({ attempt: 2 });
      expect(second?.pid).not.toBe(first?.pid);
      expect(await fleet.ended(taskId)).toBe('SUCCEEDED');
      expect(await worker.show('NRestarts', 'ActiveState')).toEqual({ NRestarts: '1', ActiveState: 'active' });
      // KillMode=mixed: what the dead supervisor has left was ended with it.
      const now = await worker.childPids();
      expect(children.filter((pid) => now.includes(pid))).toEqual([]);
    }));
});

describe('a coordinator that is killed while a worker beside it drains', () => {
  it('is started again at once, and hears of the end of what that worker runs', () =>
    onFleet('coordinator-killed', async (fleet) => {
      const { worker, taskId } = await fleet.holdTask();
      const stop = worker.stop();
      await worker.waitForState('deactivating');
      await fleet.coordinator.kill('SIGKILL');
      await fleet.coordinator.waitFor(['NRestarts'], ({ NRestarts }) => NRestarts === '1', 'restart');
      await fleet.coordinator.waitForState('active');
      expect(await worker.show('ActiveState')).toEqual({ ActiveState: 'deactivating' });
      await fleet.release();
      expect(await stop).toMatchObject({ code: 0 });
      expect(await fleet.ended(taskId)).toBe('SUCCEEDED');
      expect(await fleet.ledger()).toHaveLength(1);
    }));
});

describe('a worker whose main process stands still', () => {
  it('is ended by the watchdog and started again, and its task runs again at once', () =>
    onFleet('worker-stopped', async (fleet) => {
      await fleet.dropIn(workerUnit('a'), SHORT_WATCHDOG);
      const taskId = await withHangingTask(fleet);
      const worker = fleet.worker('a');
      await worker.kill('SIGSTOP');
      await worker.waitFor(['NRestarts'], ({ NRestarts }) => NRestarts === '1', 'restart by the watchdog');
      expect(await fleet.container.journal(worker.name)).toContain("Failed with result 'watchdog'");
      await fleet.entered(taskId, 2, AT_ONCE_MS);
      expect(await fleet.ended(taskId)).toBe('SUCCEEDED');
    }));
});

describe('a supervised process that stands still', () => {
  it('is replaced by its supervisor; the unit is not started again', () =>
    onFleet('child-stopped', async (fleet) => {
      await fleet.dropIn(workerUnit('a'), SHORT_WATCHDOG);
      const taskId = await withHangingTask(fleet);
      const worker = fleet.worker('a');
      const mainPid = await worker.mainPid();
      const [child] = await worker.childPids();
      await fleet.container.output(['kill', '-STOP', String(child)]);
      await fleet.entered(taskId, 2, AT_ONCE_MS);
      expect(await fleet.ended(taskId)).toBe('SUCCEEDED');
      expect(await worker.childPids()).not.toContain(child);
      expect(await worker.show('MainPID', 'NRestarts')).toEqual({ MainPID: String(mainPid), NRestarts: '0' });
    }));
});

describe('a coordinator that stands still', () => {
  it('is ended by the watchdog and started again; the workers, and what they run, notice nothing', () =>
    onFleet('coordinator-stopped', async (fleet) => {
      await fleet.dropIn(COORDINATOR, SHORT_WATCHDOG);
      const { worker, taskId } = await fleet.holdTask();
      const mainPid = await worker.mainPid();
      await fleet.coordinator.kill('SIGSTOP');
      await fleet.coordinator.waitFor(['NRestarts'], ({ NRestarts }) => NRestarts === '1', 'restart by the watchdog');
      expect(await fleet.container.journal(COORDINATOR)).toContain("Failed with result 'watchdog'");
      await fleet.coordinator.waitForState('active');
      await fleet.release();
      expect(await fleet.ended(taskId)).toBe('SUCCEEDED');
      expect(await fleet.ledger()).toHaveLength(1);
      expect(await worker.show('MainPID', 'NRestarts')).toEqual({ MainPID: String(mainPid), NRestarts: '0' });
    }));
});

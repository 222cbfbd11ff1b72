import { describe, expect, it } from 'vitest';
import { PACKAGE } from './container.js';
import { onFleet, type Fleet } from './fleet.js';

const INSTANCES = 10;
const PROCESSES = 5;
const WORKERS = INSTANCES * PROCESSES;
/** Fifty Node processes that start on two cores. */
const START_MS = 60_000;

async function startWorkers(fleet: Fleet): Promise<void> {
  await fleet.workerEnv(null, { REMUDA_PROCESSES: PROCESSES });
  const units = Array.from({ length: INSTANCES }, (_, index) => fleet.worker(String(index)).name);
  await fleet.container.output(['systemctl', 'start', ...units], { timeoutMs: START_MS });
}

describe('systemctl restart of the coordinator under fifty workers', () => {
  it('runs no task again, and refuses no connection', () =>
    onFleet('coordinator-restart', async (fleet) => {
      await fleet.coordinator.start();
      await startWorkers(fleet);
      const tasks = fleet.submitEach(
        'hold',
        Array.from({ length: WORKERS }, (_, index) => index),
      );
      const holds = await fleet.enteredBy(({ type }) => type === 'hold', WORKERS, START_MS);
      expect(new Set(holds.map(({ pid }) => pid)).size).toBe(WORKERS);
      const before = await fleet.coordinator.mainPid();

      const dialler = fleet.container.run(['node', `${PACKAGE}/test/systemd/dial.mjs`, '7070', '/run/dialled-enough']);
      await fleet.coordinator.restart();
      await fleet.container.writeFile('/run/dialled-enough', '');
      const { served, failed } = JSON.parse((await dialler).stdout) as { served: number; failed: string[] };
      expect(failed).toEqual([]);
      expect(served).toBeGreaterThan(10);
      expect(await fleet.coordinator.mainPid()).not.toBe(before);

      await fleet.coordinator.waitFor(
        ['StatusText'],
        ({ StatusText }) =>
          StatusText?.includes(`workers: ${WORKERS} ready; tasks: 0 queued, ${WORKERS} running`) === true,
        'word that all workers are back',
      );
      await fleet.record('coordinator-restarted');
      await fleet.release();
      const states = (await tasks).map(({ state }) => state);
      expect(states).toEqual(Array.from({ length: WORKERS }, () => 'SUCCEEDED'));
      expect(await fleet.ledger()).toHaveLength(WORKERS);
      for (let index = 0; index < INSTANCES; index += 1) {
        expect(await fleet.worker(String(index)).show('NRestarts')).toEqual({ NRestarts: '0' });
      }
    }));
});

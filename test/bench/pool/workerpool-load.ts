/** The host program with a pool of workerpool: processes or threads. */
import { fileURLToPath } from 'node:url';
import workerpool from 'workerpool';
import { servePeer } from '../serve-peer.js';
import { loadOperations } from './load.js';

let pool: workerpool.Pool;

function open({ name, workers }: { name: 'process' | 'thread'; workers: number }): void {
  const script = fileURLToPath(new URL('./workerpool-worker.js', import.meta.url));
  pool = workerpool.pool(script, { workerType: name, minWorkers: workers, maxWorkers: workers });
}

servePeer({
  open,
  // What it resolves with is not for a message between processes.
  close: async () => {
    await pool.terminate();
  },
  ...loadOperations(async (type, payload) => (await pool.exec(type, [payload])) as unknown),
});

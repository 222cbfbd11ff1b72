/** A coordinator in a worker thread, as a pool has it; started by embedded.test.ts. Any message stops it. */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { pino } from 'pino';
import { coordinatorConfig, type CoordinatorConfig } from '../../../coordinator/config.js';
import { Coordinator } from '../../../coordinator/coordinator.js';

/** What the thread says. */
export type ThreadMessage =
  { readonly kind: 'listening'; readonly listen: string } | { readonly kind: 'failed'; readonly message: string };

const port = parentPort;
if (port === null) throw new Error('this file is for a thread');
const say = (message: ThreadMessage): void => port.postMessage(message);
const coordinator = new Coordinator(coordinatorConfig(workerData as Partial<CoordinatorConfig>), {
  log: pino({ level: 'silent' }),
  onFatal: (error) => {
    throw error;
  },
});
try {
  const { listen } = await coordinator.start();
  say({ kind: 'listening', listen });
  await once(port, 'message');
} catch (error) {
  say({ kind: 'failed', message: String(error) });
}
await coordinator.stop();

/** The worker process of the benchmark. */
import { pino } from 'pino';
import { createWorker, type WorkerOptions } from '../../worker/index.js';
import { servePeer } from './serve-peer.js';

/** The contract's bounds of one worker, so that it is never the worker that holds a window back. */
const SLOTS = 1_000;
const PREFETCH = 1_000;

function start(options: Pick<WorkerOptions, 'address' | 'session'>): Promise<void> {
  const logger = pino({ level: 'warn' }, pino.destination(2));
  const worker = createWorker({ ...options, workerId: 'bench', slots: SLOTS, prefetch: PREFETCH, logger });
  worker.registerTaskHandler('echo', (payload) => payload);
  // The clock that all processes of one machine share.
  worker.registerTaskHandler('entered', () => String(process.hrtime.bigint()));
  return worker.start();
}

servePeer({ start });

/** A thread of a {@link SeedPool}: runs the seeds that it is sent, one after the other, and answers with their reports. */
import { parentPort } from 'node:worker_threads';
import { simulate } from '../simulation.js';
import type { SeedRun } from './seed-run.js';

parentPort?.on('message', ({ seed, ...limits }: SeedRun) => {
  // What it rejects with ends the thread, and the pool says so.
  void simulate(seed, limits).then((report) => parentPort?.postMessage(report));
});

/** The thread of a pool: coordinator, supervisor, log and HTTP side. Started by `pool-host.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import type { FromPool, PoolSetup, ToPool } from './pool-messages.js';
import { PoolRuntime } from './pool-runtime.js';
import { processClockMs } from './process-clock.js';

// What it has to say of connections that break is in our own log.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

function serve(port: NonNullable<typeof parentPort>, setup: PoolSetup): void {
  const runtime = new PoolRuntime(setup, {
    post: (message: FromPool) => port.postMessage(message),
    nowMs: processClockMs,
    onOver: () => port.close(),
  });
  port.on('message', (message: ToPool) => runtime.hear(message));
  void runtime.run();
}

if (parentPort === null) throw new Error('pool-thread is started by createWorkerPool(), not by itself');
serve(parentPort, workerData as PoolSetup);

/**
 * The session thread: the stream to the coordinator, in a thread of its own, so that user code which blocks the process's main
 * thread cannot silence the worker. Started by ThreadPort; speaks the messages of session-messages.ts over its MessagePort.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { LoopWatch, LOOP_PING_MS } from './loop-watch.js';
import { Session } from './session.js';
import type { FromThread, ToThread } from './session-messages.js';
import type { SessionSetup } from './session-setup.js';

const nowMs = (): number => performance.now();

function serve(port: NonNullable<typeof parentPort>, setup: SessionSetup): void {
  const post = (message: FromThread, transfer: ArrayBuffer[]) => port.postMessage(message, transfer);
  const watch = new LoopWatch({
    nowMs,
    ping: (number) => post({ t: 'ping', number }, []),
    onChange: (what) => session.loopWatched(what),
  });
  const session = new Session(setup, {
    post,
    handlersBeside: false,
    takeLagMs: () => watch.takeLagMs(),
    nowMs,
    random: Math.random,
  });
  port.on('message', (message: ToThread) => {
    if (message.t === 'pong') watch.pong(message.number);
    else if (message.t === 'ending') {
      session.sayEnding(message.exit);
      Atomics.store(message.told, 0, 1);
      Atomics.notify(message.told, 0);
    } else session.hear(message);
    // While user code is loaded, the loop is not expected to turn.
    if (message.t === 'start') setInterval(() => watch.ask(), LOOP_PING_MS);
  });
}

if (parentPort === null) throw new Error('session-thread is started by a worker, not by itself');
serve(parentPort, workerData as SessionSetup);

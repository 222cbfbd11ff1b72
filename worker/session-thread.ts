/**
 * The session thread: the stream to the coordinator, in a thread of its own, so that user code which blocks the process's main
 * thread cannot silence the worker. Started by ThreadPort; speaks the messages of session-messages.ts over its MessagePort.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { every } from '../proto/every.js';
import { LoopWatch, LOOP_PING_MS } from './loop-watch.js';
import { Session } from './session.js';
import { isRepeat, type FromThread, type ToThread } from './session-messages.js';
import type { SessionSetup } from './session-setup.js';

const nowMs = (): number => performance.now();

function serve(port: NonNullable<typeof parentPort>, setup: SessionSetup): void {
  const post = postsInOrder(port);
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
    // While user code is loaded, the loop is not expected to turn; while nothing runs, nobody waits for it.
    if (message.t === 'start') every(LOOP_PING_MS, () => session.isBusy && watch.ask());
  });
}

/**
 * Sends to the handlers' side: at once, but a repeated attempt in the next turn of the loop, when the frames of this one, which
 * say that it has started, are with the system. What is sent meanwhile must not overtake it.
 */
function postsInOrder(port: NonNullable<typeof parentPort>) {
  let waiting = 0;
  return (message: FromThread, transfer: ArrayBuffer[]): void => {
    const waits = message.t === 'run' && message.tasks.some(({ attempt }) => isRepeat(attempt));
    if (!waits && waiting === 0) {
      port.postMessage(message, transfer);
      return;
    }
    waiting += 1;
    setImmediate(() => {
      waiting -= 1;
      port.postMessage(message, transfer);
    });
  };
}

if (parentPort === null) throw new Error('session-thread is started by a worker, not by itself');
serve(parentPort, workerData as SessionSetup);

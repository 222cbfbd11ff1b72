import { Worker as Thread } from 'node:worker_threads';
import type { FromHandlers, FromThread, SessionExit, ToThread } from './session-messages.js';
import type { SessionPort, SessionPortListener } from './session-port.js';
import type { SessionSetup } from './session-setup.js';

/**
 * How long the thread may take to tell the supervisor something, in milliseconds. It may have to come up first, and that takes
 * seconds where a host starts many processes at once.
 */
const SAY_MS = 10_000;

/** A session in a thread of its own, which handlers cannot block. */
export class ThreadPort implements SessionPort {
  private readonly thread: Thread;

  constructor(
    private readonly setup: SessionSetup,
    private readonly listener: SessionPortListener,
  ) {
    this.thread = new Thread(new URL('./session-thread.js', import.meta.url), {
      workerData: setup,
      name: 'remuda-session',
    });
    this.thread.on('message', (message: FromThread) => this.hear(message));
    this.thread.on('error', (error) => listener.onFailure(error));
  }

  /** Copies the message to the thread. */
  post(message: FromHandlers, transfer: ArrayBuffer[]): void {
    this.send(message, transfer);
  }

  /** This thread stands still meanwhile: it may have no turn of its loop left. */
  sayEnding(exit: SessionExit): void {
    const told = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    this.send({ t: 'ending', exit, told }, []);
    Atomics.wait(told, 0, 0, SAY_MS);
  }

  /** As a thread does. */
  keepAlive(yes: boolean): void {
    if (yes) this.thread.ref();
    else this.thread.unref();
  }

  private hear(message: FromThread): void {
    if (message.t === 'ping') {
      this.send({ t: 'pong', number: message.number }, []);
      return;
    }
    // A program's thread stays: it sees to it that the process ends.
    if (message.t === 'exit' && !this.setup.ownsProcess) void this.thread.terminate();
    this.listener.onMessage(message);
  }

  private send(message: ToThread, transfer: ArrayBuffer[]): void {
    this.thread.postMessage(message, transfer);
  }
}

import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { LineSplitter } from './line-splitter.js';
import { parseSupervisorLine, type ChildMessage } from './supervision.js';

/** What the child wants to hear of its supervisor. */
export interface SupervisorListener {
  onDrain(drainMs: number): void;
  /** The supervisor's process is gone. Once. */
  onGone(): void;
}

/** The child's end of the supervision socket. It is the session's, whose thread, if it has one, nobody can block. */
export class SupervisorLink {
  private gone = false;

  constructor(
    private readonly fd: number,
    private readonly listener: SupervisorListener,
  ) {
    const socket = new Socket({ fd, readable: true, writable: true });
    const lines = new LineSplitter((line) => {
      const message = parseSupervisorLine(line);
      if (message !== undefined) listener.onDrain(message.drainMs);
    });
    socket.on('data', (chunk: Buffer) => lines.push(chunk));
    socket.on('error', () => this.lose());
    socket.on('close', () => this.lose());
    // It watches, it does not keep the process alive.
    socket.unref();
  }

  /** Tells the supervisor something; written at once, because the process may be about to end. */
  say(message: ChildMessage): void {
    if (this.gone) return;
    try {
      writeSync(this.fd, `${JSON.stringify(message)}\n`);
    } catch {
      // It is gone, which 'close' tells; or its buffer is full of what it does not read, and it will learn from the exit.
    }
  }

  private lose(): void {
    if (this.gone) return;
    this.gone = true;
    this.listener.onGone();
  }
}

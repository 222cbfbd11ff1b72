import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { Socket } from 'node:net';
import { LineSplitter } from './line-splitter.js';
import { parseChildLine, type SupervisorMessage } from './supervision.js';

/** What to start. */
export interface ChildCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment, without the supervision variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** How a child ended. */
export interface ChildEnd {
  /** Undefined if it never started. */
  readonly pid: number | undefined;
  /** Its exit status; null if a signal ended it or it never started. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it said it would end with; undefined if it did not. */
  readonly said: { readonly code: number; readonly message: string } | undefined;
  /** Why it could not be started. */
  readonly error: Error | undefined;
}

/** What a child's owner wants to hear. */
export interface ChildListener {
  onReady(): void;
  /** Once; the process has been reaped. */
  onEnd(end: ChildEnd): void;
}

/** Where the children's output goes. */
export interface ChildOutput {
  readonly stdout: Writable;
  readonly stderr: Writable;
}

/** The descriptor of the supervision socket in the child. */
export const CHILD_FD = 3;

/** How long the last words of an ended child are waited for. */
const LAST_WORDS_MS = 1_000;

/** One process of a worker, from its start until it has been reaped. */
export class SupervisedChild {
  private readonly process: ChildProcess;
  private readonly socket: Socket | undefined;
  private said: ChildEnd['said'];
  private ended = false;

  constructor(
    { command, args, env }: ChildCommand,
    output: ChildOutput,
    private readonly listener: ChildListener,
  ) {
    this.process = spawn(command, args, { env: { ...env }, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    const { stdout, stderr } = this.process;
    if (stdout !== null) passThrough(stdout, output.stdout);
    if (stderr !== null) passThrough(stderr, output.stderr);
    const socket = this.process.stdio[CHILD_FD];
    this.socket = socket instanceof Socket ? socket : undefined;
    this.listen();
  }

  /** Undefined if it could not be started. */
  get pid(): number | undefined {
    return this.process.pid;
  }

  /** Asks it to leave. Over the socket rather than by SIGTERM, which waits for ever for a main thread that is blocked. */
  drain(drainMs: number): void {
    const message: SupervisorMessage = { drainMs };
    if (this.socket?.writable === true) this.socket.write(`${JSON.stringify(message)}\n`);
    else this.process.kill('SIGTERM');
  }

  /** Ends it now. */
  kill(): void {
    this.process.kill('SIGKILL');
  }

  private listen(): void {
    const lines = new LineSplitter((line) => this.hear(line));
    this.socket?.on('data', (chunk: Buffer) => lines.push(chunk));
    // The child has closed it, or is gone: its end is told by 'exit'.
    this.socket?.on('error', () => undefined);
    this.process.on('error', (error) => {
      if (this.process.pid === undefined) this.end({ code: null, signal: null, error });
    });
    this.process.on('exit', (code, signal) => this.end({ code, signal, error: undefined }));
  }

  private hear(line: string): void {
    const message = parseChildLine(line);
    if (message === undefined) return;
    if ('ready' in message) this.listener.onReady();
    else this.said = message.ending;
  }

  private end(how: Pick<ChildEnd, 'code' | 'signal' | 'error'>): void {
    if (this.ended) return;
    this.ended = true;
    // What it said last may still be in the socket: the exit can overtake it.
    const finish = () => {
      this.socket?.destroy();
      this.listener.onEnd({ ...how, pid: this.process.pid, said: this.said });
    };
    const { socket } = this;
    if (socket === undefined || socket.readableEnded || socket.destroyed) {
      finish();
      return;
    }
    // A process that the handlers left behind may hold the other end open: it is not waited for.
    const timer = setTimeout(() => socket.destroy(), LAST_WORDS_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      finish();
    });
  }
}

/** Passes output on line by line, so that the lines of several children do not mix; waits when the reader is slow. */
function passThrough(from: Readable, to: Writable): void {
  const lines = new LineSplitter((line) => {
    if (to.write(`${line}\n`) || from.isPaused()) return;
    from.pause();
    to.once('drain', () => from.resume());
  });
  from.on('data', (chunk: Buffer) => lines.push(chunk));
  from.on('end', () => lines.end());
  from.on('error', () => undefined);
}

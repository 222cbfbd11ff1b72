import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { Socket } from 'node:net';
import { LastLines } from './last-lines.js';
import { LineSplitter } from './line-splitter.js';
import type { SessionPulse } from './session-pulse.js';
import { parseChildLine, SUPERVISION_ENV, type SupervisorMessage } from './supervision.js';

/** What to start. */
export interface ChildCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment, without the supervision variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where it runs. Default: where this process does. */
  readonly cwd?: string;
}

/** How a child ended. */
export interface ChildEnd {
  /** Undefined if it never started. */
  readonly pid: number | undefined;
  /** Its exit status; null if a signal ended it or it never started. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It was this supervisor that ended it by SIGKILL. */
  readonly killed: boolean;
  /** What it said it would end with; undefined if it did not. */
  readonly said: { readonly code: number; readonly message: string } | undefined;
  /** The newest lines of its stdout, then of its stderr: at most 20, with 8 KiB together. Empty ones are left out. */
  readonly lastLines: readonly string[];
  /** Why it could not be started. */
  readonly error: Error | undefined;
}

/** What a child ended with: a process that was killed while it ended, or killed itself, may still have said it. */
export function endStatus({ code, said }: Pick<ChildEnd, 'code' | 'said'>): number | null {
  return said?.code ?? code;
}

/** What a child's owner wants to hear. */
export interface ChildListener {
  onReady(): void;
  /** Only if it was asked for. */
  onPulse(pulse: SessionPulse): void;
  /** Once; the process has been reaped. */
  onEnd(end: ChildEnd): void;
}

/** Where a child's output goes, line by line. A stream that is full holds the child up; one that is destroyed does not. */
export interface ChildOutput {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Which of them, 1 and 2, come into the systemd journal: the child writes its lines accordingly. Default: none. */
  readonly journal?: readonly number[];
}

/** What a child is, beside its command. */
export interface ChildOptions {
  readonly incarnation: string;
  /** Ended incarnations that the coordinator may not know of yet. */
  readonly replaces: readonly string[];
  /** It leads a process group of its own, which ends with it: what its handlers have started does not outlive it. */
  readonly ownGroup: boolean;
  /** How often its session is to give a sign of life, in milliseconds; undefined: never. */
  readonly pulseMs: number | undefined;
  readonly output: ChildOutput;
}

/** The descriptor of the supervision socket in the child. */
const CHILD_FD = 3;

/** How long the last words of an ended child are waited for while none come, and in all. */
const LAST_WORDS_MS = 1_000;
const LAST_WORDS_MAX_MS = 5_000;

/** One process of a worker, from its start until it has been reaped. */
export class SupervisedChild {
  private readonly process: ChildProcess | undefined;
  private readonly socket: Socket | undefined;
  /** The socket and the output. */
  private readonly streams: readonly Socket[];
  private readonly lastLines = new LastLines();
  private said: ChildEnd['said'];
  private killed = false;
  private ended = false;

  constructor(
    command: ChildCommand,
    private readonly options: ChildOptions,
    private readonly listener: ChildListener,
  ) {
    const started = start(command, options);
    if (started instanceof Error) {
      this.streams = [];
      queueMicrotask(() => this.end({ code: null, signal: null, error: started }));
      return;
    }
    this.process = started;
    // Node leaves it undefined when there were no descriptors left for the pipes.
    const stdio = (started.stdio as ChildProcess['stdio'] | undefined) ?? [];
    const [, stdout, stderr, socket] = stdio.map((stream) => (stream instanceof Socket ? stream : undefined));
    if (stdout !== undefined) passThrough(stdout, options.output.stdout, (line) => this.lastLines.add('stdout', line));
    if (stderr !== undefined) passThrough(stderr, options.output.stderr, (line) => this.lastLines.add('stderr', line));
    this.socket = socket;
    this.streams = [stdout, stderr, socket].filter((stream) => stream !== undefined);
    this.listen(started);
  }

  /** Undefined if it could not be started. */
  get pid(): number | undefined {
    return this.process?.pid;
  }

  /** Asks it to leave. Over the socket rather than by SIGTERM, which waits for ever for a main thread that is blocked. */
  drain(drainMs: number): void {
    const message: SupervisorMessage = { drainMs };
    if (this.socket?.writable === true) this.socket.write(`${JSON.stringify(message)}\n`);
    else if (!this.ended) this.process?.kill('SIGTERM');
  }

  /** Ends it now. */
  kill(): void {
    if (this.ended) return;
    this.killed = true;
    if (this.options.ownGroup) this.killGroup();
    this.process?.kill('SIGKILL');
  }

  private listen(child: ChildProcess): void {
    const lines = new LineSplitter((line) => this.hear(line));
    this.socket?.on('data', (chunk: Buffer) => lines.push(chunk));
    // The child has closed it, or is gone: its end is told by 'exit'.
    this.socket?.on('error', () => undefined);
    child.on('error', (error) => {
      if (child.pid === undefined) this.end({ code: null, signal: null, error });
    });
    child.on('exit', (code, signal) => {
      // Here and not a turn later: Node calls this in the same breath in which it reaps the process. While the group has members
      // the system gives its number to nobody, but once it is empty the number is free, and with time it would be a stranger's.
      if (this.options.ownGroup) this.killGroup();
      this.end({ code, signal, error: undefined });
    });
  }

  private hear(line: string): void {
    const message = parseChildLine(line);
    if (message === undefined) return;
    if ('ready' in message) this.listener.onReady();
    else if ('pulse' in message) this.listener.onPulse(message.pulse);
    else this.said = message.ending;
  }

  /** Only as long as the child has not been reaped, or at that very moment: its process id is the group's number. */
  private killGroup(): void {
    if (this.pid === undefined) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // ESRCH: nobody is left in it. EPERM: only processes are left that belong to another user, and they are that user's to end.
    }
  }

  private end(how: Pick<ChildEnd, 'code' | 'signal' | 'error'>): void {
    if (this.ended) return;
    this.ended = true;
    const open = new Set(this.streams.filter(({ closed }) => !closed));
    const finish = () => {
      clearTimeout(timer);
      clearTimeout(last);
      for (const stream of open) stream.off('data', onWords);
      this.socket?.destroy();
      // What the handlers left behind may write on, but it does not keep this process alive.
      for (const stream of open) stream.unref();
      open.clear();
      const killed = this.killed && how.signal === 'SIGKILL';
      const { pid, said, lastLines } = this;
      this.listener.onEnd({ ...how, pid, killed, said, lastLines: lastLines.read() });
    };
    // What it said last may still be on its way: the exit overtakes it. A process that the handlers left behind may hold the
    // other ends open, or the reader of the output be slow: they are not waited for.
    const timer = setTimeout(finish, LAST_WORDS_MS);
    const last = setTimeout(finish, LAST_WORDS_MAX_MS);
    const onWords = () => void timer.refresh();
    for (const stream of open) {
      stream.on('data', onWords);
      stream.once('close', () => {
        if (open.delete(stream) && open.size === 0) finish();
      });
    }
    if (open.size === 0) finish();
  }
}

/** Most failures come later, as an event; some, such as an environment that is too large, are thrown. */
function start({ command, args, env, cwd }: ChildCommand, options: ChildOptions): ChildProcess | Error {
  const { incarnation, replaces, ownGroup, pulseMs, output } = options;
  const supervision = {
    [SUPERVISION_ENV.incarnation]: incarnation,
    [SUPERVISION_ENV.replaces]: replaces.join(','),
    [SUPERVISION_ENV.supervisorFd]: String(CHILD_FD),
    // Also when it is not: what this process has inherited is not for its children.
    [SUPERVISION_ENV.ownGroup]: ownGroup ? '1' : undefined,
    [SUPERVISION_ENV.journal]: output.journal?.join(',') || undefined,
    [SUPERVISION_ENV.pulseMs]: pulseMs === undefined ? undefined : String(pulseMs),
  };
  try {
    return spawn(command, args, {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...env, ...supervision },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      detached: ownGroup,
    });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Passes output on line by line, so that the lines of several children do not mix; waits when the reader is slow. */
function passThrough(from: Readable, to: Writable, keep: (line: string) => void): void {
  const goOn = () => {
    to.off('drain', goOn);
    to.off('close', goOn);
    from.resume();
  };
  const lines = new LineSplitter((line) => {
    keep(line);
    // Nobody reads any more: the child does not wait for that.
    if (to.destroyed || to.write(`${line}\n`) || from.isPaused()) return;
    from.pause();
    to.on('drain', goOn);
    to.on('close', goOn);
  });
  from.on('data', (chunk: Buffer) => lines.push(chunk));
  from.on('end', () => lines.end());
  from.on('error', () => undefined);
}

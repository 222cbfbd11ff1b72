import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { STOP_ON_STDIN_EOF_ENV } from '../../proto/stdin-guard.js';
import type { LogFile } from './log-file.js';
import { isAlarming, logLineText, parseLogLine, type LogLine } from './log-line.js';

/** What to start. */
export interface DevChildOptions {
  /** For people: `coordinator`, `worker`. */
  readonly name: string;
  /** The program's file, and its arguments. */
  readonly script: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly log: LogFile;
  /** Told of warnings, errors, and whatever comes on stderr, as text for a person. */
  readonly onAlarm: (text: string) => void;
}

/** How a child ended. */
export interface DevChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started at all. */
  readonly error?: Error;
}

/** How many of the newest lines are kept for the message about a child that ended by itself. */
const LAST_LINES_MAX = 8;
/** After a child's exit, how long its output is still read: a grandchild may hold the pipe open. */
const LAST_WORDS_MS = 1_000;

/**
 * A program that `remuda dev` runs: in a process group of its own, so that the terminal's Ctrl-C reaches `dev` alone, and with
 * a pipe as stdin whose end tells it that `dev` is gone, however it went.
 */
export class DevChild {
  readonly name: string;
  /** Fulfilled once it has ended and its output has been read. */
  readonly ended: Promise<DevChildEnd>;
  readonly #process: ChildProcess;
  readonly #lastLines: { readonly line: LogLine; readonly told: boolean }[] = [];
  readonly #listeners = new Set<(line: LogLine) => void>();
  #hasEnded = false;

  constructor(private readonly options: DevChildOptions) {
    const { name, script, args, env } = options;
    this.name = name;
    this.#process = spawn(process.execPath, [script, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { ...env, [STOP_ON_STDIN_EOF_ENV]: '1' },
    });
    // It ended while we held the pipe: its end is told by 'exit'.
    this.#process.stdin?.on('error', () => undefined);
    this.#read(this.#process.stdout, (line) => isAlarming(line));
    this.#read(this.#process.stderr, () => true);
    this.ended = this.#end();
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Its newest lines, for a person; none if they have all been told by `onAlarm` already. */
  get lastLines(): readonly string[] {
    return this.#lastLines.every(({ told }) => told) ? [] : this.#lastLines.map(({ line }) => logLineText(line));
  }

  /** Where all its lines are. */
  get logPath(): string {
    return this.options.log.path;
  }

  /** The first line from now on that fits; undefined if the child ends, or `signal` is aborted, before one came. */
  async line(fits: (line: LogLine) => boolean, signal: AbortSignal): Promise<LogLine | undefined> {
    return new Promise((resolve) => {
      const finish = (line: LogLine | undefined) => {
        this.#listeners.delete(listen);
        signal.removeEventListener('abort', onAbort);
        resolve(line);
      };
      const listen = (line: LogLine) => {
        if (fits(line)) finish(line);
      };
      const onAbort = () => finish(undefined);
      this.#listeners.add(listen);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) finish(undefined);
      void this.ended.then(() => finish(undefined));
    });
  }

  /** Asks it to stop, and kills it with all that it started if it has not ended in time. */
  async stop(timeoutMs: number): Promise<void> {
    if (this.#hasEnded) return;
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.options.onAlarm(`it has not stopped within ${timeoutMs / 1000} s and is killed`);
      this.kill();
    }, timeoutMs);
    await this.ended;
    clearTimeout(timer);
  }

  /** Ends it and all that it started, now. */
  kill(): void {
    const { pid } = this.#process;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // The group is gone already.
    }
  }

  #end(): Promise<DevChildEnd> {
    return new Promise((resolve) => {
      const finish = (end: DevChildEnd) => {
        this.#hasEnded = true;
        resolve(end);
      };
      this.#process.once('error', (error) => {
        if (this.#process.pid === undefined) finish({ code: null, signal: null, error });
      });
      this.#process.once('exit', (code, signal) => {
        const timer = setTimeout(() => finish({ code, signal }), LAST_WORDS_MS);
        this.#process.once('close', () => {
          clearTimeout(timer);
          finish({ code, signal });
        });
      });
    });
  }

  #read(stream: Readable | null, alarms: (line: LogLine) => boolean): void {
    if (stream === null) return;
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (text) => {
      const line = parseLogLine(text);
      const told = alarms(line) && text.trim() !== '';
      this.options.log.write(text);
      this.#lastLines.push({ line, told });
      if (this.#lastLines.length > LAST_LINES_MAX) this.#lastLines.shift();
      if (told) this.options.onAlarm(logLineText(line));
      for (const listener of [...this.#listeners]) listener(line);
    });
  }
}

import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { STOP_ON_STDIN_EOF_ENV } from '../../proto/stdin-guard.js';
import { within } from '../support/programs.js';
import { machineMs, type HarnessLine, type LedgerFile, type Role } from './ledger.js';

/** What a program that is to finish reads; the end of its stdin without it means that whoever has started it is gone. */
export const FINISH_LINE = 'finish\n';

/** What is started in a seat, at its nth start, counted from 1. */
export interface SeatCommand {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A place in the fleet that is always taken, as under a service manager. */
export interface SeatOptions {
  readonly name: string;
  readonly role: Role;
  readonly command: (start: number) => SeatCommand;
  /** How long after an end it is started again, in milliseconds. */
  readonly restartDelayMs: () => number;
  /** Where all that it prints goes. */
  readonly logPath: string;
  readonly ledger: LedgerFile<HarnessLine>;
  /** Of a line on stdout that is JSON. */
  readonly onLine?: (line: Readonly<Record<string, unknown>>, pid: number) => void;
}

/**
 * Keeps one program running: whatever ends it, another process takes its place after a while, until the seat is retired. Signals
 * go to processes whose end has not been seen, so never to a stranger with the same number.
 */
export class Seat {
  readonly name: string;
  readonly role: Role;
  readonly #options: SeatOptions;
  readonly #log: WriteStream;
  readonly #events = new EventEmitter();
  #child: ChildProcess | undefined;
  #starts = 0;
  #asked: 'SIGKILL' | 'SIGTERM' | null = null;
  #restart: NodeJS.Timeout | undefined;
  #retired = false;
  #finishing = false;

  constructor(options: SeatOptions) {
    this.name = options.name;
    this.role = options.role;
    this.#options = options;
    this.#log = createWriteStream(options.logPath, { flags: 'a' });
  }

  /** Of the process that is there; undefined while there is none. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the first process. */
  open(): void {
    this.#start();
  }

  /** Sends a signal; false if nobody is there. */
  signal(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): boolean {
    if (this.#child?.pid === undefined) return false;
    // A second SIGTERM would not let it leave in good order any more.
    if (signal === 'SIGTERM' && this.#asked !== null) return false;
    if (signal === 'SIGKILL' || signal === 'SIGTERM') this.#asked = signal;
    return this.#child.kill(signal);
  }

  /**
   * Tells the process on its stdin, or the next one if nobody is there, to finish. Once one has ended well no other is
   * started. True when that has come; false if it has not in time.
   */
  async finish(timeoutMs: number): Promise<boolean> {
    this.#finishing = true;
    this.#child?.stdin?.end(FINISH_LINE);
    if (this.#retired) return true;
    return within(once(this.#events, 'finished'), timeoutMs, () => '').then(
      () => true,
      () => false,
    );
  }

  /**
   * Lets the process leave in good order, and kills it if it does not in time. Nothing is started here any more.
   *
   * @returns False if it had to be killed
   */
  async retire(timeoutMs: number): Promise<boolean> {
    this.#retired = true;
    clearTimeout(this.#restart);
    this.signal('SIGTERM');
    const left = await this.vacant(timeoutMs);
    if (!left) await this.end();
    this.#log.end();
    return left;
  }

  /** Ends it at once, for good. */
  async end(): Promise<void> {
    this.#retired = true;
    clearTimeout(this.#restart);
    this.signal('SIGKILL');
    await this.vacant(null);
  }

  /** True when nobody is there; false if somebody is for so long, null: for ever. */
  async vacant(timeoutMs: number | null): Promise<boolean> {
    if (this.#child === undefined) return true;
    const left = once(this.#events, 'vacant').then(() => true);
    if (timeoutMs === null) return left;
    return within(left, timeoutMs, () => '').catch(() => false);
  }

  #start(): void {
    this.#starts += 1;
    this.#asked = null;
    const { args, env = {} } = this.#options.command(this.#starts);
    const child = spawn(process.execPath, [...args], {
      // Should all else fail, the end of the pipe that only we hold ends the program, too.
      env: { ...process.env, [STOP_ON_STDIN_EOF_ENV]: '1', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child = child;
    const { name, role, ledger } = this.#options;
    // A process that is gone reads nothing.
    child.stdin.on('error', () => undefined);
    const pid = child.pid;
    if (pid === undefined) {
      child.once('error', (error) => {
        throw new Error(`${name} could not be started: ${error.message}`);
      });
      return;
    }
    ledger.append({ is: 'started', tMs: machineMs(), seat: name, role, pid });
    this.#log.write(`--- start ${this.#starts}, process ${pid}\n`);
    this.#listen(child, pid);
    if (this.#finishing) child.stdin.end(FINISH_LINE);
  }

  #listen(child: ChildProcess, pid: number): void {
    const { stdout, stderr } = child;
    if (stdout === null || stderr === null) return;
    const { onLine } = this.#options;
    createInterface({ input: stdout }).on('line', (text) => {
      this.#log.write(`${text}\n`);
      if (onLine !== undefined && text.startsWith('{')) onLine(JSON.parse(text) as Record<string, unknown>, pid);
    });
    stderr.on('data', (chunk: Buffer) => this.#log.write(chunk));
    child.once('exit', (code, signal) => this.#ended(pid, code, signal));
  }

  #ended(pid: number, code: number | null, signal: NodeJS.Signals | null): void {
    const { name, role, ledger, restartDelayMs } = this.#options;
    ledger.append({ is: 'ended', tMs: machineMs(), seat: name, role, pid, code, signal, asked: this.#asked });
    this.#child = undefined;
    if (this.#finishing && code === 0) {
      this.#retired = true;
      this.#events.emit('finished');
    }
    this.#events.emit('vacant');
    if (!this.#retired) this.#restart = setTimeout(() => this.#start(), restartDelayMs());
  }
}

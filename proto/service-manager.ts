import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { within } from './within.js';

/**
 * What a program says to the service manager that started it, systemd or one that speaks its protocol (sd_notify(3)). Node cannot
 * send to a Unix datagram socket, so one small shell, started once, runs `systemd-notify` for each notice: see
 * docs/adr/0015-systemd-notify-behind-a-shell.md.
 */

/** Where the service manager listens. Plain data: it may cross to a thread. */
export interface ServiceManagerAddress {
  /** NOTIFY_SOCKET. */
  readonly socket: string;
  /** Within how many milliseconds the next sign of life must come (WatchdogSec=); undefined: none is asked for. */
  readonly watchdogMs: number | undefined;
}

/** Things to say, all at once; what is said twice before it has left is said once, as it was said last. */
export interface ServiceNotice {
  /** READY=1: the start is complete. */
  readonly ready?: true;
  /** STATUS=: one line for a person. */
  readonly status?: string;
  /** WATCHDOG=1: a sign of life. */
  readonly watchdog?: true;
  /** STOPPING=1: the end has begun. */
  readonly stopping?: true;
  /** EXTEND_TIMEOUT_USEC=: the next such notice comes within so many milliseconds, whatever the unit's time-outs say. */
  readonly extendTimeoutMs?: number;
}

type Env = Record<string, string | undefined>;

/** For this process alone: what it starts must not speak in its name. */
const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;

/**
 * Reads the address out of the environment and removes it from there. Undefined: no service manager waits for this process.
 *
 * @param pid Of this process: a watchdog that is meant for another one is not ours (sd_watchdog_enabled(3)).
 */
export function takeServiceManager(env: Env, pid: number): ServiceManagerAddress | undefined {
  const [socket, watchdogUsec, watchdogPid] = VARIABLES.map((name) => env[name]);
  for (const name of VARIABLES) Reflect.deleteProperty(env, name);
  if (socket === undefined || socket === '') return undefined;
  const usec = Number(watchdogUsec);
  const isOurs = watchdogPid === undefined || Number(watchdogPid) === pid;
  return { socket, watchdogMs: isOurs && usec > 0 ? usec / 1_000 : undefined };
}

/** How often a program says how it is, in milliseconds: thrice within the watchdog's period, and every 10 s at least. */
export function beatMs({ watchdogMs }: ServiceManagerAddress): number {
  return Math.min(10_000, (watchdogMs ?? Infinity) / 3);
}

/**
 * Reads assignments a line each, an empty line sends them, and the answer is a line with the status and what went wrong. Of the
 * signals that end a whole group it sees none: it ends when its stdin does, and the last words are still said.
 */
const NOTIFY_LOOP = `trap '' TERM INT HUP
set -f
while IFS= read -r line; do
  case $line in
  ?*) set -- "$@" "$line" ;;
  *)
    said=$(systemd-notify "$@" 2>&1 </dev/null)
    printf '%d' "$?"
    printf ' %s' $said
    echo
    set --
    ;;
  esac
done`;

/** Where programs are when the environment does not say. */
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';
/** How long the last words may take, and then the end of the shell, in milliseconds. */
const CLOSE_MS = 2_000;
/** After how long a notice has failed, in milliseconds: systemd-notify waits for the manager for 5 s. */
const ANSWER_MS = 10_000;
/** What is still true when it is said later; a sign of life is not. */
const LASTING = new Set(['READY', 'STOPPING', 'STATUS']);

type Shell = ChildProcessByStdio<Writable, Readable, null>;

/** How notices are sent. */
export interface NotifyOptions {
  /** Where `systemd-notify` is looked for. Default: PATH. */
  readonly path?: string;
  /** After how long a notice that is not answered has failed, in milliseconds. Default: {@link ANSWER_MS}. */
  readonly answerMs?: number;
}

/** Says things to the service manager, in order. One notice is on its way at a time, and what is said meanwhile goes together. */
export class ServiceManager {
  /** Keys and values in sd_notify's form. */
  private waiting = new Map<string, string>();
  /** What the shell has not answered yet. */
  private underway: ReadonlyMap<string, string> | undefined;
  private shell: Shell | undefined;
  private answerTimer: NodeJS.Timeout | undefined;
  private failing = false;
  private readonly path: string;
  private readonly answerMs: number;
  private onIdle: (() => void) | undefined;

  /** @param onFault Told when notices do not get through, once until one does. */
  constructor(
    private readonly address: ServiceManagerAddress,
    private readonly onFault: (message: string) => void,
    { path = process.env.PATH ?? DEFAULT_PATH, answerMs = ANSWER_MS }: NotifyOptions = {},
  ) {
    this.path = path;
    this.answerMs = answerMs;
  }

  /** Says it, soon; never waits, and keeps no process alive. */
  notify({ ready, status, watchdog, stopping, extendTimeoutMs }: ServiceNotice): void {
    if (ready === true) this.waiting.set('READY', '1');
    if (stopping === true) this.waiting.set('STOPPING', '1');
    if (watchdog === true) this.waiting.set('WATCHDOG', '1');
    if (extendTimeoutMs !== undefined) {
      this.waiting.set('EXTEND_TIMEOUT_USEC', String(Math.round(extendTimeoutMs * 1_000)));
    }
    if (status !== undefined) this.waiting.set('STATUS', oneLine(status));
    this.send();
  }

  /**
   * Fulfilled when everything has been said, or could not be within {@link CLOSE_MS}, and the shell has ended: whoever ends the
   * processes that are left when this one has ended finds none.
   */
  async close(): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.onIdle = resolve;
      if (this.underway === undefined) resolve();
    });
    const isSaid = await within(idle, CLOSE_MS);
    this.onIdle = undefined;
    const { shell } = this;
    // Its end is no fault from now on.
    this.shell = undefined;
    clearTimeout(this.answerTimer);
    this.underway = undefined;
    if (shell === undefined) return;
    const ended = once(shell, 'exit').catch(() => undefined);
    if (isSaid) shell.stdin.end();
    else killGroup(shell);
    await within(ended, CLOSE_MS);
  }

  private send(): void {
    if (this.underway !== undefined || this.waiting.size === 0) return;
    this.shell ??= this.startShell();
    if (this.shell === undefined) return;
    this.underway = this.waiting;
    this.waiting = new Map();
    const lines = [...this.underway].map(([key, value]) => `${key}=${value}\n`);
    this.shell.stdin.write(`${lines.join('')}\n`);
    const { shell } = this;
    this.answerTimer = setTimeout(() => killGroup(shell), this.answerMs);
    this.answerTimer.unref();
  }

  private startShell(): Shell | undefined {
    let shell: Shell;
    try {
      // Out of its environment, so that `systemctl status` shows a short command line.
      shell = spawn('/bin/sh', ['-c', 'eval "$NOTIFY_LOOP"'], {
        env: { PATH: this.path, NOTIFY_SOCKET: this.address.socket, NOTIFY_LOOP },
        stdio: ['pipe', 'pipe', 'ignore'],
        // A group of its own, so that a program that hangs can be ended with it.
        detached: true,
      });
    } catch (error) {
      this.fault(error instanceof Error ? error.message : String(error));
      return undefined;
    }
    shell.on('error', (error) => this.lost(shell, error.message));
    shell.on('exit', (code, signal) => this.lost(shell, `it ended with ${signal ?? code}`));
    shell.stdin.on('error', () => undefined);
    createInterface({ input: shell.stdout }).on('line', (line) => this.answered(shell, line));
    shell.unref();
    for (const stream of [shell.stdin, shell.stdout]) if (stream instanceof Socket) stream.unref();
    return shell;
  }

  private answered(shell: Shell, line: string): void {
    if (this.shell !== shell) return;
    clearTimeout(this.answerTimer);
    const { underway } = this;
    this.underway = undefined;
    const [status = '', ...said] = line.split(' ');
    if (status === '0') {
      this.failing = false;
      this.send();
    } else {
      this.fault(`systemd-notify ended with ${status}: ${said.join(' ')}`);
      this.sayAgain(underway);
    }
    if (this.underway === undefined) this.onIdle?.();
  }

  /** What it had not said is said by the next one. */
  private lost(shell: Shell, why: string): void {
    if (this.shell !== shell) return;
    clearTimeout(this.answerTimer);
    this.shell = undefined;
    const { underway } = this;
    this.underway = undefined;
    this.fault(`the shell that runs systemd-notify: ${why}`);
    this.sayAgain(underway);
    if (this.underway === undefined) this.onIdle?.();
  }

  /** With the next notice, which may be there already: at once it would fail at once. */
  private sayAgain(notice: ReadonlyMap<string, string> | undefined): void {
    const isMore = this.waiting.size > 0;
    const lasting = [...(notice ?? [])].filter(([key]) => LASTING.has(key));
    this.waiting = new Map([...lasting, ...this.waiting]);
    if (isMore) this.send();
  }

  private fault(why: string): void {
    if (this.failing) return;
    this.failing = true;
    this.onFault(
      `the service manager at NOTIFY_SOCKET=${this.address.socket} cannot be told how this process is (${why}); is the program systemd-notify there?`,
    );
  }
}

/** It leads the group, which has nobody else than what it runs. */
function killGroup({ pid }: Shell): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has gone by itself.
  }
}

/** The protocol's lines end at a line feed; people read one. */
function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

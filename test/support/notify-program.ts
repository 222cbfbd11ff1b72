/** A stand-in for the program `systemd-notify`, found by PATH, that writes down what it is told; the real one needs a systemd. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { within } from './programs.js';

/** One notice: sd_notify's keys and values. */
export type Notice = Readonly<Record<string, string>>;

/** Writes down its arguments, a line a call and a tab after each. */
export const RECORDER = `#!/bin/sh
{ for field in "$@"; do printf '%s\\t' "$field"; done; echo; } >> "$NOTIFY_SOCKET"
`;

/** A folder with the stand-in, to be disposed of. */
export class NotifyProgram {
  readonly folder = mkdtempSync(join(tmpdir(), 'remuda-notify-'));
  /** What programs are to be given for NOTIFY_SOCKET: the file that the stand-in writes to. */
  readonly socket = join(this.folder, 'notices');
  readonly path = `${this.folder}${delimiter}${process.env['PATH'] ?? ''}`;

  constructor() {
    writeFileSync(this.socket, '');
    this.install(RECORDER);
  }

  /** The environment of a program that is started as a service. */
  env(watchdogMs?: number): Record<string, string> {
    const watchdog = watchdogMs === undefined ? {} : { WATCHDOG_USEC: String(watchdogMs * 1_000) };
    return { NOTIFY_SOCKET: this.socket, PATH: this.path, ...watchdog };
  }

  /** Puts another program in its place. */
  install(script: string): void {
    const program = join(this.folder, 'systemd-notify');
    writeFileSync(program, script);
    chmodSync(program, 0o755);
  }

  /** What has been said so far, in order. */
  get notices(): Notice[] {
    return (
      readFileSync(this.socket, 'utf8')
        .split('\n')
        // The last may be half written.
        .slice(0, -1)
        .map((line) => Object.fromEntries(line.split('\t').slice(0, -1).map(assignment)))
    );
  }

  /** The first notice, so far or later, that fits. */
  async notice(fits: (notice: Notice) => boolean, what: string, timeoutMs = 30_000): Promise<Notice> {
    const watcher = watch(this.socket);
    try {
      const found = new Promise<Notice>((resolve) => {
        const look = (): void => {
          const notice = this.notices.find(fits);
          if (notice !== undefined) resolve(notice);
        };
        watcher.on('change', look);
        look();
      });
      return await within(found, timeoutMs, () => `no notice of ${what} in\n${readFileSync(this.socket, 'utf8')}`);
    } finally {
      watcher.close();
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function assignment(field: string): [string, string] {
  const at = field.indexOf('=');
  return [field.slice(0, at), field.slice(at + 1)];
}

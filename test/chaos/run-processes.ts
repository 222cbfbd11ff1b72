import { readdirSync, readFileSync } from 'node:fs';
import { isAlive } from '../support/programs.js';

/** A process, for people. */
export interface ProcessFound {
  readonly pid: number;
  readonly commandLine: string;
}

/**
 * The living processes that carry a mark in their environment, whoever their parents are by now; this one excepted. Null where
 * the system does not say (it has no /proc).
 */
export function processesWith(mark: string): ProcessFound[] | null {
  if (process.platform !== 'linux') return null;
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids
    .filter((pid) => pid !== process.pid && carries(pid, mark) && isAlive(pid))
    .map((pid) => ({ pid, commandLine: readProc(pid, 'cmdline').replaceAll('\0', ' ').trim() }));
}

/** Ends those, whatever state they are in. */
export function killProcessesWith(mark: string): void {
  for (const { pid } of processesWith(mark) ?? []) sendSignal(pid, 'SIGKILL', mark);
}

/** Signals one that carries the mark; false if there is none with this number any more. */
export function sendSignal(pid: number, signal: NodeJS.Signals, mark: string): boolean {
  if (process.platform === 'linux' && !carries(pid, mark)) return false;
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

function carries(pid: number, mark: string): boolean {
  return readProc(pid, 'environ').split('\0').includes(mark);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // It is gone, or not ours.
    return '';
  }
}

import { readdirSync, readFileSync } from 'node:fs';

/** A process, as the kernel has it. */
export interface ProcessRow {
  readonly pid: number;
  readonly parentPid: number;
  /** One letter: R runs, S and D wait, T is stopped, Z has ended and was not reaped. */
  readonly state: string;
}

const KIB_PER_MIB = 1_024;

/** True where what this file says can be known: Linux. */
export const HAS_PROCESS_TABLE = process.platform === 'linux';

/** The processes that this one has as its parent. */
export function childrenOf(pid: number): ProcessRow[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((name) => {
    const row = readRow(Number(name));
    return row?.parentPid === pid ? [row] : [];
  });
}

/** Resident memory of a process, in MiB; null if it has ended. */
export function residentMib(pid: number): number | null {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
  return kib === undefined ? null : Number(kib) / KIB_PER_MIB;
}

function readRow(pid: number): ProcessRow | null {
  // After the name, which is in parentheses and may hold anything: the state, and the parent.
  const found = /\) (\S) (\d+) [^)]*$/.exec(read(`/proc/${pid}/stat`) ?? '');
  return found === null ? null : { pid, parentPid: Number(found[2]), state: found[1] ?? '' };
}

/** Null: the process has ended meanwhile. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

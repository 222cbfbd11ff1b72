import { readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { MAX_REPLACES } from '../proto/bounds.js';
import { isIncarnation } from './worker-options.js';

/** An incarnation that was started, and by what its process is told from every other one in its process namespace. */
interface Started {
  readonly incarnation: string;
  /** Null: it has been seen to end. */
  readonly process: StartedProcess | null;
}

interface StartedProcess {
  readonly pid: number;
  /** When it started, in ticks since the machine's start; null: that could not be looked up. */
  readonly startTicks: string | null;
  /** The process namespace that the id is of (namespaces(7)); empty where there are none. */
  readonly namespace: string;
}

/**
 * The incarnations that a program has started, in a directory that outlives it but not the machine's uptime: systemd's
 * RuntimeDirectory= with RuntimeDirectoryPreserve=restart. After a kill -9 of everything the next start names them in `replaces[]`,
 * so that their tasks move at once instead of after a lease. A file for each place: the index of a supervised process, or `own`.
 *
 * It is a convenience: what cannot be read or written costs a lease's wait and nothing else, so faults are told and passed over.
 */
export class IncarnationFiles {
  /** @param onFault Told what could not be read or written, and what it costs. */
  constructor(
    private readonly directory: string,
    private readonly onFault: (message: string) => void,
  ) {}

  /**
   * Incarnations of this place whose processes are surely gone: nobody has their process id, or one who has started at another
   * time. One that cannot be looked at may live: it is not among them, and its tasks wait for its lease. At most
   * {@link MAX_REPLACES}, the newest.
   */
  ended(place: string): string[] {
    return this.read(place)
      .filter(({ process }) => process === null || hasEnded(process))
      .map(({ incarnation }) => incarnation);
  }

  /** A process of this place has been started, and `replaces` have ended, which the coordinator may not know yet. */
  started(place: string, incarnation: string, pid: number, replaces: readonly string[]): void {
    const list: Started[] = replaces.map((ended) => ({ incarnation: ended, process: null }));
    const startTicks = processStat(pid)?.startTicks ?? null;
    list.push({ incarnation, process: { pid, startTicks, namespace: processNamespace() } });
    const path = this.path(place);
    try {
      writeFileSync(`${path}.new`, `${JSON.stringify(list.slice(-MAX_REPLACES))}\n`);
      renameSync(`${path}.new`, path);
    } catch (error) {
      this.fault(`${path} cannot be written`, error);
    }
  }

  private read(place: string): Started[] {
    const path = this.path(place);
    try {
      const list: unknown = JSON.parse(readFileSync(path, 'utf8'));
      if (Array.isArray(list) && list.every(isStarted)) return list.slice(-MAX_REPLACES);
      throw new Error('it is no list of incarnations');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.fault(`${path} cannot be read`, error);
      return [];
    }
  }

  private path(place: string): string {
    return join(this.directory, `incarnations-${place}.json`);
  }

  private fault(what: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.onFault(
      `${what} (${why}): after a kill of all processes here their tasks would wait for a lease; the directory is RUNTIME_DIRECTORY`,
    );
  }
}

/** The files in this directory, whose faults go to the log; undefined without a directory. */
export function incarnationFiles(directory: string | undefined, logger: Logger): IncarnationFiles | undefined {
  if (directory === undefined) return undefined;
  return new IncarnationFiles(directory, (message) => {
    logger.warn(message);
  });
}

function isStarted(value: unknown): value is Started {
  const { incarnation, process } = (value ?? {}) as { incarnation?: unknown; process?: Partial<StartedProcess> | null };
  if (typeof incarnation !== 'string' || !isIncarnation(incarnation)) return false;
  if (process === null) return true;
  const { pid, startTicks, namespace } = process ?? {};
  const isTime = startTicks === null || typeof startTicks === 'string';
  return Number.isInteger(pid) && (pid ?? 0) > 0 && isTime && typeof namespace === 'string';
}

/** What is not seen is not gone: it may be in another namespace, or hidden from this user (hidepid, ProtectProc=). */
function hasEnded({ pid, startTicks, namespace }: StartedProcess): boolean {
  if (namespace !== processNamespace()) return false;
  if (!isProcess(pid)) return true;
  const stat = processStat(pid);
  if (stat === undefined) return false;
  // A zombie only waits for its parent to look, unless it is the first thread of a process in which others still run.
  const isOver = (stat.state === 'Z' || stat.state === 'X') && stat.threads <= 1;
  return isOver || (startTicks !== null && stat.startTicks !== startTicks);
}

function isProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function processNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

interface ProcessStat {
  readonly state: string;
  readonly threads: number;
  readonly startTicks: string;
}

/** Fields 3, 20 and 22 of proc(5)'s /proc/PID/stat; undefined: it cannot be read. */
function processStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, which may have both spaces and parentheses in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, threads, startTicks] = [fields[0], fields[17], fields[19]];
  if (state === undefined || threads === undefined || startTicks === undefined) return undefined;
  return { state, threads: Number(threads), startTicks };
}

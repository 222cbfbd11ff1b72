import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { MAX_REPLACES } from '../proto/bounds.js';
import { isIncarnation } from './worker-options.js';

/** An incarnation that was started, and by what its process is told from every other one since the machine's start. */
interface Started {
  readonly incarnation: string;
  /** Null: it was gone already when that was looked up, or has been seen to end. */
  readonly process: { readonly pid: number; readonly startTicks: string } | null;
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
   * time. At most {@link MAX_REPLACES}, the newest.
   */
  ended(place: string): string[] {
    return this.read(place)
      .filter(({ process }) => process === null || startTicks(process.pid) !== process.startTicks)
      .map(({ incarnation }) => incarnation);
  }

  /** A process of this place has been started, and `replaces` have ended, which the coordinator may not know yet. */
  started(place: string, incarnation: string, pid: number, replaces: readonly string[]): void {
    const ticks = startTicks(pid);
    const list: Started[] = replaces.map((ended) => ({ incarnation: ended, process: null }));
    list.push({ incarnation, process: ticks === undefined ? null : { pid, startTicks: ticks } });
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
  const { incarnation, process } = (value ?? {}) as { incarnation?: unknown; process?: Partial<Started['process']> };
  if (typeof incarnation !== 'string' || !isIncarnation(incarnation)) return false;
  return process === null || (typeof process?.pid === 'number' && typeof process.startTicks === 'string');
}

/** When the process of this id started, in ticks since the machine's start (proc(5), field 22); undefined: there is none. */
function startTicks(pid: number): string | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, which may have both spaces and parentheses in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // A zombie runs no more: it only waits for its parent to look.
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

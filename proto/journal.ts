/**
 * What programs do for the systemd journal: it makes an entry of each line that a service prints, with the priority that a prefix
 * `<N>` says (sd-daemon(3)), and with the time, the host and the process of its own accord.
 */
import { fstatSync } from 'node:fs';

/**
 * How a program's lines come into the journal: `direct`, by itself, so that the journal knows its process id; or `relayed`, by its
 * supervisor, whose id the journal has instead.
 */
export type JournalPath = 'direct' | 'relayed';

/** The priority of what a program says when it cannot start: syslog's "error". */
const ERROR_PRIORITY = 3;

/**
 * True if the descriptor is the stream that the service manager has connected to the journal: JOURNAL_STREAM names it by device and
 * inode (systemd.exec(5)). A program that was started with other streams by a service has the variable all the same. Costs nothing
 * without the variable; never throws.
 *
 * @param fd 1 for standard output, 2 for standard error
 */
export function isJournal(fd: number, env: Readonly<Record<string, string | undefined>>): boolean {
  const journal = env['JOURNAL_STREAM'];
  if (journal === undefined || journal === '') return false;
  try {
    // Inodes are 64 bits wide.
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return journal === `${dev}:${ino}`;
  } catch {
    // It is closed.
    return false;
  }
}

/** The priority in the journal, 0 (the worst) to 7, of a line of this level of pino: 2 for fatal (60) to 7 for debug and trace. */
export function journalPriority(level: number): number {
  if (level >= 60) return 2;
  if (level >= 50) return ERROR_PRIORITY;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
}

/** The text with an error's priority before each of its lines: the journal would take all but the first for mere information. */
export function journalError(text: string): string {
  return text
    .split('\n')
    .map((line) => `<${ERROR_PRIORITY}>${line}`)
    .join('\n');
}

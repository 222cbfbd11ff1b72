import { pino, symbols, type Logger } from 'pino';
import { journalPriority, type JournalPath } from './journal.js';

/** What a program's log is like, beside its level. */
export interface ProgramLogOptions {
  /** Of the program, in each line. Default: none. */
  readonly name?: string | undefined;
  /**
   * How standard output comes into the systemd journal. Each line then begins with its priority, `<6>{…`, and is without `time`
   * and `hostname`, and on the direct path without `pid`: an entry of the journal has them. Default: it does not, and all are there.
   */
  readonly journal?: JournalPath | undefined;
}

/**
 * The log of a program: JSON lines, straight to standard output. What pino would choose by itself writes for ever at the exit of a
 * process whose reader has gone (sonic-boom, flushSync), so that it never ends; this destination falls silent then.
 *
 * @param level As pino's; also `silent`.
 */
export function programLog(level: string, { name, journal }: ProgramLogOptions = {}): Logger {
  // Whoever has standard output closed wants no log, and that must not end the program: pino's destination sees to its own
  // writes, not to those of `process.stdout`.
  process.stdout.on('error', () => undefined);
  const named = { level, ...(name === undefined ? {} : { name }) };
  const stdout = pino.destination({ dest: 1, sync: true });
  if (journal === undefined) return pino(named, stdout);
  // The same destination, with a note of pino's in it: the level of the line that is about to be written.
  const noted = Object.assign(stdout, { [symbols.needsMetadataGsym]: true, lastLevel: 0 });
  return pino(
    {
      ...named,
      base: journal === 'direct' ? {} : { pid: process.pid },
      timestamp: false,
      hooks: { streamWrite: (line) => `<${journalPriority(noted.lastLevel)}>${line}` },
    },
    noted,
  );
}

import { pino, symbols, type Logger } from 'pino';
import { journalPriority, type JournalPath } from './journal.js';

/** What a program's log is like, beside its level. */
export interface ProgramLogOptions {
  /** Of the program, in each line. Default: none. */
  readonly name?: string | undefined;
  /**
   * How standard output comes into the systemd journal. Each line then begins with its priority, `<6>{…`, and is without `level`,
   * `time`, `hostname` and `name`, and on the direct path without `pid`: an entry of the journal has them. What happened comes first
   * (`msg`, then `detail`), because a terminal cuts long lines. Default: it does not, and all are there in pino's order.
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
  const stdout = pino.destination({ dest: 1, sync: true });
  if (journal === undefined) return pino({ level, ...(name === undefined ? {} : { name }) }, stdout);
  // The same destination, with a note of pino's in it: the level of the line that is about to be written.
  const noted = Object.assign(stdout, { [symbols.needsMetadataGsym]: true, lastLevel: 0 });
  return pino(
    {
      level,
      base: journal === 'direct' ? {} : { pid: process.pid },
      timestamp: false,
      formatters: { level: () => ({}), log: detailFirst },
      hooks: { streamWrite: (line) => `<${journalPriority(noted.lastLevel)}>${messageFirst(line)}` },
    },
    noted,
  );
}

/** Names variables that mean nothing to this program: see strayVariables() in program-options.ts. */
export function warnOfStrays(log: Logger, program: string, variables: readonly string[]): void {
  if (variables.length === 0) return;
  const detail = `these variables mean nothing to ${program}; its --help says which do`;
  log.warn({ detail, variables }, 'unknown-variables');
}

function detailFirst(fields: Record<string, unknown>): Record<string, unknown> {
  return fields['detail'] === undefined ? fields : { detail: fields['detail'], ...fields };
}

/** How pino ends a line: with the message, which has no other place there. Within a string every quote is behind a backslash. */
const MESSAGE = ',"msg":"';
const ONE_STRING = /^"(?:[^"\\]|\\.)*"$/;

function messageFirst(line: string): string {
  const end = line.lastIndexOf('}');
  const found = line.lastIndexOf(MESSAGE);
  // A line without a message may have one deeper within.
  const at = found >= 0 && ONE_STRING.test(line.slice(found + MESSAGE.length - 1, end)) ? found : end;
  // The level, which was first, has left its comma behind.
  const parts = [line.slice(at + 1, end), line.slice(line.startsWith('{,') ? 2 : 1, at)];
  return `{${parts.filter((part) => part !== '').join(',')}${line.slice(end)}`;
}

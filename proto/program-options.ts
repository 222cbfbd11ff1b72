import { CommanderError, type Command } from 'commander';
import ms from 'ms';
import { journalError } from './journal.js';

/** What `--log-level` takes. */
export { LOG_LEVELS } from './log-levels.js';

/** What the command lines of the programs have in common. */

/** The command line cannot be used, or help was asked for: print `text` and exit. */
export class UsageExit extends Error {
  override readonly name = 'UsageExit';

  constructor(
    readonly text: string,
    /** 0 for help and version, 2 for faults. */
    readonly code: 0 | 2,
  ) {
    super(text);
  }
}

/**
 * A time with its unit, such as 500ms, 5s or 2m, in milliseconds; NaN if it is none. A bare number is none: nobody could tell
 * seconds from milliseconds.
 */
export function parseTimeMs(text: string): number {
  if (!/^\d+(\.\d+)?\s*[a-z]+$/i.test(text)) return NaN;
  // Whatever its types say: undefined for a unit that there is not.
  const found: unknown = ms(text as ms.StringValue);
  return typeof found === 'number' ? found : NaN;
}

/**
 * Parses a command line by a command whose options and texts are set. Unknown options and arguments are left in its `args`, so
 * that the caller can tell them together with all other faults.
 *
 * @param argv without the program's own two
 * @throws {UsageExit} for help and version, and for what commander itself refuses
 */
export function parseCommand(command: Command, argv: readonly string[]): void {
  let output = '';
  const write = (text: string): void => {
    output += text;
  };
  command
    .allowUnknownOption()
    .allowExcessArguments()
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: write });
  try {
    command.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new UsageExit(output.trimEnd(), error.exitCode === 0 ? 0 : 2);
  }
}

/**
 * Variables of this name space that are none of the program's: a misspelt one would be ignored without a word.
 *
 * @param known all that it reads, or its parts do
 */
export function strayVariables(env: Readonly<Record<string, string | undefined>>, known: readonly string[]): string[] {
  const names = new Set(known);
  return Object.keys(env).filter((name) => name.startsWith('REMUDA_') && !names.has(name));
}

/** Why the program cannot start, on standard error; `toJournal`: that comes into the systemd journal. */
export function printFault(text: string, toJournal: boolean): void {
  process.stderr.write(`${toJournal ? journalError(text) : text}\n`);
}

/**
 * What `read` gives; or its UsageExit's text on the right stream, and the end of the process.
 *
 * @param toJournal Standard error comes into the systemd journal: each line of a fault says its priority. Default: false
 */
export function usageOrExit<T>(read: () => T, toJournal = false): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof UsageExit)) throw error;
    if (error.code === 0) process.stdout.write(`${error.text}\n`);
    else printFault(error.text, toJournal);
    process.exit(error.code);
  }
}

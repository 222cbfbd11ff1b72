import ms from 'ms';

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

/** What `--log-level` takes: pino's levels. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

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

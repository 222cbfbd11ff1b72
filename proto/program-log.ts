import { pino, type Logger } from 'pino';

/**
 * The log of a program: JSON lines, straight to standard output. What pino would choose by itself writes for ever at the exit of a
 * process whose reader has gone (sonic-boom, flushSync), so that it never ends; this destination falls silent then.
 *
 * @param level As pino's; also `silent`.
 * @param name Of the program, in each line. Default: none.
 */
export function programLog(level: string, name?: string): Logger {
  // Whoever has standard output closed wants no log, and that must not end the program: pino's destination sees to its own
  // writes, not to those of `process.stdout`.
  process.stdout.on('error', () => undefined);
  return pino({ level, ...(name === undefined ? {} : { name }) }, pino.destination({ dest: 1, sync: true }));
}

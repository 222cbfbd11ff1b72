import { pino } from 'pino';

/** A line of the log that does not come through a logger, with pino's own clock and in pino's form. */
export function stampedLine(level: number, fields: Readonly<Record<string, unknown>>, msg: string): string {
  return `{"level":${level}${pino.stdTimeFunctions.epochTime()},${JSON.stringify({ ...fields, msg }).slice(1)}\n`;
}

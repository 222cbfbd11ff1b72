import { printable } from './terminal.js';

/** A line that a program printed: pino's JSON, or anything else. */
export interface LogLine {
  /** As printed. */
  readonly text: string;
  /** The fields, if it is a JSON object. */
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** pino's levels. */
const WARN = 40;
const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

/** Fields that say nothing to the person at the terminal; the file has them. */
const QUIET_FIELDS = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'err', 'component', 'name', 'incarnation']);
const VALUE_CHARS_MAX = 200;

/** Reads a line; never fails. */
export function parseLogLine(text: string): LogLine {
  if (!text.startsWith('{')) return { text, fields: undefined };
  try {
    return { text, fields: JSON.parse(text) as Record<string, unknown> };
  } catch {
    return { text, fields: undefined };
  }
}

/** True for a line that a person should see: a warning or worse, or something that is no log line at all. */
export function isAlarming({ fields }: LogLine): boolean {
  const level = fields?.['level'];
  return typeof level === 'number' && level >= WARN;
}

/** The line for a person: `warn: what happened (key=value)`. */
export function logLineText({ text, fields }: LogLine): string {
  if (fields === undefined) return printable(text);
  const { level, msg, err } = fields;
  const name = typeof level === 'number' ? (LEVELS[level] ?? String(level)) : 'log';
  const details = Object.entries(fields)
    .filter(([key]) => !QUIET_FIELDS.has(key))
    .map(([key, value]) => `${key}=${short(value)}`);
  const message = typeof msg === 'string' ? msg : '';
  const cause = errorMessage(err);
  // Many log lines repeat their error's message.
  const why = cause === undefined || message.includes(cause) ? '' : `: ${cause}`;
  return printable(`${name}: ${message}${why}${details.length === 0 ? '' : ` (${details.join(' ')})`}`);
}

function errorMessage(err: unknown): string | undefined {
  if (typeof err !== 'object' || err === null) return undefined;
  const { message } = err as { message?: unknown };
  return typeof message === 'string' && message !== '' ? message : undefined;
}

function short(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');
  return text.length <= VALUE_CHARS_MAX ? text : `${text.slice(0, VALUE_CHARS_MAX)}…`;
}

/** Readers of option values, for commander's `argParser`. Their errors come out as usage errors. */
import { InvalidArgumentError } from 'commander';
import ms from 'ms';
import { parseTimeMs } from '../../proto/program-options.js';
import { KEY_PATTERN, MAX_LABEL_VALUE_CHARS, MAX_REQUIRED_LABELS, UUID_PATTERN } from '../../proto/bounds.js';

/** A time with its unit, in whole milliseconds. A bare number is refused: nobody could tell seconds from milliseconds. */
export function durationReader(minMs: number, maxMs: number): (text: string) => number {
  return (text) => {
    const valueMs = parseTimeMs(text);
    if (valueMs >= minMs && valueMs <= maxMs) return Math.ceil(valueMs);
    throw new InvalidArgumentError(
      `It must be a time with its unit from ${ms(minMs)} to ${ms(maxMs)}, for instance 500ms, 30s or 5m.`,
    );
  };
}

/** A whole number within bounds, both included. */
export function integerReader(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** Adds one KEY=VALUE to those before. */
export function readLabel(
  text: string,
  before: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be KEY=VALUE, for instance disk=ssd.');
  const key = text.slice(0, at);
  const value = text.slice(at + 1);
  if (!KEY_PATTERN.test(key)) {
    throw new InvalidArgumentError('Its key must be 1 to 63 characters of A-Z a-z 0-9 . _ / -.');
  }
  if (value.length > MAX_LABEL_VALUE_CHARS) {
    throw new InvalidArgumentError(`Its value must have at most ${MAX_LABEL_VALUE_CHARS} characters.`);
  }
  const labels = before ?? {};
  if (Object.hasOwn(labels, key)) throw new InvalidArgumentError(`"${key}" is named twice.`);
  if (Object.keys(labels).length >= MAX_REQUIRED_LABELS) {
    throw new InvalidArgumentError(`A task may require at most ${MAX_REQUIRED_LABELS} labels.`);
  }
  return { ...labels, [key]: value };
}

/** A UUID, in lower case. */
export function readUuid(text: string): string {
  if (UUID_PATTERN.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('It must be a UUID, for instance 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60.');
}

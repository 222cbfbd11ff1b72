import { MAX_WALL_MS } from '../proto/bounds.js';
import { FleetError, quoted, type FieldViolation } from '../proto/fleet-error.js';

/**
 * Reads options that may come from plain JavaScript, and keeps a sentence for each that is out of its bounds. A fault reads as
 * undefined: nothing is used of options that have any.
 */
export class OptionFaults {
  readonly violations: FieldViolation[] = [];

  constructor(private readonly prefix = '') {}

  /** An empty field is what the prefix names: the options as a whole. */
  add(field: string, description: string): undefined {
    const place = field === '' ? this.prefix.replace(/\.$/, '') : `${this.prefix}${field}`;
    this.violations.push({ field: place, description });
    return undefined;
  }

  /** An options object; anything else is a fault, and so is each key that is not known. */
  object(field: string, value: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
    if (value === undefined) return {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.add(field, `is ${shown(value)}; it must be an object`);
      return {};
    }
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue;
      this.add(field === '' ? key : `${field}.${key}`, `is not known; known are ${known.join(', ')}`);
    }
    return value as Readonly<Record<string, unknown>>;
  }

  integer(field: string, value: unknown, min: number, max: number, unit = ''): number | undefined {
    if (value === undefined) return undefined;
    if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
    const of = unit === '' ? '' : ` (${unit})`;
    return this.add(field, `is ${shown(value)}; it must be a whole number from ${min} to ${max}${of}`);
  }

  boolean(field: string, value: unknown): boolean | undefined {
    if (value === undefined || typeof value === 'boolean') return value;
    return this.add(field, `is ${shown(value)}; it must be true or false`);
  }

  /** One of these words. */
  word<W extends string>(field: string, value: unknown, words: readonly W[]): W | undefined {
    if (value === undefined) return undefined;
    const found = words.find((word) => word === value);
    return found ?? this.add(field, `is ${shown(value)}; it must be one of ${words.join(', ')}`);
  }

  /** A string that fits. */
  text(field: string, value: unknown, fits: (text: string) => boolean, form: string): string | undefined {
    if (value === undefined) return undefined;
    if (typeof value === 'string' && fits(value)) return value;
    return this.add(field, `is ${shown(value)}; it must be ${form}`);
  }

  date(field: string, value: unknown): Date | undefined {
    if (value === undefined) return undefined;
    if (!(value instanceof Date)) return this.add(field, `is ${shown(value)}; it must be a Date`);
    const ms = value.getTime();
    if (ms >= 0 && ms <= MAX_WALL_MS) return value;
    const found = Number.isNaN(ms) ? 'an invalid Date' : value.toISOString();
    return this.add(field, `is ${found}; it must be a Date between 1970 and 9999`);
  }

  signal(field: string, value: unknown): AbortSignal | undefined {
    if (value === undefined || value instanceof AbortSignal) return value;
    return this.add(field, `is ${shown(value)}; it must be an AbortSignal`);
  }

  /** @throws FleetError INVALID_ARGUMENT with this reason and every fault in one message */
  throwIfAny(reason: string): void {
    if (this.violations.length > 0) throw FleetError.invalid(reason, this.violations);
  }
}

/** A value in a message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (value === null || ['number', 'boolean', 'undefined'].includes(typeof value)) return String(value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

import { types } from 'node:util';
import { JSON_CONTENT_TYPE, type PayloadContent } from '../proto/payload.js';

/** Why a value cannot be sent, ready for a report. */
export interface ContentFault {
  readonly reason: 'RESULT_NOT_JSON' | 'RESULT_TOO_LARGE';
  readonly message: string;
}

const BYTES_TYPE = 'application/octet-stream';

const encoder = new TextEncoder();

/**
 * Encodes what a handler returned: a `Uint8Array` as it is, everything else as JSON, `undefined` as null. A value that JSON
 * would quietly lose (a function, a Map) is a fault that names its place; `undefined` properties, NaN and toJSON() behave
 * as in JSON.stringify.
 *
 * @param maxBytes bound of the encoded value
 */
export function encodeResult(value: unknown, maxBytes: number): PayloadContent | ContentFault {
  return encodeContent('result', value, maxBytes);
}

/** True for what {@link encodeResult} refused. */
export function isContentFault(encoded: PayloadContent | ContentFault): encoded is ContentFault {
  return 'reason' in encoded;
}

/** As {@link encodeResult}, with another word for the value in messages. */
export function encodeContent(what: string, value: unknown, maxBytes: number): PayloadContent | ContentFault {
  if (value instanceof Uint8Array) {
    const content = bounded(what, { contentType: BYTES_TYPE, data: value }, maxBytes);
    // A copy, because the session keeps the bytes until they are acknowledged: the handler may go on using its own.
    return isContentFault(content) ? content : { contentType: BYTES_TYPE, data: new Uint8Array(value) };
  }
  let text: string | undefined;
  try {
    const fault = findFault(value, new Set());
    if (fault !== undefined) return notJson(fault.render(what));
    // Undefined only for an undefined value: everything else that JSON has no form for is a fault above.
    text = JSON.stringify(value) ?? 'null';
  } catch (error) {
    // A toJSON() or getter that throws, or nesting that is deeper than the stack.
    const why = error instanceof RangeError ? 'it is nested too deeply' : String(error);
    return notJson(`${what} cannot be written as JSON: ${why}`);
  }
  return bounded(what, { contentType: JSON_CONTENT_TYPE, data: encoder.encode(text) }, maxBytes);
}

function notJson(message: string): ContentFault {
  return { reason: 'RESULT_NOT_JSON', message };
}

function bounded(what: string, content: PayloadContent, maxBytes: number): PayloadContent | ContentFault {
  const { byteLength } = content.data;
  if (byteLength <= maxBytes) return content;
  const message = `${what} is ${byteLength} bytes, the bound is ${maxBytes} bytes; store it elsewhere and return where it is`;
  return { reason: 'RESULT_TOO_LARGE', message };
}

/** A fault in the making: the path is put together on the way out of the recursion, so that a good value costs nothing. */
class Fault {
  private readonly path: (string | number)[] = [];

  constructor(private readonly says: string) {}

  below(key: string | number): this {
    this.path.unshift(key);
    return this;
  }

  render(root: string): string {
    const steps = this.path.map((key) => {
      if (typeof key === 'number') return `[${key}]`;
      return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    });
    return `${root}${steps.join('')} ${this.says}`;
  }
}

function findFault(given: unknown, ancestors: Set<object>): Fault | undefined {
  let value = given;
  if (typeof value === 'object' && value !== null && typeof (value as { toJSON?: unknown }).toJSON === 'function') {
    value = (value as { toJSON(key: string): unknown }).toJSON('');
  }
  if (typeof value !== 'object' || value === null) return scalarFault(value);
  const lossy = lossyKind(value);
  if (lossy !== undefined) return new Fault(lossy);
  if (ancestors.has(value)) return new Fault('refers back to an object that contains it; JSON cannot hold cycles');
  ancestors.add(value);
  const fault = Array.isArray(value) ? arrayFault(value, ancestors) : objectFault(value, ancestors);
  ancestors.delete(value);
  return fault;
}

function arrayFault(values: readonly unknown[], ancestors: Set<object>): Fault | undefined {
  for (let index = 0; index < values.length; index += 1) {
    const fault = findFault(values[index], ancestors);
    if (fault !== undefined) return fault.below(index);
  }
  return undefined;
}

function objectFault(value: object, ancestors: Set<object>): Fault | undefined {
  for (const key of Object.keys(value)) {
    const fault = findFault((value as Record<string, unknown>)[key], ancestors);
    if (fault !== undefined) return fault.below(key);
  }
  return undefined;
}

function scalarFault(value: unknown): Fault | undefined {
  switch (typeof value) {
    case 'bigint':
      return new Fault('is a BigInt; return Number(x) or String(x)');
    case 'function':
      return new Fault('is a function; JSON has no form for it');
    case 'symbol':
      return new Fault('is a symbol; JSON has no form for it');
    default:
      return undefined;
  }
}

function lossyKind(value: object): string | undefined {
  if (types.isMap(value)) return 'is a Map; return Object.fromEntries(x) or [...x]';
  if (types.isSet(value)) return 'is a Set; return [...x]';
  if (types.isPromise(value)) return 'is a Promise; await it first';
  if (types.isWeakMap(value) || types.isWeakSet(value)) return 'is a weak collection; JSON has no form for it';
  return undefined;
}

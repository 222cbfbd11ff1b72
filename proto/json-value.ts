import { types } from 'node:util';

/** JSON text in UTF-8, or what keeps a value from being JSON. */
export type EncodedJson =
  | { readonly ok: true; readonly data: Uint8Array }
  | {
      readonly ok: false;
      /** The value within the whole: `payload.items[3].total`. */
      readonly place: string;
      /** What it is and what to do: `is a BigInt; pass Number(x) or String(x)`. */
      readonly says: string;
    };

const encoder = new TextEncoder();

/**
 * A value as JSON text; `undefined` as null. A value that JSON would quietly lose (a function, a Map, an Error, bytes) is a fault
 * that names its place; `undefined` properties, NaN and toJSON(), which a Buffer has, behave as in JSON.stringify.
 *
 * @param what What to call the value in messages: `result`, `payload`.
 */
export function encodeJson(what: string, value: unknown): EncodedJson {
  try {
    const fault = findFault(value, new Set());
    if (fault !== undefined) return { ok: false, place: fault.place(what), says: fault.says };
    // Undefined only for an undefined value: everything else that JSON has no form for is a fault above.
    return { ok: true, data: encoder.encode(JSON.stringify(value) ?? 'null') };
  } catch (error) {
    // A toJSON() or getter that throws, or nesting that is deeper than the stack.
    const why = error instanceof RangeError ? 'it is nested too deeply' : String(error);
    return { ok: false, place: what, says: `cannot be written as JSON: ${why}` };
  }
}

/** A fault in the making: the path is put together on the way out of the recursion, so that a good value costs nothing. */
class Fault {
  private readonly path: (string | number)[] = [];

  constructor(readonly says: string) {}

  below(key: string | number): this {
    this.path.unshift(key);
    return this;
  }

  place(root: string): string {
    const steps = this.path.map((key) => {
      if (typeof key === 'number') return `[${key}]`;
      return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    });
    return `${root}${steps.join('')}`;
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
      return new Fault('is a BigInt; pass Number(x) or String(x)');
    case 'function':
      return new Fault('is a function; JSON has no form for it');
    case 'symbol':
      return new Fault('is a symbol; JSON has no form for it');
    default:
      return undefined;
  }
}

/** What JSON would make `{}` of, or a map from indexes, or an object without what matters in it. */
function lossyKind(value: object): string | undefined {
  const prototype: unknown = Object.getPrototypeOf(value);
  // Nearly all there is, without a question for each kind.
  if (prototype === Object.prototype || prototype === Array.prototype || prototype === null) return undefined;
  if (types.isMap(value)) return 'is a Map; pass Object.fromEntries(x) or [...x]';
  if (types.isSet(value)) return 'is a Set; pass [...x]';
  if (types.isPromise(value)) return 'is a Promise; await it first';
  if (types.isWeakMap(value) || types.isWeakSet(value)) return 'is a weak collection; JSON has no form for it';
  if (types.isRegExp(value)) return 'is a RegExp; pass x.source';
  if (types.isNativeError(value) || value instanceof Error) return 'is an Error; pass x.message';
  return binaryKind(value);
}

/** A Buffer never comes here: its toJSON() has been asked. */
function binaryKind(value: object): string | undefined {
  if (types.isTypedArray(value)) {
    return `is a typed array (${value[Symbol.toStringTag]}); pass [...x] or base64 text, or a Uint8Array as the whole value`;
  }
  if (ArrayBuffer.isView(value)) return 'is a DataView; pass base64 text, or a Uint8Array as the whole value';
  if (types.isAnyArrayBuffer(value)) {
    return 'is an ArrayBuffer; pass base64 text, or new Uint8Array(x) as the whole value';
  }
  if (value instanceof Blob) {
    return 'is a Blob; pass base64 text, or new Uint8Array(await x.arrayBuffer()) as the whole value';
  }
  return undefined;
}

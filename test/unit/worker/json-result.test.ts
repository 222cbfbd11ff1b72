import { describe, expect, it } from 'vitest';
import { encodeResult, isContentFault } from '../../../worker/json-result.js';

const MAX = 1_000;

function text(value: unknown): string {
  const encoded = encodeResult(value, MAX);
  if (isContentFault(encoded)) throw new Error(encoded.message);
  return Buffer.from(encoded.data).toString();
}

function fault(value: unknown) {
  const encoded = encodeResult(value, MAX);
  return isContentFault(encoded) ? encoded : undefined;
}

describe('encodeResult', () => {
  it('should encode what JSON can hold', () => {
    expect(text({ a: [1, 'zwei', null, true], when: new Date(0), left: undefined })).toBe(
      '{"a":[1,"zwei",null,true],"when":"1970-01-01T00:00:00.000Z"}',
    );
  });

  it('should take objects of classes, of no class, and what has a toJSON() of its own', () => {
    class Point {
      x = 1;
    }
    expect(text([new Point(), Object.assign(Object.create(null), { y: 2 })])).toBe('[{"x":1},{"y":2}]');
    expect(text({ bytes: Buffer.from('a'), error: Object.assign(new Error('no'), { toJSON: () => 'no' }) })).toBe(
      '{"bytes":{"type":"Buffer","data":[97]},"error":"no"}',
    );
  });

  it('should make null of undefined', () => {
    expect(text(undefined)).toBe('null');
  });

  it('should accept one object in two places, which is no cycle', () => {
    const shared = { x: 1 };
    expect(text([shared, shared])).toBe('[{"x":1},{"x":1}]');
  });

  it.each([
    ['a BigInt', { items: [0, 1, 2, { total: 5n }] }, 'result.items[3].total is a BigInt; pass Number(x) or String(x)'],
    ['a Map', { a: { 'b c': new Map() } }, 'result.a["b c"] is a Map; pass Object.fromEntries(x) or [...x]'],
    ['a Set', new Set([1]), 'result is a Set; pass [...x]'],
    ['a function', { f: () => 1 }, 'result.f is a function; JSON has no form for it'],
    ['a symbol', [Symbol('s')], 'result[0] is a symbol; JSON has no form for it'],
    ['a promise', { later: Promise.resolve(1) }, 'result.later is a Promise; await it first'],
    ['a RegExp', { match: /x/ }, 'result.match is a RegExp; pass x.source'],
    ['an Error', { cause: new TypeError('no') }, 'result.cause is an Error; pass x.message'],
    ['a DOMException', [AbortSignal.abort().reason], 'result[0] is an Error; pass x.message'],
    [
      'bytes within',
      { picture: new Uint8Array([1]) },
      'result.picture is a typed array (Uint8Array); pass [...x] or base64 text, or a Uint8Array as the whole value',
    ],
    [
      'a Float64Array',
      new Float64Array(2),
      'result is a typed array (Float64Array); pass [...x] or base64 text, or a Uint8Array as the whole value',
    ],
    [
      'a DataView',
      [new DataView(new ArrayBuffer(1))],
      'result[0] is a DataView; pass base64 text, or a Uint8Array as the whole value',
    ],
    [
      'an ArrayBuffer',
      new ArrayBuffer(1),
      'result is an ArrayBuffer; pass base64 text, or new Uint8Array(x) as the whole value',
    ],
    [
      'a SharedArrayBuffer',
      new SharedArrayBuffer(1),
      'result is an ArrayBuffer; pass base64 text, or new Uint8Array(x) as the whole value',
    ],
    [
      'a Blob',
      { file: new Blob(['x']) },
      'result.file is a Blob; pass base64 text, or new Uint8Array(await x.arrayBuffer()) as the whole value',
    ],
  ])('should refuse %s and name its place', (_, value, message) => {
    expect(fault(value)).toEqual({ reason: 'RESULT_NOT_JSON', message });
  });

  it('should refuse a cycle and name its place', () => {
    const value: Record<string, unknown> = { a: {} };
    (value.a as Record<string, unknown>).back = value;
    expect(fault(value)?.message).toMatch(/^result\.a\.back refers back to an object that contains it/);
  });

  it('should refuse nesting deeper than the stack, and a toJSON that throws', () => {
    let deep: unknown = 0;
    for (let depth = 0; depth < 100_000; depth += 1) deep = [deep];
    expect(fault(deep)?.message).toBe('result cannot be written as JSON: it is nested too deeply');
    const hostile = { toJSON: () => { throw new Error('no'); } }; // prettier-ignore
    expect(fault(hostile)?.message).toBe('result cannot be written as JSON: Error: no');
  });

  it('should refuse a result over the bound, with both sizes', () => {
    expect(fault('x'.repeat(MAX))).toEqual({
      reason: 'RESULT_TOO_LARGE',
      message: 'result is 1002 bytes, the bound is 1000 bytes; store it elsewhere and return where it is',
    });
  });

  it('should take bytes as they are, as a copy', () => {
    const given = Buffer.from('abc');
    const encoded = encodeResult(given, MAX);
    expect(encoded).toEqual({ contentType: 'application/octet-stream', data: new Uint8Array([97, 98, 99]) });
    given[0] = 0;
    expect(!isContentFault(encoded) && encoded.data[0]).toBe(97);
    expect(fault(Buffer.alloc(MAX + 1))?.reason).toBe('RESULT_TOO_LARGE');
  });
});

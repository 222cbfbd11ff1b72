import { describe, expect, it } from 'vitest';
import { findJsonFault } from '../../../client/cli/json-fault.js';

describe('findJsonFault', () => {
  it.each([
    'null',
    ' true ',
    '0',
    '-0.5e+10',
    '""',
    '"\\u00e9\\n\\""',
    '[]',
    '{}',
    '[1,[2,{"a":{}}],"x"]',
    '{"a":1,"b":[],"c":{"d":null}}\n',
    '"\u2028ü😀"',
  ])('should find none in %j, as JSON.parse', (text) => {
    expect(() => JSON.parse(text) as unknown).not.toThrow();
    expect(findJsonFault(text)).toBeUndefined();
  });

  it.each([
    ['', 1, 1, 'the end'],
    ['{path: 1}', 1, 2, '"p"'],
    ["{'a':1}", 1, 2, `"'"`],
    ['{"a":1', 1, 7, 'the end'],
    ['{"a":1,}', 1, 8, '"}"'],
    ['[1,]', 1, 4, '"]"'],
    ['[1}', 1, 3, '"}"'],
    ['{"a"}', 1, 5, '"}"'],
    ['{"a":}', 1, 6, '"}"'],
    ['01', 1, 1, '"0"'],
    ['1 2', 1, 3, '"2"'],
    ['nul', 1, 1, '"n"'],
    ['"abc', 1, 5, 'the end'],
    ['"a\tb"', 1, 3, '"\\t"'],
    ['"a\\x"', 1, 3, '"\\\\"'],
    ['{\n  "a": 1\n  "b": 2\n}', 3, 3, '"\\""'],
    ['["😀", x]', 1, 7, '"x"'],
    ['{"a":1}}', 1, 8, '"}"'],
  ])('should find where %j breaks', (text, line, column, found) => {
    expect(() => JSON.parse(text) as unknown).toThrow();
    expect(findJsonFault(text)).toEqual({ line, column, found });
  });

  it('should agree with JSON.parse on every text that one character makes of a good one', () => {
    const good = '{"a":[1,-2.5e3,"x\\n"],"b":{"c":null,"d":true},"e":""}';
    for (let at = 0; at <= good.length; at += 1) {
      for (const text of [
        good.slice(0, at),
        ...[...'{}[],:"\\0-.eE x\n'].map((c) => good.slice(0, at) + c + good.slice(at + 1)),
      ]) {
        expect([text, findJsonFault(text) === undefined]).toEqual([text, parses(text)]);
      }
    }
  });

  it('should bear any depth', () => {
    expect(findJsonFault('['.repeat(1_000_000))).toEqual({ line: 1, column: 1_000_001, found: 'the end' });
  });

  it('should bear a string of a megabyte', () => {
    expect(findJsonFault(`"${'x\\n'.repeat(350_000)}"`)).toBeUndefined();
  });
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

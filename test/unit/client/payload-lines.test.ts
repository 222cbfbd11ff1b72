import { describe, expect, it } from 'vitest';
import { payloadLines } from '../../../client/cli/payload-lines.js';

const BOUND = 8;

async function* pieces(texts: readonly string[]) {
  for (const text of texts) yield Buffer.from(text);
}

/** Lines as text; null for one over the bound. */
async function linesOf(texts: readonly string[]) {
  const lines: [number, string | null, number][] = [];
  for await (const { number, content, inputBytes } of payloadLines(pieces(texts), BOUND)) {
    lines.push([number, content === undefined ? null : content.toString(), inputBytes]);
  }
  return lines;
}

describe('payloadLines', () => {
  it('should cut lines, with and without carriage returns, also the last without an end', async () => {
    expect(await linesOf(['a\nbc\r\n\n d'])).toEqual([
      [1, 'a', 2],
      [2, 'bc', 4],
      [3, '', 1],
      [4, ' d', 2],
    ]);
    expect(await linesOf([])).toEqual([]);
    expect(await linesOf(['a\n'])).toEqual([[1, 'a', 2]]);
  });

  it('should give the same lines whatever the pieces', async () => {
    const text = 'ä\r\nxy\n\r\n12345678\n123456789\nend';
    const whole = await linesOf([text]);
    expect(whole.map(([, line]) => line)).toEqual(['ä', 'xy', '', '12345678', null, 'end']);
    const bytes = Buffer.from(text);
    for (let size = 1; size < bytes.length; size += 1) {
      const cut = async function* () {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
      };
      const lines: [number, string | null, number][] = [];
      for await (const { number, content, inputBytes } of payloadLines(cut(), BOUND)) {
        lines.push([number, content === undefined ? null : content.toString(), inputBytes]);
      }
      expect(lines).toEqual(whole);
    }
  });

  it('should count every byte of the input once', async () => {
    const texts = ['a\nb', 'cdefghijklmnop', '\r\n', 'q'];
    const lines = await linesOf(texts);
    expect(lines.reduce((sum, [, , bytes]) => sum + bytes, 0)).toBe(texts.join('').length);
    expect(lines.map(([, line]) => line)).toEqual(['a', null, 'q']);
  });

  it('should take a line of exactly the bound, with its carriage return', async () => {
    expect((await linesOf(['12345678\r\n']))[0]?.[1]).toBe('12345678');
    expect((await linesOf(['123456789\r\n']))[0]?.[1]).toBeNull();
  });
});

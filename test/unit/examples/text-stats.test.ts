import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { TextStats } from './examples.js';
import { createContext, failureOf, refusal, setup } from './support.js';

/** Counts a whole text at once, with other means than the code under test. */
function model(bytes: Buffer) {
  const text = bytes.toString('utf8');
  const pieces = text.split('\n');
  const rest = pieces.at(-1) === '' ? pieces.slice(0, -1) : pieces;
  const lengths = rest.map((line) => Array.from(line).length);
  const longest = Math.max(0, ...lengths);
  // Of JavaScript's white space the byte order mark is none, and the word joiner is one.
  const words = text.replaceAll('\uFEFF', 'x').split(/[\s\u2060]+/u);
  return {
    bytes: bytes.length,
    lines: pieces.length - 1,
    words: words.filter((word) => word !== '').length,
    characters: Array.from(text).length,
    longestLine: { number: lengths.indexOf(longest) + 1, characters: longest },
  };
}

function statsOf(...chunks: Uint8Array[]) {
  const stats = new TextStats();
  for (const chunk of chunks) stats.update(chunk);
  return stats.finish();
}

/** A small generator of repeatable numbers below `bound`. */
function randomFrom(seed: number) {
  let state = seed;
  return (bound: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

describe('TextStats', () => {
  const texts: Record<string, string> = {
    'an empty file': '',
    'a lone newline': '\n',
    'text without a final newline': 'one two\nthree',
    'a final newline': 'one two\nthree\n',
    'blank lines': '\n\n  \n\t\n',
    'CRLF line ends': 'a b\r\nc\r\n',
    'every ASCII white space': ' a\tb\vc\fd\re\nf ',
    'characters of two, three and four bytes': 'é € 😀 é€😀\n日本語\n',
    'white space beyond ASCII': 'a\u00A0b\u2003c\u3000d\u202Fe\u2028f\u1680g\u2060h',
    'a byte order mark': '\uFEFFa b\n',
    'a NUL': 'a\0b c\n',
  };
  it.each(Object.entries(texts))('should count %s', (_name, text) => {
    const bytes = Buffer.from(text);
    expect(statsOf(bytes)).toEqual(model(bytes));
  });

  it('should name what it counts', () => {
    expect(statsOf(Buffer.from('one two\nthré'))).toEqual({
      bytes: 13,
      lines: 1,
      words: 3,
      characters: 12,
      longestLine: { number: 1, characters: 7 },
    });
    expect(statsOf()).toMatchObject({ lines: 0, longestLine: { number: 0, characters: 0 } });
  });

  it('should name the first of equally long lines, and a last line without newline', () => {
    expect(statsOf(Buffer.from('ab\ncd\n')).longestLine).toEqual({ number: 1, characters: 2 });
    expect(statsOf(Buffer.from('ab\ncdé')).longestLine).toEqual({ number: 2, characters: 3 });
    expect(statsOf(Buffer.from('\n\n')).longestLine).toEqual({ number: 1, characters: 0 });
  });

  it('should count the same wherever the chunks are cut', () => {
    const bytes = Buffer.from('né €uro\u00A0😀\n\n日本 語\r\nend\uFEFF');
    const whole = model(bytes);
    expect(statsOf(...[...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(whole);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      expect(statsOf(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(whole);
    }
  });

  it('should count what is not UTF-8 as replacement characters, in any chunks', () => {
    const alphabet = [0x61, 0x20, 0x0a, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0xff, 0xc0, 0xed, 0xa0];
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = randomFrom(seed);
      const bytes = Buffer.from(Array.from({ length: random(40) }, () => alphabet[random(alphabet.length)] ?? 0));
      const cut = random(bytes.length + 1);
      expect(statsOf(bytes.subarray(0, cut), bytes.subarray(cut)), `seed ${seed}`).toEqual(model(bytes));
    }
  });

  it('should agree with wc on this machine', () => {
    const random = randomFrom(7);
    const alphabet = 'abc.,;-  \t\n\r\v\f';
    for (let round = 0; round < 20; round += 1) {
      const text = Array.from({ length: random(400) }, () => alphabet[random(alphabet.length)]).join('');
      const output = execFileSync('wc', ['-l', '-w', '-c'], {
        input: text,
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C' },
      });
      const { lines, words, bytes } = statsOf(Buffer.from(text));
      expect([lines, words, bytes], JSON.stringify(text)).toEqual(output.trim().split(/\s+/).map(Number));
    }
  });
});

describe('file.stats', () => {
  it('should count a file of many chunks with characters across their borders', async () => {
    const { handlers, write } = await setup();
    for (const shift of [0, 1, 2, 3]) {
      const bytes = Buffer.from('x'.repeat(shift) + '日本 é€😀\n'.repeat(30_000));
      write('large.txt', bytes);
      const { ctx, reports } = createContext();
      expect(await handlers['file.stats']({ path: 'large.txt' }, ctx)).toEqual({ path: 'large.txt', ...model(bytes) });
      expect(reports).toEqual([{ bytes: bytes.length, total: bytes.length }]);
    }
  });

  it('should count one line that is longer than a chunk', async () => {
    const { handlers, write } = await setup();
    write('line.txt', 'é'.repeat(200_000));
    expect(await handlers['file.stats']({ path: 'line.txt' }, createContext().ctx)).toMatchObject({
      lines: 0,
      words: 1,
      longestLine: { number: 1, characters: 200_000 },
    });
  });

  it('should stop when it is aborted in the middle', async () => {
    const { handlers, write, tickPerLook } = await setup();
    tickPerLook(100);
    write('large.txt', Buffer.alloc(1_000_000, 'a b\n'));
    const { ctx, controller, reports } = createContext({ onProgress: () => controller.abort(new Error('cancelled')) });
    expect(await failureOf(handlers['file.stats']({ path: 'large.txt' }, ctx))).toBe(controller.signal.reason);
    expect(reports).toHaveLength(1);
  });

  it('should refuse a payload without a path', async () => {
    const { handlers } = await setup();
    const { ctx } = createContext();
    expect(await failureOf(handlers['file.stats']({}, ctx))).toMatchObject(
      refusal('INVALID_PAYLOAD', /"path" must be a string that is not empty, and it is missing/),
    );
  });
});

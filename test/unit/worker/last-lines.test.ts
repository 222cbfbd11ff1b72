import { describe, expect, it } from 'vitest';
import { LastLines } from '../../../worker/last-lines.js';

describe('LastLines', () => {
  it('should keep the newest 20, oldest first, and no empty ones', () => {
    const lines = new LastLines();
    for (let number = 1; number <= 25; number += 1) {
      lines.add('stdout', `line ${number}`);
      lines.add('stdout', '');
    }
    expect(lines.read()).toEqual(Array.from({ length: 20 }, (_, index) => `line ${index + 6}`));
  });

  it('should keep at most 8 KiB together', () => {
    const lines = new LastLines();
    for (const letter of ['a', 'b', 'c', 'd', 'e']) lines.add('stderr', letter.repeat(2_048));
    expect(lines.read().map(([letter]) => letter)).toEqual(['b', 'c', 'd', 'e']);
  });

  it('should keep the beginning of a line that is longer, in bytes', () => {
    const lines = new LastLines();
    lines.add('stderr', 'before');
    lines.add('stderr', `Error: ${'é'.repeat(100_000)}`);
    const [line, ...others] = lines.read();
    expect(others).toEqual([]);
    expect(line).toMatch(/^Error: éé/);
    // A character that was cut in two is shown as one of three bytes.
    expect(Buffer.byteLength(line!)).toBeLessThanOrEqual(8_192 + 2);
  });

  it('should not let what goes to stdout push out what goes to stderr', () => {
    const lines = new LastLines();
    lines.add('stderr', 'Error: no such herd');
    for (let number = 1; number <= 25; number += 1) lines.add('stdout', `line ${number}`);
    expect(lines.read()).toEqual([
      ...Array.from({ length: 19 }, (_, index) => `line ${index + 7}`),
      'Error: no such herd',
    ]);
  });
});

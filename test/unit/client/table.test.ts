import { describe, expect, it } from 'vitest';
import { cutText, renderTable } from '../../../client/cli/table.js';

const head = ['ID', 'STATE', 'WHY'];
const rows = [
  ['0'.repeat(36), 'DEAD_LETTERED', 'the handler said that it had no luck with what it was given'],
  ['1'.repeat(36), 'QUEUED', ''],
];
const options = { cut: ['WHY'], drop: ['WHY', 'STATE'] };

/** What the table takes with borders where it is not cut. */
const NATURAL_CHARS = 118;

const widthOf = (table: string) => Math.max(...table.split('\n').map((line) => [...line].length));

describe('renderTable', () => {
  it.each([
    [true, 80],
    [true, 120],
    [false, 80],
    [false, 70],
  ])('should cut what may be cut to stay within the width: borders %s, %i columns', (borders, columns) => {
    const table = renderTable(head, rows, { ...options, borders, columns });
    expect(widthOf(table)).toBe(Math.min(columns, NATURAL_CHARS));
    expect(table.includes('…')).toBe(columns !== 120);
    expect(table).toContain('0'.repeat(36));
  });

  it('should leave out columns where cutting is not enough, and no more than it must', () => {
    const table = renderTable(head, rows, { ...options, borders: true, columns: 60 });
    expect(table).not.toContain('WHY');
    expect(table).toContain('DEAD_LETTERED');
    const narrow = renderTable(head, rows, { ...options, borders: true, columns: 42 });
    expect(narrow).not.toContain('STATE');
    expect(narrow).toContain('0'.repeat(36));
  });

  it('should cut and leave out nothing where nobody said how wide it may be', () => {
    const table = renderTable(head, rows, { ...options, borders: false });
    expect(table).toContain(rows[0]?.[2]);
  });

  it('should paint the head, and values as it is told, without moving columns', () => {
    const paint = (style: string, text: string) => `\u001b[1m${style === 'red' ? '!' : ''}${text}\u001b[0m`;
    const styleOf = (column: string, value: string) =>
      column === 'STATE' && value === 'QUEUED' ? ('red' as const) : undefined;
    const painted = renderTable(head, rows, { ...options, borders: false, paint, styleOf });
    expect(painted).toContain('\u001b[1m!QUEUED\u001b[0m');
    expect(painted).toContain('\u001b[1mSTATE\u001b[0m');
    expect(painted).not.toContain('!DEAD_LETTERED');
  });
});

describe('cutText', () => {
  it('should count characters, and mark what was cut', () => {
    expect(cutText('abc', 3)).toBe('abc');
    expect(cutText('abcd', 3)).toBe('ab…');
    expect(cutText('😀😀😀', 2)).toBe('😀…');
  });
});

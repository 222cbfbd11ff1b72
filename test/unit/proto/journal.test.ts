import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { isJournal, journalError, journalPriority } from '../../../proto/journal.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** A stream that the manager might have connected, and its name in JOURNAL_STREAM. */
function stream() {
  const folder = mkdtempSync(join(tmpdir(), 'remuda-journal-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const fd = openSync(join(folder, 'stream'), 'w');
  cleanups.push(() => closeSync(fd));
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return { fd, name: `${dev}:${ino}`, dev, ino };
}

describe('isJournal', () => {
  it('should know the stream that JOURNAL_STREAM names', () => {
    const { fd, name } = stream();
    expect(isJournal(fd, { JOURNAL_STREAM: name })).toBe(true);
  });

  it('should take no other stream for the journal', () => {
    const { fd, dev, ino } = stream();
    const other = stream();
    const named = ['', `${dev}:${ino + 1n}`, `${dev + 1n}:${ino}`, `${ino}`, `${dev}:`, ':', 'x', other.name];
    for (const JOURNAL_STREAM of named) expect(isJournal(fd, { JOURNAL_STREAM })).toBe(false);
    expect(isJournal(fd, {})).toBe(false);
  });

  it('should say no of a descriptor that is closed', () => {
    expect(isJournal(1_000_000, { JOURNAL_STREAM: '8:1' })).toBe(false);
  });
});

describe('journalPriority', () => {
  it.each([
    ['fatal', 2],
    ['error', 3],
    ['warn', 4],
    ['info', 6],
    ['debug', 7],
    ['trace', 7],
  ] as const)('should make of %s %i', (level, priority) => {
    expect(journalPriority(pino.levels.values[level] ?? NaN)).toBe(priority);
  });
});

describe('journalError', () => {
  it('should put the priority before each line', () => {
    expect(journalError('cannot start\n  - a\r\n\n  - b')).toBe('<3>cannot start\n<3>  - a\r\n<3>\n<3>  - b');
  });
});

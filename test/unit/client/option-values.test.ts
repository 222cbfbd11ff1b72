import { InvalidArgumentError } from 'commander';
import { describe, expect, it } from 'vitest';
import {
  durationReader,
  integerReader,
  momentReader,
  readLabel,
  readTaskIds,
  readTaskState,
  readUuid,
  readWorkerPattern,
} from '../../../client/cli/option-values.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';

describe('durationReader', () => {
  const read = durationReader(1, 86_400_000);

  it.each([
    ['1ms', 1],
    ['0.5s', 500],
    ['30s', 30_000],
    ['5 m', 300_000],
    ['24h', 86_400_000],
    ['1.2ms', 2],
  ])('should read %s as whole milliseconds', (text, valueMs) => {
    expect(read(text)).toBe(valueMs);
  });

  it.each(['', '30', '-1s', '0ms', '25h', '1 fortnight', 's', 'NaNs'])('should refuse %j', (text) => {
    expect(() => read(text)).toThrow(InvalidArgumentError);
  });
});

describe('integerReader', () => {
  const read = integerReader(0, 100);

  it('should read whole numbers within the bounds', () => {
    expect(['0', '7', '100'].map(read)).toEqual([0, 7, 100]);
  });

  it.each(['', '-1', '101', '1.5', '1e1', '0x10', 'ten', ' 1'])('should refuse %j', (text) => {
    expect(() => read(text)).toThrow('whole number from 0 to 100');
  });
});

describe('readLabel', () => {
  it('should split at the first equals sign and add to those before', () => {
    expect(readLabel('b=x=y', readLabel('a=', undefined))).toEqual({ a: '', b: 'x=y' });
  });

  it('should take a name that objects have already', () => {
    expect(readLabel('constructor=x', {})).toEqual({ constructor: 'x' });
  });

  it.each(['', 'a', '=v', 'a b=c', `${'k'.repeat(64)}=v`, `k=${'v'.repeat(64)}`, '__proto__=x'])(
    'should refuse %j',
    (text) => {
      expect(() => readLabel(text, undefined)).toThrow(InvalidArgumentError);
    },
  );

  it('should refuse a key named twice and a 17th label', () => {
    expect(() => readLabel('a=2', { a: '1' })).toThrow('"a" is named twice');
    const many = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`k${index}`, 'v']));
    expect(() => readLabel('a=1', many)).toThrow('at most 16 labels');
  });
});

describe('readUuid', () => {
  it('should give lower case and refuse anything else', () => {
    expect(readUuid('01976F2E-5A10-7C3E-8B52-3F2A9D1C4E60')).toBe('01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60');
    expect(() => readUuid('01976f2e5a107c3e8b523f2a9d1c4e60')).toThrow('UUID');
  });
});

describe('momentReader', () => {
  const nowMs = Date.UTC(2026, 0, 1);
  const read = momentReader(() => nowMs);

  it.each([
    ['10m', nowMs + 600_000],
    ['1.5s', nowMs + 1_500],
    ['2026-02-28T12:00:00Z', Date.UTC(2026, 1, 28, 12)],
    ['2026-02-28T12:00+02:00', Date.UTC(2026, 1, 28, 10)],
    ['2028-02-29T00:00:00.25Z', Date.UTC(2028, 1, 29, 0, 0, 0, 250)],
    ['2025-01-01T00:00:00Z', Date.UTC(2025, 0, 1)],
  ])('should read %s', (text, momentMs) => {
    expect(read(text)).toBe(momentMs);
  });

  // Without a zone, nobody could tell whose midnight it is.
  it.each([
    ...['', '10', 'tomorrow', '2026-01-01', '2026-01-01T10:00:00', '2026-02-29T00:00:00Z', '2026-13-01T00:00:00Z'],
    ...['2026-01-01T25:00:00Z', '-10m', '11y', '1767225600000'],
  ])('should refuse %j', (text) => {
    expect(() => read(text)).toThrow('ISO time with its zone');
  });
});

describe('readTaskState', () => {
  it('should take names in either case and add them to those before', () => {
    const states = readTaskState('dead-lettered', readTaskState('Queued', undefined));
    expect(readTaskState('QUEUED', states)).toEqual([TaskState.QUEUED, TaskState.DEAD_LETTERED]);
  });

  it.each(['', 'unspecified', 'done', '4'])('should refuse %j, and name what there is', (text) => {
    expect(() => readTaskState(text, undefined)).toThrow('scheduled, queued, running, succeeded');
  });
});

describe('readTaskIds', () => {
  it('should add ids in lower case, each once', () => {
    const id = '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60';
    expect(readTaskIds(id.toUpperCase(), readTaskIds(id, undefined))).toEqual([id]);
    expect(() => readTaskIds(id.slice(0, 8), [])).toThrow('whole UUID');
  });
});

describe('readWorkerPattern', () => {
  it('should take ids and patterns, and refuse what no worker_id could match', () => {
    expect(readWorkerPattern('*/0', readWorkerPattern('host-1/*', undefined))).toEqual(['host-1/*', '*/0']);
    for (const text of ['', '/x', 'a b', 'a?', 'ä']) expect(() => readWorkerPattern(text, [])).toThrow('pattern');
  });
});

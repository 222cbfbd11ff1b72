import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import { describe, expect, it } from 'vitest';
import type { Write } from '../../../coordinator/core/outputs.js';
import { Retention, type RetentionOptions } from '../../../coordinator/retention.js';
import type { StoreStats } from '../../../coordinator/store/store.js';

const OPTIONS = {
  acknowledgedMs: 100,
  maxAcknowledged: 1_000,
  readMs: 500,
  unseenMs: 10_000,
  deadLetterMs: 90_000,
  maxDeadLetters: 7,
  pressureShare: 0.9,
  maxRows: 50,
  maxMarks: 1_000,
  oldEveryMs: 60_000,
} as const satisfies RetentionOptions;

const WALL_MS = 1_000_000;
const CALM: StoreStats = {
  openTasks: 0,
  endedTasks: 100,
  deadLetters: 0,
  usedBytes: 1_000,
  limitBytes: 10_000,
  disk: null,
};

/** A retention whose first look at what is old is behind it. */
function setup(options: Partial<RetentionOptions> = {}) {
  const retention = new Retention({ ...OPTIONS, ...options });
  retention.opened(0);
  const takeAll = (monoMs: number, stats = CALM): readonly Write[] =>
    retention.take({ monoMs, wallMs: WALL_MS + monoMs }, stats);
  takeAll(0);
  /** Ids that are purged now; that there are any must have been announced. */
  const take = (monoMs: number, stats = CALM): string[] => {
    const isDue = retention.isDue(monoMs, stats);
    const ids = takeAll(monoMs, stats).flatMap((write) => (write.kind === 'purge' ? write.tasks : []));
    expect(isDue || ids.length === 0, 'what is taken was due').toBe(true);
    return ids.map(({ taskId }) => taskId);
  };
  const seen = (taskId: string, how: 'acknowledged' | 'read', monoMs: number, endWallMs = 1): void =>
    retention.seen({ taskId, endWallMs }, how, monoMs);
  return { retention, take, takeAll, seen };
}

describe('retention, seen tasks', () => {
  it('lets acknowledged ones go after their time, read ones after theirs, the oldest first', () => {
    const { retention, take, seen } = setup();
    seen('a', 'acknowledged', 10);
    seen('b', 'read', 10);
    seen('c', 'acknowledged', 20);
    expect([take(109), take(110), take(119), take(120)]).toEqual([[], ['a'], [], ['c']]);
    expect(retention.isDue(509, CALM)).toBe(false);
    expect([take(510), take(9_999)]).toEqual([['b'], []]);
  });

  it('names the end that was seen', () => {
    const { takeAll, seen } = setup();
    seen('a', 'acknowledged', 10, 777);
    expect(takeAll(200)).toEqual([{ kind: 'purge', tasks: [{ taskId: 'a', endWallMs: 777 }] }]);
  });

  it('keeps what is read again for another while, and not what is acknowledged again', () => {
    const { take, seen } = setup();
    seen('read', 'read', 10);
    seen('other', 'read', 20);
    seen('acknowledged', 'acknowledged', 10);
    for (const again of [50, 90]) {
      seen('read', 'read', again);
      seen('acknowledged', 'acknowledged', again);
      seen('acknowledged', 'read', again);
    }
    expect([take(110), take(519), take(520), take(589), take(590)]).toEqual([
      ['acknowledged'],
      [],
      ['other'],
      [],
      ['read'],
    ]);
  });

  it('lets what was read go sooner once it is acknowledged', () => {
    const { take, seen } = setup();
    seen('a', 'read', 10);
    seen('a', 'acknowledged', 20);
    expect([take(119), take(120), take(9_999)]).toEqual([[], ['a'], []]);
  });

  it('begins anew with a task that was opened again and has another end', () => {
    const { take, takeAll, seen } = setup();
    seen('a', 'acknowledged', 10, 1);
    seen('a', 'read', 60, 2);
    seen('b', 'acknowledged', 10, 1);
    seen('b', 'acknowledged', 60, 2);
    expect([take(110), take(159)]).toEqual([[], []]);
    expect(takeAll(160)).toEqual([{ kind: 'purge', tasks: [{ taskId: 'b', endWallMs: 2 }] }]);
    expect(takeAll(560)).toEqual([{ kind: 'purge', tasks: [{ taskId: 'a', endWallMs: 2 }] }]);
  });

  it('keeps only the newest acknowledged ones, and takes no more than a step may', () => {
    const { retention, take, seen } = setup({ maxAcknowledged: 3, maxRows: 2 });
    for (const id of ['a', 'b', 'c']) seen(id, 'acknowledged', 0);
    expect(retention.isDue(0, CALM)).toBe(false);
    for (const id of ['d', 'e', 'f']) seen(id, 'acknowledged', 0);
    expect([take(1), take(1), take(1)]).toEqual([['a', 'b'], ['c'], []]);
    seen('r', 'read', 0);
    expect([take(500), take(500), take(500)]).toEqual([['d', 'e'], ['f', 'r'], []]);
  });

  it('forgets the oldest marks at its bound: those tasks are kept for longer', () => {
    const { take, seen } = setup({ maxMarks: 2 });
    for (const id of ['a', 'b', 'c']) seen(id, 'acknowledged', 0);
    for (const id of ['d', 'e', 'f']) seen(id, 'read', 0);
    expect([take(100), take(500)]).toEqual([
      ['b', 'c'],
      ['e', 'f'],
    ]);
  });
});

describe('retention, a store that is nearly full', () => {
  const full = (usedBytes: number): StoreStats => ({ ...CALM, endedTasks: 100, usedBytes });

  it('lets acknowledged ones go before their time, the oldest first, as many as bring it below 90 %', () => {
    const { retention, take, seen } = setup();
    for (let index = 0; index < 20; index += 1) seen(`t${index}`, 'acknowledged', 0);
    seen('read', 'read', 0);
    expect(retention.isDue(1, full(8_999))).toBe(false);
    // 100 tasks take 9,500 bytes: 500 bytes are 6 of them.
    expect(take(1, full(9_500))).toEqual(['t0', 't1', 't2', 't3', 't4', 't5']);
    // It was not worth that much.
    expect(take(1, full(9_000))).toEqual(['t6']);
    expect(take(1, full(8_999))).toEqual([]);
    expect(take(1, full(50_000))).toHaveLength(13);
    expect(retention.isDue(1, full(50_000))).toBe(false);
  });

  it('lets nothing go that is not acknowledged', () => {
    const { retention, take, seen } = setup();
    seen('read', 'read', 0);
    expect([retention.isDue(1, full(10_000)), take(1, full(10_000))]).toEqual([false, []]);
  });
});

describe('retention, old tasks', () => {
  const purged = (count: number, deadLetters = 0, purgedIdMs = 0) =>
    ({ kind: 'purged', count, deadLetters, purgedIdMs }) as const;

  it('asks for them at the start and then at its interval, by the wall clock', () => {
    const retention = new Retention(OPTIONS);
    expect(retention.isDue(-5, CALM)).toBe(true);
    const first = retention.take({ monoMs: 30, wallMs: WALL_MS }, CALM);
    const times = { endedBeforeWallMs: WALL_MS - 10_000, deadBeforeWallMs: WALL_MS - 90_000 };
    expect(first).toEqual([{ kind: 'purgeOld', ...times, maxDeadLetters: 7, limit: 50 }]);
    expect(retention.settle(first, [purged(49, 3)])).toEqual({ count: 49, deadLetters: 3 });
    expect([retention.isDue(60_029, CALM), retention.isDue(60_030, CALM)]).toEqual([false, true]);
    expect(retention.take({ monoMs: 60_030, wallMs: WALL_MS }, CALM)).toHaveLength(1);
  });

  it('asks again at once as long as there may be more', () => {
    const retention = new Retention(OPTIONS);
    for (let round = 0; round < 3; round += 1) {
      const writes = retention.take({ monoMs: 30, wallMs: WALL_MS }, CALM);
      expect(writes).toHaveLength(1);
      retention.settle(writes, [purged(50)]);
      expect(retention.isDue(31, CALM)).toBe(true);
    }
    retention.settle(retention.take({ monoMs: 32, wallMs: WALL_MS }, CALM), [purged(0)]);
    expect(retention.isDue(33, CALM)).toBe(false);
  });

  it('leaves them what a step may still take, and asks later if that is nothing', () => {
    const retention = new Retention({ ...OPTIONS, maxRows: 2 });
    for (const taskId of ['a', 'b', 'c']) retention.seen({ taskId, endWallMs: 1 }, 'acknowledged', 0);
    const first = retention.take({ monoMs: 100, wallMs: WALL_MS }, CALM);
    expect(first.map(({ kind }) => kind)).toEqual(['purge']);
    const second = retention.take({ monoMs: 100, wallMs: WALL_MS }, CALM);
    expect(second).toMatchObject([{ kind: 'purge' }, { kind: 'purgeOld', limit: 1 }]);
    expect(retention.settle(second, [purged(1), purged(1, 1)])).toEqual({ count: 2, deadLetters: 1 });
    // The purge of old ones has removed all that it might.
    expect(retention.isDue(101, CALM)).toBe(true);
  });

  it('knows by its time whether an unknown id may be that of a purged task', () => {
    const retention = new Retention(OPTIONS);
    retention.opened(5_000);
    const at = (msecs: number): string => uuidv7({ msecs });
    const look = (): boolean[] =>
      [at(4_999), at(5_000), at(5_001), at(6_000), uuidv4()].map((id) => retention.wasPurged(id));
    expect(look()).toEqual([true, true, false, false, false]);
    expect(retention.wasPurged(at(5_000).toUpperCase())).toBe(true);
    retention.settle([{ kind: 'purge', tasks: [] }], [purged(1, 0, 6_000)]);
    expect(look()).toEqual([true, true, true, true, false]);
  });

  it('takes no id for purged before anything was', () => {
    const retention = new Retention(OPTIONS);
    retention.opened(0);
    expect(retention.wasPurged(uuidv7({ msecs: 1 }))).toBe(false);
  });
});

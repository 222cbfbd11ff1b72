/** What holds for every store of what leaves it: dead letters that are opened again, deletes, purges; and of drains. */
import { randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { expect, it } from 'vitest';
import type { Write } from '../../coordinator/core/outputs.js';
import type { TaskRow } from '../../coordinator/core/task.js';
import type { Store } from '../../coordinator/store/store.js';
import { aBody, aRow, bytes, ended, inserts, update } from './rows.js';
import type { Opened, StorePlace } from './store-place.js';

const APPLIED = { kind: 'applied', body: null };

/** Ids of those that are there, of the given ones, in their order. */
async function kept(store: Store, rows: readonly TaskRow[]): Promise<string[]> {
  const found = await store.read({ taskIds: rows.map(({ taskId }) => taskId), bodies: true });
  return found.flatMap((task) => (task === undefined ? [] : [task.row.taskId]));
}

const ids = (rows: readonly TaskRow[]): string[] => rows.map(({ taskId }) => taskId);

/** Tasks that have ended, one commit each, at 1,000, 1,001 and so on; submitted the other way round. */
async function addEnded(store: Store, count: number, state: TaskRow['state'] = 'SUCCEEDED'): Promise<TaskRow[]> {
  const rows = Array.from({ length: count }, () => aRow());
  await store.commit(inserts([...rows].reverse()));
  const ends = rows.map((row, index) => ended(row, 1_000 + index, state));
  for (const row of ends) {
    const result = state === 'SUCCEEDED' ? { contentType: 'a/b', data: bytes(20_000) } : null;
    await store.commit([update(row, { result })]);
  }
  return ends;
}

function purgeOld(change: Partial<Extract<Write, { kind: 'purgeOld' }>>): Write {
  const keepsAll = { endedBeforeWallMs: 0, deadBeforeWallMs: 0, maxDeadLetters: 1_000, limit: 1_000 };
  return { kind: 'purgeOld', ...keepsAll, ...change };
}

export function describeOperators(opened: Opened, fresh: () => StorePlace): void {
  it('opens a dead letter again, with its counts and its body', async () => {
    const place = fresh();
    const store = await opened(place);
    const row = aRow({ state: 'RUNNING' });
    await store.commit(inserts([row]));
    const dead = ended(row, 5, 'DEAD_LETTERED');
    await store.commit([update(dead)]);
    expect(store.stats()).toMatchObject({ openTasks: 0, endedTasks: 1, deadLetters: 1 });
    const again: TaskRow = { ...dead, revision: 3, state: 'QUEUED', endWallMs: null };
    const results = await store.commit([update(again, { reopens: true, wantBody: true })]);
    expect(results).toEqual([{ kind: 'applied', body: aBody() }]);
    expect(store.stats()).toMatchObject({ openTasks: 1, endedTasks: 0, deadLetters: 0 });
    expect(await store.loadOpen({ afterTaskId: '', limit: 9 })).toEqual([again]);
    const result = { contentType: 'a/b', data: bytes(9) };
    await store.commit([update(ended(again, 8), { result })]);
    expect(store.stats()).toMatchObject({ openTasks: 0, endedTasks: 1, deadLetters: 0 });
    await store.close();
    const next = await opened(place);
    expect(next.stats()).toMatchObject({ openTasks: 0, endedTasks: 1, deadLetters: 0 });
    const [found] = await next.read({ taskIds: [row.taskId], bodies: true });
    expect(found).toEqual({ row: ended(again, 8), body: aBody(), result });
  });

  it('opens a dead letter again and ends it in one commit', async () => {
    const store = await opened();
    const [dead] = (await addEnded(store, 1, 'DEAD_LETTERED')) as [TaskRow];
    const again: TaskRow = { ...dead, revision: 3, state: 'QUEUED', endWallMs: null };
    await store.commit([update(again, { reopens: true }), update(ended(again, 8, 'CANCELLED'))]);
    expect(store.stats()).toMatchObject({ openTasks: 0, endedTasks: 1, deadLetters: 0 });
  });

  it('deletes a task with its payload and result, of the revision named alone', async () => {
    const store = await opened();
    const [row, other] = (await addEnded(store, 2)) as [TaskRow, TaskRow];
    const { usedBytes } = store.stats();
    const del = (revision: number): Write => ({ kind: 'delete', taskId: row.taskId, expectedRevision: revision });
    expect(await store.commit([del(1)])).toEqual([{ kind: 'conflict', row }]);
    expect(await kept(store, [row])).toEqual([row.taskId]);
    expect(await store.commit([del(2)])).toEqual([APPLIED]);
    expect(await store.commit([del(2)])).toEqual([{ kind: 'conflict', row: null }]);
    expect(await kept(store, [row, other])).toEqual([other.taskId]);
    expect(store.stats()).toMatchObject({ openTasks: 0, endedTasks: 1, deadLetters: 0 });
    expect(store.stats().usedBytes).toBeLessThan(usedBytes);
    // Its id is free again, and nothing of the first task is left under it.
    const again = aRow({ taskId: row.taskId, state: 'SUCCEEDED' });
    await store.commit([{ kind: 'insert', row: again, body: aBody(bytes(17_000)) }]);
    const [found] = await store.read({ taskIds: [row.taskId], bodies: true });
    expect(found).toEqual({ row: again, body: aBody(bytes(17_000)), result: null });
  });

  it('deletes a dead letter', async () => {
    const store = await opened();
    const [dead] = (await addEnded(store, 1, 'DEAD_LETTERED')) as [TaskRow];
    await store.commit([{ kind: 'delete', taskId: dead.taskId, expectedRevision: 2 }]);
    expect(store.stats()).toMatchObject({ openTasks: 0, endedTasks: 0, deadLetters: 0 });
  });

  it('holds drains until they are given up', async () => {
    const place = fresh();
    const store = await opened(place);
    const drain = (pattern: string, createWallMs: number | null): Write => ({ kind: 'drain', pattern, createWallMs });
    const results = await store.commit([
      drain('host-2/*', 7),
      drain('host-1/*', 8),
      drain('x', 9),
      drain('none', null),
    ]);
    expect(results).toEqual([APPLIED, APPLIED, APPLIED, APPLIED]);
    await store.commit([drain('x', null), drain('host-1/*', 10)]);
    await store.close();
    const { drains } = await place.store().open();
    expect(drains).toEqual([
      { pattern: 'host-1/*', createWallMs: 10 },
      { pattern: 'host-2/*', createWallMs: 7 },
    ]);
  });
}

export function describePurges(opened: Opened, fresh: () => StorePlace): void {
  it('purges the tasks that still have the end named, and no others', async () => {
    const store = await opened();
    const [goes, endedAnew] = (await addEnded(store, 2)) as [TaskRow, TaskRow];
    const [dead] = (await addEnded(store, 1, 'DEAD_LETTERED')) as [TaskRow];
    const open = aRow({ state: 'RUNNING', endWallMs: 3 });
    await store.commit(inserts([open]));
    const tasks = [
      { taskId: goes.taskId, endWallMs: 1_000 },
      { taskId: goes.taskId, endWallMs: 1_000 },
      { taskId: endedAnew.taskId, endWallMs: 1_000 },
      { taskId: dead.taskId, endWallMs: 1_000 },
      { taskId: open.taskId, endWallMs: 3 },
      { taskId: randomUUID(), endWallMs: 3 },
    ];
    const inSameCommit = aRow();
    const results = await store.commit([{ kind: 'purge', tasks }, ...inserts([inSameCommit])]);
    expect(results).toEqual([{ kind: 'purged', count: 1, deadLetters: 0, purgedIdMs: 0 }, APPLIED]);
    const left = [endedAnew, dead, open, inSameCommit];
    expect(await kept(store, [goes, ...left])).toEqual(ids(left));
    expect(store.stats()).toMatchObject({ openTasks: 2, endedTasks: 2, deadLetters: 1 });
  });

  it('gives back the room that purged tasks took', async () => {
    const store = await opened();
    const rows = await addEnded(store, 20);
    const [{ usedBytes }, { roomBytes }] = [store.stats(), store];
    await store.commit([{ kind: 'purge', tasks: rows.map(({ taskId }, at) => ({ taskId, endWallMs: 1_000 + at })) }]);
    expect(store.stats().usedBytes).toBeLessThan(usedBytes - 20 * 20_000);
    expect(store.roomBytes).toBeGreaterThan(roomBytes + 20 * 20_000);
  });

  it('purges the oldest ends first, those before the time given, at most as many as asked', async () => {
    const store = await opened();
    const rows = await addEnded(store, 6);
    const dead = await addEnded(store, 2, 'DEAD_LETTERED');
    const open = aRow();
    await store.commit(inserts([open]));
    const old = purgeOld({ endedBeforeWallMs: 1_004, limit: 3 });
    expect(await store.commit([old])).toMatchObject([{ kind: 'purged', count: 3, deadLetters: 0 }]);
    expect(await kept(store, rows)).toEqual(ids(rows.slice(3)));
    expect(await store.commit([old])).toMatchObject([{ count: 1 }]);
    expect(await store.commit([old])).toMatchObject([{ count: 0 }]);
    expect(await kept(store, [...rows, ...dead, open])).toEqual(ids([...rows.slice(4), ...dead, open]));
    expect(store.stats()).toMatchObject({ openTasks: 1, endedTasks: 4, deadLetters: 2 });
  });

  it('purges dead letters by their age, or beyond their number, the oldest first', async () => {
    const store = await opened();
    const dead = await addEnded(store, 8, 'DEAD_LETTERED');
    const purged = async (change: Parameters<typeof purgeOld>[0]) => store.commit([purgeOld(change)]);
    expect(await purged({ deadBeforeWallMs: 1_002 })).toMatchObject([{ kind: 'purged', count: 2, deadLetters: 2 }]);
    expect(await purged({ maxDeadLetters: 5 })).toMatchObject([{ count: 1, deadLetters: 1 }]);
    expect(await purged({ deadBeforeWallMs: 1_005, maxDeadLetters: 4 })).toMatchObject([{ deadLetters: 2 }]);
    expect(await kept(store, dead)).toEqual(ids(dead.slice(5)));
    expect(await purged({ maxDeadLetters: 0, limit: 2 })).toMatchObject([{ count: 2, deadLetters: 2 }]);
    expect(await kept(store, dead)).toEqual(ids(dead.slice(7)));
    expect(store.stats()).toMatchObject({ endedTasks: 1, deadLetters: 1 });
  });

  it('counts dead letters and others of one purge together, at most as many as asked', async () => {
    const store = await opened();
    await addEnded(store, 3);
    await addEnded(store, 3, 'DEAD_LETTERED');
    const all = purgeOld({ endedBeforeWallMs: 5_000, deadBeforeWallMs: 5_000, limit: 4 });
    expect(await store.commit([all])).toMatchObject([{ count: 4, deadLetters: 1 }]);
    expect(await store.commit([all])).toMatchObject([{ count: 2, deadLetters: 2 }]);
    expect(store.stats()).toMatchObject({ endedTasks: 0, deadLetters: 0 });
  });

  it('remembers the newest time that an id of a purged task says, over restarts', async () => {
    const place = fresh();
    const store = await opened(place);
    const purge = async (taskId: string, endWallMs: number): Promise<unknown> => {
      await store.commit(inserts([aRow({ taskId, state: 'SUCCEEDED', endWallMs })]));
      const [result] = await store.commit([{ kind: 'purge', tasks: [{ taskId, endWallMs }] }]);
      return result;
    };
    const purged = { kind: 'purged', count: 1, deadLetters: 0 };
    expect(await purge(randomUUID(), 90_000)).toEqual({ ...purged, purgedIdMs: 0 });
    expect(await purge(uuidv7({ msecs: 50_000 }), 90_000)).toEqual({ ...purged, purgedIdMs: 50_000 });
    expect(await purge(uuidv7({ msecs: 40_000 }), 90_000)).toEqual({ ...purged, purgedIdMs: 50_000 });
    // A client whose clock is ahead.
    expect(await purge(uuidv7({ msecs: 2 ** 45 }), 60_000)).toEqual({ ...purged, purgedIdMs: 60_000 });
    // What an operator deletes says nothing of others.
    const deleted = uuidv7({ msecs: 80_000 });
    await store.commit([
      ...inserts([aRow({ taskId: deleted, state: 'SUCCEEDED', endWallMs: 90_000 })]),
      { kind: 'delete', taskId: deleted, expectedRevision: 1 },
    ]);
    await store.close();
    expect(await place.store().open()).toMatchObject({ purgedIdMs: 60_000 });
  });
}

/** What holds for every store's lists. */
import { expect, it } from 'vitest';
import { TASK_STATES, type TaskRow } from '../../coordinator/core/task.js';
import type { ListedTask, ListParams, Store } from '../../coordinator/store/store.js';
import { aBody, anyTask, aRow, bytes, ended, inserts, update } from './rows.js';
import type { Opened } from './store-place.js';

/** All pages, one after the other, and how many there were. */
async function listAll(store: Store, params: Partial<ListParams>): Promise<{ tasks: ListedTask[]; pages: number }> {
  const tasks: ListedTask[] = [];
  let beforeSeq: number | null = null;
  for (let pages = 1; ; pages += 1) {
    const page = await store.list({ ...anyTask, ...params, beforeSeq });
    tasks.push(...page.tasks);
    if (page.nextSeq === null) return { tasks, pages };
    beforeSeq = page.nextSeq;
  }
}

const rowsOf = ({ tasks }: { tasks: readonly ListedTask[] }): TaskRow[] => tasks.map(({ row }) => row);

export function describeLists(opened: Opened): void {
  it('answers an empty page, the last one, when there is nothing', async () => {
    const store = await opened();
    for (const states of [[], ['RUNNING'], ['SUCCEEDED'], ['DEAD_LETTERED']] as const) {
      expect(await store.list({ ...anyTask, states })).toEqual({ tasks: [], nextSeq: null });
    }
  });

  it.each([1, 3, 7, 10, 100])('lists the newest submit first, in pages of %i', async (limit) => {
    const store = await opened();
    const rows = Array.from({ length: 10 }, (_, index) => aRow({ createWallMs: 100 - index, tag: 50 - index }));
    // Some in one commit, some alone; what becomes of a task does not move it.
    await store.commit(inserts(rows.slice(0, 6)));
    for (const row of rows.slice(6)) await store.commit(inserts([row]));
    const changed = rows.map((row, index) => (index % 3 === 0 ? ended(row, 5) : row));
    await store.commit(changed.filter(({ revision }) => revision === 2).map((row) => update(row)));
    const { tasks, pages } = await listAll(store, { limit });
    expect(rowsOf({ tasks })).toEqual([...changed].reverse());
    expect(tasks.map(({ body, result }) => [body, result])).toEqual(tasks.map(() => [null, null]));
    expect(tasks.map(({ seq }) => seq)).toEqual(tasks.map(({ seq }) => seq).sort((a, b) => b - a));
    expect(pages).toBe(Math.ceil(10 / limit));
  });

  it('goes on where the page before ended, whatever has been added or removed meanwhile', async () => {
    const store = await opened();
    const rows = Array.from({ length: 6 }, () => aRow());
    await store.commit(inserts(rows));
    const first = await store.list({ ...anyTask, limit: 2 });
    const [oldest, gone, , lastSeen] = rows as [TaskRow, TaskRow, TaskRow, TaskRow];
    await store.commit([
      ...inserts([aRow()]),
      ...[gone, lastSeen].map(({ taskId }) => ({ kind: 'delete', taskId, expectedRevision: 1 }) as const),
    ]);
    const second = await store.list({ ...anyTask, beforeSeq: first.nextSeq });
    expect(rowsOf(first)).toEqual([rows[5], rows[4]]);
    expect(rowsOf(second)).toEqual([rows[2], oldest]);
  });

  it('lists by states and type', async () => {
    const store = await opened();
    const rows = Array.from({ length: 42 }, (_, index) =>
      aRow({ state: TASK_STATES[index % 7] ?? 'QUEUED', type: index % 2 === 0 ? 'even' : 'odd' }),
    );
    await store.commit(inserts(rows));
    const newest = [...rows].reverse();
    for (const states of [
      ...TASK_STATES.map((state) => [state]),
      ['SCHEDULED', 'RUNNING', 'DEAD_LETTERED'],
      ['QUEUED', 'SUCCEEDED'],
      ['RUNNING', 'RUNNING'],
      [],
    ] as TaskRow['state'][][]) {
      const fits = newest.filter(({ state }) => states.length === 0 || states.includes(state));
      expect(rowsOf(await listAll(store, { states, limit: 4 }))).toEqual(fits);
      const even = fits.filter(({ type }) => type === 'even');
      expect(rowsOf(await listAll(store, { states, limit: 4, type: 'even' }))).toEqual(even);
    }
    expect(await store.list({ ...anyTask, type: 'none' })).toEqual({ tasks: [], nextSeq: null });
  });

  it('follows tasks from state to state', async () => {
    const store = await opened();
    const row = aRow();
    const listed = async (states: readonly TaskRow['state'][]) => rowsOf(await store.list({ ...anyTask, states }));
    await store.commit(inserts([row]));
    const running: TaskRow = { ...row, revision: 2, state: 'RUNNING' };
    await store.commit([update(running)]);
    expect([await listed(['QUEUED']), await listed(['RUNNING'])]).toEqual([[], [running]]);
    const dead = ended(running, 9, 'DEAD_LETTERED');
    await store.commit([update(dead)]);
    expect([await listed(['RUNNING']), await listed(['DEAD_LETTERED'])]).toEqual([[], [dead]]);
    const again: TaskRow = { ...dead, revision: 4, state: 'QUEUED', endWallMs: null };
    await store.commit([update(again, { reopens: true })]);
    expect([await listed(['DEAD_LETTERED']), await listed(['QUEUED'])]).toEqual([[], [again]]);
  });

  it('looks at no more tasks for a page than it may, and goes on from there', async () => {
    const store = await opened();
    const wanted = aRow({ type: 'wanted', state: 'SUCCEEDED' });
    await store.commit(inserts([wanted, ...Array.from({ length: 25 }, () => aRow({ state: 'SUCCEEDED' }))]));
    const first = await store.list({ ...anyTask, type: 'wanted', maxLooked: 10 });
    expect(first).toMatchObject({ tasks: [], nextSeq: expect.any(Number) });
    expect(rowsOf(await listAll(store, { type: 'wanted', maxLooked: 10 }))).toEqual([wanted]);
    const exactly = await store.list({ ...anyTask, type: 'wanted', maxLooked: 26 });
    expect([rowsOf(exactly), exactly.nextSeq]).toEqual([[wanted], null]);
  });

  it('finds what is open or dead among any number of others at once', async () => {
    const store = await opened();
    const rows = (['RUNNING', 'DEAD_LETTERED', 'SCHEDULED'] as const).map((state) => aRow({ state }));
    await store.commit(inserts([...rows, ...Array.from({ length: 50 }, () => aRow({ state: 'SUCCEEDED' }))]));
    for (const row of rows) {
      const page = await store.list({ ...anyTask, states: [row.state], maxLooked: 2 });
      expect([rowsOf(page), page.nextSeq]).toEqual([[row], null]);
    }
    const both = await store.list({ ...anyTask, states: ['RUNNING', 'DEAD_LETTERED'], maxLooked: 2 });
    expect([rowsOf(both), both.nextSeq]).toEqual([[rows[1], rows[0]], null]);
  });

  it('adds payloads and results, and ends a page by their bytes, never before its first task', async () => {
    const store = await opened();
    const rows = Array.from({ length: 4 }, () => aRow());
    const body = aBody(bytes(40_000));
    const result = { contentType: 'a/b', data: bytes(50_000).reverse() };
    await store.commit(rows.map((row) => ({ kind: 'insert', row, body })));
    await store.commit(rows.map((row) => update(ended(row, 7), { result })));
    const first = await store.list({ ...anyTask, bodies: true, maxBytes: 100_000 });
    expect(first.tasks).toHaveLength(2);
    const all = await listAll(store, { bodies: true, maxBytes: 1 });
    expect(all.pages).toBe(4);
    for (const task of [...first.tasks, ...all.tasks]) {
      expect(Buffer.from(task.body?.payload.data ?? []).equals(body.payload.data)).toBe(true);
      expect(Buffer.from(task.result?.data ?? []).equals(result.data)).toBe(true);
    }
    expect(all.tasks.map(({ row }) => row.taskId)).toEqual(rows.map(({ taskId }) => taskId).reverse());
  });
}

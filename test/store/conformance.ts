/**
 * What holds for every store. Each test gets a fresh place; `place.store()` is a store on it which is closed after the test.
 */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { TASK_STATES, hasEnded, type Content } from '../../coordinator/core/task.js';
import { describeLists } from './list-conformance.js';
import { describeOperators, describePurges } from './purge-conformance.js';
import type { Store, StoreError } from '../../coordinator/store/store.js';
import { aBody, aRow, bytes, fullRow, inserts, update } from './rows.js';
import type { Opened, StorePlace } from './store-place.js';

/** Declares the suite for one kind of store. `fresh` makes an empty place; what it leaves behind it removes itself. */
export function describeStore(name: string, fresh: () => StorePlace): void {
  const opened = async (place = fresh()): Promise<Store> => {
    const store = place.store();
    await store.open();
    return store;
  };
  describe(`${name}: commits`, () => describeCommits(opened));
  describe(`${name}: answers`, () => describeAnswers(opened));
  describe(`${name}: contents`, () => describeContents(opened));
  describe(`${name}: reads`, () => describeReads(opened));
  describe(`${name}: dead letters and drains`, () => describeOperators(opened, fresh));
  describe(`${name}: purges`, () => describePurges(opened, fresh));
  describe(`${name}: lists`, () => describeLists(opened));
  describe(`${name}: owners`, () => describeOwners(fresh, opened));
}

function describeCommits(opened: Opened): void {
  it('applies an insert and an update of the same task in one commit', async () => {
    const store = await opened();
    const row = aRow({ revision: 1 });
    const running = { ...row, revision: 2, state: 'RUNNING', attempt: 1 } as const;
    const results = await store.commit([{ kind: 'insert', row, body: aBody() }, update(running)]);
    expect(results).toEqual([
      { kind: 'applied', body: null },
      { kind: 'applied', body: null },
    ]);
    expect(await store.read({ taskIds: [row.taskId], bodies: false })).toEqual([
      { row: running, body: null, result: null },
    ]);
  });

  it('answers an empty commit with no results', async () => {
    const store = await opened();
    expect(await store.commit([])).toEqual([]);
  });

  it('refuses an insert under an id that is there, returns the row found and applies the others', async () => {
    const store = await opened();
    const [first, second] = [aRow(), aRow()];
    await store.commit(inserts([first]));
    const again = { ...first, type: 'other' };
    const results = await store.commit(inserts([again, second]));
    expect(results).toEqual([
      { kind: 'conflict', row: first },
      { kind: 'applied', body: null },
    ]);
    const [kept, added] = await store.read({ taskIds: [first.taskId, second.taskId], bodies: true });
    expect(kept).toEqual({ row: first, body: aBody(), result: null });
    expect(added?.row).toEqual(second);
  });

  it('refuses an update of another revision, returns the row found and changes nothing', async () => {
    const store = await opened();
    const row = aRow({ revision: 5 });
    await store.commit(inserts([row]));
    const large: Content = { contentType: 'a/b', data: bytes(20_000) };
    const ended = { ...row, revision: 9, state: 'SUCCEEDED' } as const;
    const [result] = await store.commit([update(ended, { result: large, wantBody: true })]);
    expect(result).toEqual({ kind: 'conflict', row });
    expect(await store.read({ taskIds: [row.taskId], bodies: true })).toEqual([{ row, body: aBody(), result: null }]);
    expect(store.stats()).toMatchObject({ openTasks: 1, endedTasks: 0 });
  });

  it('refuses an update of a task that is not there', async () => {
    const store = await opened();
    const row = aRow({ revision: 2 });
    expect(await store.commit([update(row)])).toEqual([{ kind: 'conflict', row: null }]);
    expect(await store.read({ taskIds: [row.taskId], bodies: false })).toEqual([undefined]);
  });
}

function describeAnswers(opened: Opened): void {
  it('returns bodies only to the updates that want them, small and large, in order', async () => {
    const store = await opened();
    const rows = [aRow(), aRow(), aRow(), aRow()];
    const bodies = [aBody(bytes(10)), aBody(bytes(70_000)), aBody(bytes(0)), aBody(bytes(16_384))];
    await store.commit(rows.map((row, index) => ({ kind: 'insert', row, body: bodies[index] ?? aBody() })));
    const results = await store.commit(
      rows.map((row, index) => update({ ...row, revision: row.revision + 1 }, { wantBody: index !== 2 })),
    );
    expect(results).toEqual([
      { kind: 'applied', body: bodies[0] },
      { kind: 'applied', body: bodies[1] },
      { kind: 'applied', body: null },
      { kind: 'applied', body: bodies[3] },
    ]);
  });

  it('leaves the bytes that it was given to their owner', async () => {
    const store = await opened();
    const data = bytes(100_000);
    const copy = data.slice();
    await store.commit([{ kind: 'insert', row: aRow(), body: aBody(data) }]);
    expect(Buffer.from(data).equals(copy)).toBe(true);
  });

  it('answers calls in the order in which they were made', async () => {
    const store = await opened();
    const row = aRow({ revision: 1 });
    const [before, , after] = await Promise.all([
      store.read({ taskIds: [row.taskId], bodies: false }),
      store.commit(inserts([row])),
      store.read({ taskIds: [row.taskId], bodies: false }),
    ]);
    expect(before).toEqual([undefined]);
    expect(after[0]?.row).toEqual(row);
  });
}

function describeContents(opened: Opened): void {
  it('gives back every field of a row as it was', async () => {
    const store = await opened();
    const row = fullRow();
    await store.commit(inserts([row]));
    expect((await store.read({ taskIds: [row.taskId], bodies: false }))[0]?.row).toEqual(row);
    expect(await store.loadOpen({ afterTaskId: '', limit: 10 })).toEqual([row]);
    const changed = { ...fullRow(), taskId: row.taskId, revision: row.revision + 1, tag: -3, dueWallMs: null };
    await store.commit([update(changed)]);
    expect((await store.read({ taskIds: [row.taskId], bodies: false }))[0]?.row).toEqual(changed);
  });

  it.each([0, 1, 16_383, 16_384, 16_385, 65_536, 1024 * 1024])(
    'keeps a payload and a result of %i bytes',
    async (size) => {
      const store = await opened();
      const row = aRow();
      const body = aBody(bytes(size));
      const result: Content = { contentType: 'application/octet-stream', data: bytes(size).reverse() };
      await store.commit([{ kind: 'insert', row, body }]);
      const ended = { ...row, revision: row.revision + 1, state: 'SUCCEEDED', endWallMs: 7 } as const;
      await store.commit([update(ended, { result })]);
      const [task] = await store.read({ taskIds: [row.taskId], bodies: true });
      // Element by element, as toEqual compares, a megabyte takes seconds.
      expect(Buffer.from(body.payload.data).equals(task?.body?.payload.data ?? NOTHING)).toBe(true);
      expect(Buffer.from(result.data).equals(task?.result?.data ?? NOTHING)).toBe(true);
      expect(task?.row).toEqual(ended);
    },
  );

  it('keeps text as it is: other scripts, line breaks, NUL, half a surrogate pair', async () => {
    const store = await opened();
    const text = 'añ 漢字 😀 \r\n\u2028 "\\" \0 \ud800';
    const row = aRow({ type: 'größe.漢字', failure: { reason: 'R', message: text, nonRetryable: true, stack: text } });
    const body = { payload: { contentType: text, data: bytes(3) }, metadata: { [text]: text }, traceparent: text };
    await store.commit([{ kind: 'insert', row, body }]);
    const ended = { ...row, revision: row.revision + 1, state: 'SUCCEEDED' } as const;
    const result: Content = { contentType: text, data: bytes(4) };
    await store.commit([update(ended, { result })]);
    expect(await store.read({ taskIds: [row.taskId], bodies: true })).toEqual([{ row: ended, body, result }]);
  });

  it('keeps a payload that is a view into larger memory', async () => {
    const store = await opened();
    const row = aRow();
    const data = bytes(40_000).subarray(10_000, 30_000);
    await store.commit([{ kind: 'insert', row, body: aBody(data) }]);
    const [task] = await store.read({ taskIds: [row.taskId], bodies: true });
    expect(task?.body?.payload.data).toEqual(data.slice());
  });
}

const NOTHING = bytes(2);

function describeReads(opened: Opened): void {
  it('reads in the order asked for, with undefined for what is not there and repeats for repeats', async () => {
    const store = await opened();
    const [a, b] = [aRow(), aRow()];
    await store.commit(inserts([a, b]));
    const found = await store.read({ taskIds: [b.taskId, randomUUID(), a.taskId, b.taskId], bodies: false });
    expect(found.map((task) => task?.row)).toEqual([b, undefined, a, b]);
    expect(await store.read({ taskIds: [], bodies: true })).toEqual([]);
  });

  it('reads without bodies unless they are asked for', async () => {
    const store = await opened();
    const row = aRow();
    await store.commit(inserts([row]));
    expect(await store.read({ taskIds: [row.taskId], bodies: false })).toEqual([{ row, body: null, result: null }]);
  });

  it('loads what has not ended, by id, in pages', async () => {
    const store = await opened();
    const rows = Array.from({ length: 70 }, (_, index) => aRow({ state: TASK_STATES[index % 7] ?? 'QUEUED' }));
    await store.commit(inserts(rows));
    const open = rows.filter(({ state }) => !hasEnded(state)).sort((a, b) => (a.taskId < b.taskId ? -1 : 1));
    const first = await store.loadOpen({ afterTaskId: '', limit: 20 });
    const second = await store.loadOpen({ afterTaskId: first.at(-1)?.taskId ?? '', limit: 20 });
    expect(first).toEqual(open.slice(0, 20));
    expect(second).toEqual(open.slice(20));
    expect(await store.loadOpen({ afterTaskId: open.at(-1)?.taskId ?? '', limit: 20 })).toEqual([]);
  });

  it('does not load a task any more once it has ended', async () => {
    const store = await opened();
    const [ends, stays] = [aRow({ state: 'RUNNING' }), aRow({ state: 'RUNNING' })];
    await store.commit(inserts([ends, stays]));
    await store.commit([update({ ...ends, revision: ends.revision + 1, state: 'CANCELLED', endWallMs: 9 })]);
    expect(await store.loadOpen({ afterTaskId: '', limit: 10 })).toEqual([stays]);
  });

  it('counts open and ended tasks and the bytes they take', async () => {
    const store = await opened();
    const empty = store.stats();
    expect(empty).toMatchObject({ openTasks: 0, endedTasks: 0 });
    const rows = [aRow(), aRow(), aRow()] as const;
    await store.commit(rows.map((row) => ({ kind: 'insert', row, body: aBody(bytes(100_000)) })));
    await store.commit([update({ ...rows[0], revision: rows[0].revision + 1, state: 'EXPIRED' })]);
    const stats = store.stats();
    expect(stats).toMatchObject({ openTasks: 2, endedTasks: 1 });
    expect(stats.usedBytes).toBeGreaterThan(empty.usedBytes + 300_000);
  });
}

function describeOwners(fresh: () => StorePlace, opened: Opened): void {
  it('has no longest lease at first', async () => {
    expect(await fresh().store().open()).toEqual({ longestLeaseMs: 0, drains: [], purgedIdMs: 0 });
  });

  it('gives the next opener all that was committed', async () => {
    const place = fresh();
    const store = await opened(place);
    const row = aRow({ state: 'SUCCEEDED', revision: 1 });
    await store.commit([...inserts([row, aRow()]), { kind: 'longestLease', leaseMs: 31_000 }]);
    await store.close();
    const next = place.store();
    expect(await next.open()).toMatchObject({ longestLeaseMs: 31_000 });
    expect(await next.read({ taskIds: [row.taskId], bodies: true })).toEqual([{ row, body: aBody(), result: null }]);
    expect(next.stats()).toMatchObject({ openTasks: 1, endedTasks: 1 });
  });

  it('refuses commits, as FENCED, once there is a newer owner', async () => {
    const place = fresh();
    const store = await opened(place);
    const row = aRow();
    await store.commit(inserts([row]));
    await place.takeOver();
    const refused = { reason: 'FENCED', retryable: false } satisfies Partial<StoreError>;
    await expect(store.commit(inserts([aRow()]))).rejects.toMatchObject(refused);
    await expect(store.commit([update({ ...row, revision: row.revision + 1 })])).rejects.toMatchObject(refused);
    await store.close();
    const next = await opened(place);
    expect(next.stats()).toMatchObject({ openTasks: 1 });
  });

  it('closes twice, and without having been opened', async () => {
    const place = fresh();
    const store = await opened(place);
    await store.close();
    await store.close();
    await Promise.all([store.close(), store.close()]);
    await place.store().close();
  });
}

import { describe, expect, it } from 'vitest';
import { MemoryDisk, MemoryStore } from '../../coordinator/store/memory-store.js';
import { describeStore } from './conformance.js';
import { aBody, aRow, bytes, ended, update } from './rows.js';

describeStore('memory store', () => {
  const disk = new MemoryDisk();
  return {
    store: () => new MemoryStore({ disk }),
    takeOver: async () => {
      await new MemoryStore({ disk }).open();
    },
  };
});

describe('memory store: bound', () => {
  it('has no more room at its bound, keeps what has ended, and still takes what ends a task', async () => {
    const store = new MemoryStore({ limitBytes: 50_000 });
    await store.open();
    const [first, second] = [aRow(), aRow()];
    const room = [];
    for (const row of [first, second]) {
      await store.commit([{ kind: 'insert', row, body: aBody(bytes(20_000)) }]);
      room.push(store.roomBytes);
    }
    const result = { contentType: 'a/b', data: bytes(30_000) };
    await store.commit([update(ended(first, 7), { result })]);
    expect(room).toEqual([50_000 - 21_024, 50_000 - 2 * 21_024]);
    expect(store.roomBytes).toBe(0);
    expect(store.stats()).toMatchObject({ openTasks: 1, endedTasks: 1, usedBytes: 72_048, limitBytes: 50_000 });
  });
});

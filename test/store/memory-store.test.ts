import { describe, expect, it } from 'vitest';
import { MemoryDisk, MemoryStore } from '../../coordinator/store/memory-store.js';
import { describeStore } from './conformance.js';
import { aBody, aRow, bytes } from './rows.js';

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
  it('forgets the oldest ended tasks at its bound, and refuses inserts beyond it as FULL, with nothing done', async () => {
    const store = new MemoryStore({ maxBytes: 50_000 });
    await store.open();
    const [oldest, newer] = [aRow({ state: 'SUCCEEDED' }), aRow({ state: 'SUCCEEDED' })];
    for (const row of [oldest, newer]) await store.commit([{ kind: 'insert', row, body: aBody(bytes(20_000)) }]);
    await store.commit([{ kind: 'insert', row: aRow(), body: aBody(bytes(20_000)) }]);
    const [gone, kept] = await store.read({ taskIds: [oldest.taskId, newer.taskId], bodies: false });
    expect(gone).toBeUndefined();
    expect(kept?.row).toEqual(newer);
    const tooLarge = store.commit([{ kind: 'insert', row: aRow(), body: aBody(bytes(40_000)) }]);
    await expect(tooLarge).rejects.toMatchObject({ reason: 'FULL', retryable: true });
    expect(await store.stats()).toMatchObject({ openTasks: 1, endedTasks: 1 });
  });
});

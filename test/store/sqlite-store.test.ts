import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { describe, expect, it } from 'vitest';
import { openStore } from '../../coordinator/store/open-store.js';
import { recordText, rowFrom } from '../../coordinator/store/sqlite/record.js';
import type { Store } from '../../coordinator/store/store.js';
import { describeStore } from './conformance.js';
import { afterTest, freshFolder, storeAt } from './places.js';
import { aBody, anyTask, aRow, bytes, fullRow, inserts } from './rows.js';

const freshPath = (): string => join(freshFolder(), 'tasks.db');

describeStore('SQLite store', () => {
  const path = freshPath();
  return {
    store: () => storeAt(path),
    takeOver: () => {
      // The lock keeps a second coordinator out; a lock that did not hold (a network file system) looks like this.
      const db = new DatabaseSync(path);
      db.exec(`UPDATE meta SET value = value + 1 WHERE key = 'epoch'`);
      db.close();
      return Promise.resolve();
    },
  };
});

describe('SQLite store', () => {
  it('refuses calls before it is opened and after it is closed', async () => {
    const store = storeAt(freshPath());
    const early = { reason: 'IO', message: expect.stringContaining('not open') } as const;
    await expect(store.read({ taskIds: [], bodies: false })).rejects.toMatchObject(early);
    await expect(store.list(anyTask)).rejects.toMatchObject(early);
    await store.open();
    await store.close();
    await expect(store.commit([])).rejects.toMatchObject({ reason: 'IO', message: expect.stringContaining('closed') });
    await expect(store.list(anyTask)).rejects.toMatchObject({
      reason: 'IO',
      message: expect.stringContaining('closed'),
    });
    await expect(store.open()).rejects.toMatchObject({ reason: 'IO' });
  });

  it('answers what was asked for before it was closed', async () => {
    const store = storeAt(freshPath());
    await store.open();
    const committed = store.commit(inserts([aRow()]));
    const closed = store.close();
    expect(await committed).toEqual([{ kind: 'applied', body: null }]);
    await closed;
  });

  it('refuses a commit as FULL at its bound, applies nothing of it and goes on', async () => {
    const store = storeAt(freshPath(), { maxFileBytes: 400_000 });
    await store.open();
    const [small, large] = [aRow(), aRow()];
    const tooMuch = store.commit([...inserts([small]), { kind: 'insert', row: large, body: aBody(bytes(900_000)) }]);
    await expect(tooMuch).rejects.toMatchObject({ reason: 'FULL', retryable: true });
    expect(await store.read({ taskIds: [small.taskId, large.taskId], bodies: false })).toEqual([undefined, undefined]);
    expect(store.stats()).toMatchObject({ openTasks: 0 });
    expect(await store.commit(inserts([small]))).toEqual([{ kind: 'applied', body: null }]);
  });

  it('refuses a commit as BUSY while another program writes, and takes it afterwards', async () => {
    const path = freshPath();
    const store = storeAt(path);
    await store.open();
    const other = new DatabaseSync(path);
    afterTest(() => other.close());
    other.exec('BEGIN IMMEDIATE');
    await expect(store.commit(inserts([aRow()]))).rejects.toMatchObject({ reason: 'BUSY', retryable: true });
    other.exec('ROLLBACK');
    expect(await store.commit(inserts([aRow()]))).toEqual([{ kind: 'applied', body: null }]);
  });

  it('refuses a row that cannot be read as CORRUPT', async () => {
    const path = freshPath();
    const store = storeAt(path);
    await store.open();
    const row = aRow();
    await store.commit(inserts([row]));
    const other = new DatabaseSync(path);
    other.exec(`UPDATE task SET record = '{"taskId":'`);
    other.close();
    await expect(store.loadOpen({ afterTaskId: '', limit: 10 })).rejects.toMatchObject({ reason: 'CORRUPT' });
  });
});

describe('record', () => {
  it('has its values in the order in which every version finds them', () => {
    const row = fullRow();
    const { maxAttempts, initialBackoffMs, maxBackoffMs, nonRetryableReasons } = row.retry;
    const { taskId, type, priority, requiredLabels, timeoutMs, deadlineWallMs, runTimeWallMs } = row;
    const { digest, createWallMs, payloadBytes, revision, state, tag, readyWallMs, dueWallMs } = row;
    const { attempt, leaseId, workerId, incarnation, assignWallMs, attemptOpen } = row;
    const { failureCount, crashCount, releaseCount, releaseStreak, silenceCount, cancelRequested } = row;
    expect(JSON.parse(recordText(row))).toEqual([
      ...[taskId, type, priority, requiredLabels, timeoutMs, deadlineWallMs, runTimeWallMs],
      ...[maxAttempts, initialBackoffMs, maxBackoffMs, nonRetryableReasons],
      ...[digest, createWallMs, payloadBytes, revision, state, tag, readyWallMs, dueWallMs],
      ...[attempt, leaseId, workerId, incarnation, assignWallMs, attemptOpen],
      ...[failureCount, crashCount, releaseCount, releaseStreak, silenceCount, cancelRequested],
      ...[row.history, row.endWallMs, row.failure, row.requeuedAttempt],
    ]);
  });

  it('is read as never requeued when it was written before that could be', () => {
    const row = fullRow();
    const record = JSON.parse(recordText(row)) as unknown[];
    const older = record.slice(0, 34) as unknown as Parameters<typeof rowFrom>[0];
    expect(rowFrom(older)).toEqual({ ...row, requeuedAttempt: 0 });
  });
});

describe('openStore', () => {
  it('opens sqlite:PATH and memory:', async () => {
    const path = freshPath();
    const stores: Store[] = [openStore(`sqlite:${path}`), openStore('memory:')];
    for (const store of stores) {
      afterTest(() => store.close());
      expect(await store.open()).toEqual({ longestLeaseMs: 0, drains: [], purgedIdMs: 0 });
    }
  });

  it.each(['', 'memory', 'sqlite', 'sqlite:', 'sqlite::memory:', 'postgres://db', './remuda.db'])(
    'refuses %j and names both forms',
    (spec) => {
      expect(() => openStore(spec)).toThrow(
        `store ${JSON.stringify(spec)}: use sqlite:PATH, for example sqlite:./remuda.db, or memory:`,
      );
    },
  );
});

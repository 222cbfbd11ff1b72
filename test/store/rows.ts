/** Rows and contents for the tests of stores. */
import { randomUUID } from 'node:crypto';
import type { Write } from '../../coordinator/core/outputs.js';
import type { TaskBody, TaskRow } from '../../coordinator/core/task.js';
import type { ListParams } from '../../coordinator/store/store.js';

/** A row under a new id, queued and untouched but for `change`. */
export function aRow(change: Partial<TaskRow> = {}): TaskRow {
  return {
    taskId: randomUUID(),
    type: 'file.checksum',
    priority: 0,
    requiredLabels: {},
    timeoutMs: 60_000,
    deadlineWallMs: null,
    runTimeWallMs: null,
    retry: { maxAttempts: 3, initialBackoffMs: 1_000, maxBackoffMs: 60_000, nonRetryableReasons: [] },
    digest: 'd1',
    createWallMs: 1_790_000_000_000,
    payloadBytes: 3,
    revision: 1,
    state: 'QUEUED',
    tag: 1,
    readyWallMs: 1_790_000_000_000,
    dueWallMs: null,
    attempt: 0,
    leaseId: '',
    workerId: '',
    incarnation: '',
    assignWallMs: 0,
    attemptOpen: false,
    failureCount: 0,
    crashCount: 0,
    releaseCount: 0,
    releaseStreak: 0,
    silenceCount: 0,
    cancelRequested: false,
    history: [],
    requeuedAttempt: 0,
    endWallMs: null,
    failure: null,
    ...change,
  };
}

/** A row in which every field has a value of its own, some of them at their bounds. */
export function fullRow(): TaskRow {
  const failure = { reason: 'ENOENT', message: 'no such file', nonRetryable: true, stack: 'at f (a.js:1:1)' };
  const entry = {
    attempt: 1,
    leaseId: '0123456789abcdef',
    workerId: 'w-0',
    incarnation: 'i-0',
    assignWallMs: 1_790_000_000_001,
    endWallMs: 1_790_000_000_002,
    runMs: 0.25,
  };
  return {
    taskId: randomUUID(),
    type: 'thumbnail',
    priority: 9,
    requiredLabels: { zone: 'eu', gpu: 'true' },
    timeoutMs: 1_234,
    deadlineWallMs: 2 ** 53 - 1,
    runTimeWallMs: 1_790_000_000_003,
    retry: { maxAttempts: 7, initialBackoffMs: 11, maxBackoffMs: 22, nonRetryableReasons: ['ENOENT', 'EACCES'] },
    digest: 'd2',
    createWallMs: 1_790_000_000_004,
    payloadBytes: 1_048_576,
    revision: 2 ** 40,
    state: 'RUNNING',
    tag: -(2 ** 52),
    readyWallMs: 1_790_000_000_005,
    dueWallMs: 1_790_000_000_006,
    attempt: 3,
    leaseId: 'fedcba9876543210',
    workerId: 'w-1',
    incarnation: 'i-1',
    assignWallMs: 1_790_000_000_007,
    attemptOpen: true,
    failureCount: 1,
    crashCount: 2,
    releaseCount: 3,
    releaseStreak: 4,
    silenceCount: 5,
    cancelRequested: true,
    history: [
      { ...entry, outcome: 'FAILED', charge: 'FAILURE', failure, reported: true },
      { ...entry, attempt: 2, outcome: 'WORKER_LOST', charge: 'CRASH', failure: null, reported: false },
    ],
    requeuedAttempt: 1,
    endWallMs: 1_790_000_000_008,
    failure,
  };
}

/** A body with this payload; by default three bytes of JSON. */
export function aBody(data: Uint8Array = new Uint8Array([123, 125, 10])): TaskBody {
  return {
    payload: { contentType: 'application/json', data },
    metadata: { user: 'ann', 'trace-id': '7' },
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  };
}

/** `size` bytes, each different from its neighbours. */
export function bytes(size: number): Uint8Array {
  const data = new Uint8Array(size);
  for (let index = 0; index < size; index += 1) data[index] = (index * 7 + (index >> 8)) & 0xff;
  return data;
}

/** An insert of each row, with {@link aBody}. */
export function inserts(rows: readonly TaskRow[]): Write[] {
  return rows.map((row) => ({ kind: 'insert', row, body: aBody() }));
}

/** An update to that row from the revision before. */
export function update(row: TaskRow, change: Partial<Extract<Write, { kind: 'update' }>> = {}): Write {
  const expectedRevision = row.revision - 1;
  return { kind: 'update', row, expectedRevision, result: null, wantBody: false, reopens: false, ...change };
}

/** The end of that row's task in this state, in its next revision. */
export function ended(row: TaskRow, endWallMs: number, state: TaskRow['state'] = 'SUCCEEDED'): TaskRow {
  return { ...row, revision: row.revision + 1, state, endWallMs };
}

/** The newest tasks, whatever they are, as rows. */
export const anyTask: ListParams = {
  beforeSeq: null,
  states: [],
  type: null,
  limit: 100,
  bodies: false,
  maxLooked: 20_000,
  maxBytes: 1_000_000,
};

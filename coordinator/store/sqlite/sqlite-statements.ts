import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import type { HeldDrain } from '../store.js';
import { LARGE_BLOB_BYTES } from './blobs.js';
import type { InsertHead, UpdateHead } from './sqlite-messages.js';
import { PAYLOAD, RESULT } from './sqlite-reads.js';
import { storeError } from './store-errors.js';

/** Keys of `meta`: each has one whole number. */
export type MetaKey = 'epoch' | 'longest_lease_ms' | 'purged_id_ms';

/** An ended task, as retention finds it. */
export interface EndedRow {
  readonly taskId: string;
  readonly endMs: number;
}

/** The prepared statements that change the file, and what they need to know for it. Methods throw what the driver throws. */
export class SqliteStatements {
  readonly #meta: StatementSyncInstance;
  readonly #setMeta: StatementSyncInstance;
  readonly #insert: StatementSyncInstance;
  readonly #update: StatementSyncInstance;
  readonly #updateResult: StatementSyncInstance;
  readonly #putBlob: StatementSyncInstance;
  readonly #delete: StatementSyncInstance;
  readonly #deleteEnded: StatementSyncInstance;
  readonly #deleteBlobs: StatementSyncInstance;
  readonly #oldEnded: StatementSyncInstance;
  readonly #oldDead: StatementSyncInstance;
  readonly #putDrain: StatementSyncInstance;
  readonly #deleteDrain: StatementSyncInstance;
  readonly #pages: readonly StatementSyncInstance[];

  constructor(
    private readonly db: DatabaseSyncInstance,
    private readonly path: string,
  ) {
    const prepare = (sql: string): StatementSyncInstance => db.prepare(sql, { returnArrays: true });
    this.#meta = prepare('SELECT value FROM meta WHERE key = ?');
    this.#setMeta = prepare('UPDATE meta SET value = ? WHERE key = ?');
    this.#insert = prepare(
      `INSERT INTO task (task_id, revision, state, type, priority, tag, due_ms, end_ms, record, body, payload)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    );
    this.#update = prepare(
      `UPDATE task SET revision = ?, state = ?, tag = ?, due_ms = ?, end_ms = ?, record = ?, result_type = NULL
       WHERE task_id = ? AND revision = ?`,
    );
    this.#updateResult = prepare(
      `UPDATE task SET revision = ?, state = ?, tag = ?, due_ms = ?, end_ms = ?, record = ?, result_type = ?, result = ?
       WHERE task_id = ? AND revision = ?`,
    );
    this.#putBlob = prepare('INSERT OR REPLACE INTO blob (task_id, kind, data) VALUES (?, ?, ?)');
    this.#delete = prepare('DELETE FROM task WHERE task_id = ? AND revision = ? RETURNING state');
    this.#deleteEnded = prepare('DELETE FROM task WHERE task_id = ? AND end_ms = ? AND state BETWEEN ? AND ?');
    this.#deleteBlobs = prepare('DELETE FROM blob WHERE task_id = ?');
    this.#oldEnded = prepare(
      `SELECT task_id, end_ms FROM task INDEXED BY task_ended_end
       WHERE state >= 3 AND state < 6 AND end_ms < ? ORDER BY end_ms LIMIT ?`,
    );
    this.#oldDead = prepare(
      `SELECT task_id, end_ms FROM task INDEXED BY task_dead_end WHERE state = 6 AND end_ms < ? ORDER BY end_ms LIMIT ?`,
    );
    this.#putDrain = prepare('INSERT OR REPLACE INTO drain (pattern, create_ms) VALUES (?, ?)');
    this.#deleteDrain = prepare('DELETE FROM drain WHERE pattern = ?');
    this.#pages = ['page_count', 'freelist_count', 'page_size'].map((name) => prepare(`PRAGMA ${name}`));
  }

  /** A new epoch, on disk: from now on the commits of all earlier ones are refused. */
  drawEpoch(): number {
    this.db.exec(`UPDATE meta SET value = value + 1 WHERE key = 'epoch'`);
    return this.meta('epoch');
  }

  meta(key: MetaKey): number {
    const row = this.#meta.get(key) as [number] | undefined;
    if (row === undefined) throw storeError('CORRUPT', this.path, `${key} is missing`);
    return row[0];
  }

  setMeta(key: MetaKey, value: number): void {
    this.#setMeta.run(value, key);
  }

  /** Reads all of some indexes: for once. */
  countTasks(): { open: number; ended: number; dead: number } {
    const count = (where: string): number =>
      (this.db.prepare(`SELECT count(*) FROM task ${where}`, { returnArrays: true }).get() as unknown as [number])[0];
    const dead = count('INDEXED BY task_dead WHERE state = 6');
    return {
      open: count('INDEXED BY task_open_state WHERE state < 3'),
      ended: count('INDEXED BY task_ended_end WHERE state >= 3 AND state < 6') + dead,
      dead,
    };
  }

  /** Bytes of the pages in use, and of those that are free within the file; within a transaction, as it leaves them. */
  pageBytes(): { readonly usedBytes: number; readonly reusableBytes: number } {
    const [total = 0, free = 0, pageBytes = 0] = this.#pages.map((page) => (page.get() as unknown as [number])[0]);
    return { usedBytes: (total - free) * pageBytes, reusableBytes: free * pageBytes };
  }

  /** False if there is a row of that id. */
  insert(head: InsertHead, record: string, body: string, payload: Uint8Array): boolean {
    const [, taskId, revision, state, type, priority, tag, dueMs, endMs] = head;
    const large = payload.byteLength > LARGE_BLOB_BYTES;
    const { changes } = this.#insert.run(
      taskId,
      revision,
      state,
      type,
      priority,
      tag,
      dueMs,
      endMs,
      record,
      body,
      large ? null : payload,
    );
    if (changes === 1 && large) this.#putBlob.run(taskId, PAYLOAD, payload);
    return changes === 1;
  }

  /** False if there is no row of that id and revision. */
  update(
    head: UpdateHead,
    record: string,
    result: { readonly type: string; readonly data: Uint8Array } | null,
  ): boolean {
    const [, taskId, revision, state, expectedRevision, tag, dueMs, endMs] = head;
    if (result === null) {
      return this.#update.run(revision, state, tag, dueMs, endMs, record, taskId, expectedRevision).changes === 1;
    }
    const large = result.data.byteLength > LARGE_BLOB_BYTES;
    const inRow = large ? null : result.data;
    const { changes } = this.#updateResult.run(
      revision,
      state,
      tag,
      dueMs,
      endMs,
      record,
      result.type,
      inRow,
      taskId,
      expectedRevision,
    );
    if (changes === 1 && large) this.#putBlob.run(taskId, RESULT, result.data);
    return changes === 1;
  }

  /** @returns The state that the removed row had; null if there is no row of that id and revision. */
  delete(taskId: string, expectedRevision: number): number | null {
    const row = this.#delete.get(taskId, expectedRevision) as [number] | undefined;
    if (row === undefined) return null;
    this.#deleteBlobs.run(taskId);
    return row[0];
  }

  /** False if the task is not in one of these states, or has not that end. */
  deleteEnded({ taskId, endMs }: EndedRow, firstState: number, lastState: number): boolean {
    if (this.#deleteEnded.run(taskId, endMs, firstState, lastState).changes !== 1) return false;
    this.#deleteBlobs.run(taskId);
    return true;
  }

  /** The oldest that ended before, dead letters excepted. */
  oldEnded(beforeMs: number, limit: number): EndedRow[] {
    return endedRows(this.#oldEnded.all(beforeMs, limit));
  }

  /** The oldest dead letters that ended before. */
  oldDead(beforeMs: number, limit: number): EndedRow[] {
    return endedRows(this.#oldDead.all(beforeMs, limit));
  }

  drains(): HeldDrain[] {
    const rows = this.db.prepare('SELECT pattern, create_ms FROM drain ORDER BY pattern', { returnArrays: true }).all();
    return (rows as unknown as [string, number][]).map(([pattern, createWallMs]) => ({ pattern, createWallMs }));
  }

  setDrain(pattern: string, createMs: number | null): void {
    if (createMs === null) this.#deleteDrain.run(pattern);
    else this.#putDrain.run(pattern, createMs);
  }
}

function endedRows(rows: unknown): EndedRow[] {
  return (rows as [string, number][]).map(([taskId, endMs]) => ({ taskId, endMs }));
}

import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import { LARGE_BLOB_BYTES, type BlobWriter } from './blobs.js';
import type { InsertHead, ReadAnswer, UpdateHead } from './sqlite-messages.js';
import { storeError } from './store-errors.js';

/** `blob.kind` */
const PAYLOAD = 0;
const RESULT = 1;

/**
 * The prepared statements, and what their rows mean: where a payload or result is NULL though there is one, it is in `blob`.
 * Methods throw what the driver throws.
 */
export class SqliteStatements {
  readonly #epoch: StatementSyncInstance;
  readonly #insert: StatementSyncInstance;
  readonly #update: StatementSyncInstance;
  readonly #updateResult: StatementSyncInstance;
  readonly #record: StatementSyncInstance;
  readonly #task: StatementSyncInstance;
  readonly #body: StatementSyncInstance;
  readonly #putBlob: StatementSyncInstance;
  readonly #getBlob: StatementSyncInstance;
  readonly #openRecords: StatementSyncInstance;

  constructor(
    private readonly db: DatabaseSyncInstance,
    private readonly path: string,
  ) {
    const prepare = (sql: string): StatementSyncInstance => db.prepare(sql, { returnArrays: true });
    this.#epoch = prepare(`SELECT value FROM meta WHERE key = 'epoch'`);
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
    this.#record = prepare('SELECT record FROM task WHERE task_id = ?');
    this.#task = prepare('SELECT record, body, result_type, payload, result FROM task WHERE task_id = ?');
    this.#body = prepare('SELECT body, payload FROM task WHERE task_id = ?');
    this.#putBlob = prepare('INSERT OR REPLACE INTO blob (task_id, kind, data) VALUES (?, ?, ?)');
    this.#getBlob = prepare('SELECT data FROM blob WHERE task_id = ? AND kind = ?');
    this.#openRecords = prepare(
      `SELECT record FROM task INDEXED BY task_open WHERE state < 3 AND task_id > ? ORDER BY task_id LIMIT ?`,
    );
  }

  /** A new epoch, on disk: from now on the commits of all earlier ones are refused. */
  drawEpoch(): number {
    this.db.exec(`UPDATE meta SET value = value + 1 WHERE key = 'epoch'`);
    return this.epoch();
  }

  epoch(): number {
    return this.#one<[number]>(this.#epoch.get(), 'epoch')[0];
  }

  longestLeaseMs(): number {
    const row: unknown = this.db
      .prepare(`SELECT value FROM meta WHERE key = 'longest_lease_ms'`, { returnArrays: true })
      .get();
    return this.#one<[number]>(row, 'longest_lease_ms')[0];
  }

  setLongestLease(leaseMs: number): void {
    this.db.prepare(`UPDATE meta SET value = ? WHERE key = 'longest_lease_ms'`).run(leaseMs);
  }

  /** Reads all of an index: for once. */
  countTasks(): { open: number; ended: number } {
    const count = (where: string): number =>
      this.#one<[number]>(
        this.db.prepare(`SELECT count(*) FROM task ${where}`, { returnArrays: true }).get(),
        'count',
      )[0];
    const open = count('WHERE state < 3');
    return { open, ended: count('') - open };
  }

  /** False if there is a row of that id. */
  insert(head: InsertHead, record: string, body: string, payload: Uint8Array): boolean {
    const [, taskId, revision, state, , type, priority, tag, dueMs, endMs] = head;
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
    const [, taskId, revision, state, , expectedRevision, tag, dueMs, endMs] = head;
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

  record(taskId: string): string | null {
    const row = this.#record.get(taskId) as [string] | undefined;
    return row?.[0] ?? null;
  }

  /** The task's texts; its payload, and its result if there is one, go to `blobs`. */
  task(taskId: string, blobs: BlobWriter): ReadAnswer {
    type Row = [
      record: string,
      body: string,
      resultType: string | null,
      payload: Uint8Array | null,
      result: Uint8Array | null,
    ];
    const row = this.#task.get(taskId) as Row | undefined;
    if (row === undefined) return null;
    const [record, body, resultType, payload, result] = row;
    blobs.add(payload ?? this.#blob(taskId, PAYLOAD));
    if (resultType !== null) blobs.add(result ?? this.#blob(taskId, RESULT));
    return [record, body, resultType];
  }

  /** The body's text; its payload goes to `blobs`. */
  body(taskId: string, blobs: BlobWriter): string {
    const [body, payload] = this.#one<[string, Uint8Array | null]>(this.#body.get(taskId), taskId);
    blobs.add(payload ?? this.#blob(taskId, PAYLOAD));
    return body;
  }

  openRecords(afterTaskId: string, limit: number): string[] {
    return (this.#openRecords.all(afterTaskId, limit) as [string][]).map(([record]) => record);
  }

  #blob(taskId: string, kind: number): Uint8Array {
    return this.#one<[Uint8Array]>(this.#getBlob.get(taskId, kind), `blob ${kind} of task ${taskId}`)[0];
  }

  #one<T>(row: unknown, what: string): T {
    if (row === undefined) throw storeError('CORRUPT', this.path, `${what} is missing`);
    return row as T;
  }
}

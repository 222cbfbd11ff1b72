import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite';
import type { BlobWriter } from './blobs.js';
import type { ReadAnswer } from './sqlite-messages.js';
import { storeError } from './store-errors.js';

/** `blob.kind` */
export const PAYLOAD = 0;
export const RESULT = 1;

/**
 * The statements that read tasks, and what the rows mean: where a payload or result is NULL though there is one, it is in
 * `blob`. Methods throw what the driver throws.
 */
export class SqliteReads {
  readonly #record: StatementSyncInstance;
  readonly #task: StatementSyncInstance;
  readonly #body: StatementSyncInstance;
  readonly #getBlob: StatementSyncInstance;
  readonly #openRecords: StatementSyncInstance;

  constructor(
    db: DatabaseSyncInstance,
    private readonly path: string,
  ) {
    const prepare = (sql: string): StatementSyncInstance => db.prepare(sql, { returnArrays: true });
    this.#record = prepare('SELECT record FROM task WHERE task_id = ?');
    this.#task = prepare('SELECT record, body, result_type, payload, result FROM task WHERE task_id = ?');
    this.#body = prepare('SELECT body, payload FROM task WHERE task_id = ?');
    this.#getBlob = prepare('SELECT data FROM blob WHERE task_id = ? AND kind = ?');
    this.#openRecords = prepare(
      `SELECT record FROM task INDEXED BY task_open WHERE state < 3 AND task_id > ? ORDER BY task_id LIMIT ?`,
    );
  }

  record(taskId: string): string | null {
    const row = this.#record.get(taskId) as [string] | undefined;
    return row?.[0] ?? null;
  }

  /** The task's texts; with `bodies` its payload, and its result if there is one, go to `blobs`. */
  task(taskId: string, bodies: boolean, blobs: BlobWriter): ReadAnswer {
    if (!bodies) {
      const record = this.record(taskId);
      return record === null ? null : [record, null, null];
    }
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

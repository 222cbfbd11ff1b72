import { DatabaseSync, type DatabaseSyncInstance, type StatementSyncInstance } from '@photostructure/sqlite';
import type { SubmitTaskRequest } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import type { Report } from '../../../proto/gen/remuda/v1/worker_service_pb.js';

/** What has arrived at the forwarder, and is kept: a task, or its result. */
export type Arrival =
  { readonly kind: 'submit'; readonly task: SubmitTaskRequest } | { readonly kind: 'report'; readonly report: Report };

const NOTHING = new Uint8Array(0);

/**
 * Each task and each result of the pipe in SQLite, durable (WAL, FULL): one insert and one update a task, one transaction and one
 * fsync a batch. The product's driver, on the forwarder's own loop: a thread of its own, fed with encoded batches, was
 * no faster on two cores (4 runs of each in turn, within their spread).
 *
 * Part of the yardstick; see pipe-forwarder.ts for when it may change.
 */
export class PipeDatabase {
  readonly #db: DatabaseSyncInstance;
  readonly #insert: StatementSyncInstance;
  readonly #update: StatementSyncInstance;

  /** @param path Of a file that does not exist yet */
  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    this.#db.exec('CREATE TABLE task (task_id TEXT PRIMARY KEY, state INTEGER, type TEXT, payload BLOB, result BLOB)');
    this.#insert = this.#db.prepare('INSERT INTO task VALUES (?, 0, ?, ?, NULL)');
    this.#update = this.#db.prepare('UPDATE task SET state = 1, result = ? WHERE task_id = ?');
  }

  commit(arrivals: readonly Arrival[]): void {
    this.#db.exec('BEGIN IMMEDIATE');
    for (const arrival of arrivals) {
      if (arrival.kind === 'submit')
        this.#insert.run(arrival.task.taskId, arrival.task.type, bytesOf(arrival.task.payload));
      else this.#update.run(bytesOf(arrival.report.result), arrival.report.attempt?.taskId ?? '');
    }
    this.#db.exec('COMMIT');
  }
}

function bytesOf(payload: SubmitTaskRequest['payload']): Uint8Array {
  return payload?.body.case === 'data' ? payload.body.value : NOTHING;
}

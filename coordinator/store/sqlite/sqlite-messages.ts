/**
 * What crosses between {@link SqliteStore} and its thread: per call one message there and one back, each with one string
 * and the blobs. A string is copied as it is, in one go; an object of 256 rows would be walked on both sides.
 *
 * A commit's string is lines (JSON has no bare line break): first the heads of all writes, then, in their order, the
 * texts which go into the table as they are. So the thread parses little and formats nothing.
 */
import type { Write } from '../../core/outputs.js';
import { TASK_STATES, hasEnded, type Content, type TaskBody } from '../../core/task.js';
import type { StoreErrorReason } from '../store.js';
import { BlobWriter } from './blobs.js';
import { recordText } from './record.js';

/** What a thread is given when it starts. */
export interface SqliteThreadData {
  readonly path: string;
  readonly maxBytes: number | null;
}

export type SqliteOp = 'open' | 'loadOpen' | 'read' | 'commit' | 'stats' | 'close';

export interface SqliteCall {
  readonly id: number;
  readonly op: SqliteOp;
  readonly text: string;
  readonly blobs: readonly ArrayBuffer[];
}

export interface SqliteAnswer {
  readonly id: number;
  readonly text: string;
  readonly blobs: readonly ArrayBuffer[];
  readonly error: { readonly reason: StoreErrorReason; readonly message: string } | null;
}

/** Columns of an inserted row; lines: record, body; blob: payload. */
export type InsertHead = readonly [
  kind: 0,
  taskId: string,
  revision: number,
  state: number,
  ended: 0 | 1,
  type: string,
  priority: number,
  tag: number,
  dueMs: number | null,
  endMs: number | null,
];

/** Changed columns of a row; lines: record, and the result's type if there is one; blob: the result. */
export type UpdateHead = readonly [
  kind: 1,
  taskId: string,
  revision: number,
  state: number,
  ended: 0 | 1,
  expectedRevision: number,
  tag: number,
  dueMs: number | null,
  endMs: number | null,
  hasResult: 0 | 1,
  wantBody: 0 | 1,
];

export type LongestLeaseHead = readonly [kind: 2, leaseMs: number];
export type WriteHead = InsertHead | UpdateHead | LongestLeaseHead;

/** What became of a commit, without what is the rule: a write that is not named was applied and wanted no body. */
export interface CommitAnswer {
  /** Place of the write, and the record found. */
  readonly conflicts: (readonly [index: number, record: string | null])[];
  /** Place of the write, and the body's text; its payload is the next blob. */
  readonly bodies: (readonly [index: number, body: string])[];
}

/** A task as read: the texts of its columns; payload and result, where there are texts for them, are the next blobs. */
export type ReadAnswer = readonly [record: string, body: string | null, resultType: string | null] | null;

/** A body without its payload's bytes, as it is in the table. */
export interface BodyText {
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly traceparent: string;
}

/** A commit as one string and its blobs, which are copies: the caller keeps its own. */
export function encodeCommit(writes: readonly Write[]): { text: string; blobs: ArrayBuffer[] } {
  const heads: WriteHead[] = [];
  const lines: string[] = [''];
  const blobs = new BlobWriter();
  for (const write of writes) {
    if (write.kind === 'longestLease') {
      heads.push([2, write.leaseMs]);
      continue;
    }
    if (write.kind === 'delete' || write.kind === 'drain') throw new Error('not yet');
    const { row } = write;
    const state = TASK_STATES.indexOf(row.state);
    const ended = hasEnded(row.state) ? 1 : 0;
    lines.push(recordText(row));
    if (write.kind === 'insert') {
      const { type, priority, tag, dueWallMs, endWallMs } = row;
      heads.push([0, row.taskId, row.revision, state, ended, type, priority, tag, dueWallMs, endWallMs]);
      lines.push(bodyText(write.body));
      blobs.add(write.body.payload.data);
    } else {
      heads.push(updateHead(write, state, ended));
      if (write.result !== null) {
        lines.push(JSON.stringify(write.result.contentType));
        blobs.add(write.result.data);
      }
    }
  }
  lines[0] = JSON.stringify(heads);
  return { text: lines.join('\n'), blobs: blobs.finish() };
}

function updateHead(write: Extract<Write, { kind: 'update' }>, state: number, ended: 0 | 1): UpdateHead {
  const { row, expectedRevision, result, wantBody } = write;
  return [
    1,
    row.taskId,
    row.revision,
    state,
    ended,
    expectedRevision,
    row.tag,
    row.dueWallMs,
    row.endWallMs,
    result === null ? 0 : 1,
    wantBody ? 1 : 0,
  ];
}

function bodyText({ payload, metadata, traceparent }: TaskBody): string {
  return JSON.stringify({ contentType: payload.contentType, metadata, traceparent } satisfies BodyText);
}

/** A body from its text and its payload. */
export function bodyFrom(text: string, data: Uint8Array): TaskBody {
  const { contentType, metadata, traceparent } = JSON.parse(text) as BodyText;
  return { payload: { contentType, data }, metadata, traceparent };
}

/** A result from its type's text and its bytes. */
export function resultFrom(typeText: string, data: Uint8Array): Content {
  return { contentType: JSON.parse(typeText) as string, data };
}

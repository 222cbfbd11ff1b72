/**
 * What crosses between {@link SqliteStore} and its thread: per call one message there and one back, each with one string
 * and the blobs. A string is copied as it is, in one go; an object of 256 rows would be walked on both sides.
 *
 * A commit's string is lines (JSON has no bare line break): first the heads of all writes, then, in their order, the
 * texts which go into the table as they are. So the thread parses little and formats nothing.
 */
import type { Write } from '../../core/outputs.js';
import { TASK_STATES, type Content, type TaskBody, type TaskState } from '../../core/task.js';
import type { OpenedStore, StoreErrorReason, StoreStats } from '../store.js';
import { BlobWriter } from './blobs.js';
import { recordText } from './record.js';

/** What a thread is given when it starts. */
export interface SqliteThreadData {
  readonly path: string;
  readonly maxFileBytes: number | null;
}

export type SqliteOp = 'open' | 'loadOpen' | 'read' | 'commit' | 'look' | 'close' | 'list';

export interface SqliteCall {
  readonly id: number;
  readonly op: SqliteOp;
  readonly text: string;
  readonly blobs: readonly ArrayBuffer[];
}

/** A text and the blobs which belong to it, as they cross threads. */
export interface TextAndBlobs {
  readonly text: string;
  readonly blobs: ArrayBuffer[];
}

export interface SqliteAnswer {
  readonly id: number;
  readonly text: string;
  readonly blobs: readonly ArrayBuffer[];
  readonly error: { readonly reason: StoreErrorReason; readonly message: string } | null;
}

/** Columns of an inserted row; lines: record, body; blob: payload. */
export type InsertHead = readonly [
  kind: 'insert',
  taskId: string,
  revision: number,
  state: number,
  type: string,
  priority: number,
  tag: number,
  dueMs: number | null,
  endMs: number | null,
];

/** Changed columns of a row; lines: record, and the result's type if there is one; blob: the result. */
export type UpdateHead = readonly [
  kind: 'update',
  taskId: string,
  revision: number,
  state: number,
  expectedRevision: number,
  tag: number,
  dueMs: number | null,
  endMs: number | null,
  hasResult: 0 | 1,
  wantBody: 0 | 1,
  reopens: 0 | 1,
];

/** The other writes have no lines and go as they are. */
export type OtherWrite = Exclude<Write, { kind: 'insert' | 'update' }>;
export type WriteHead = InsertHead | UpdateHead | OtherWrite;

/** What the file holds, after a call that may have changed it. */
export type SqliteFigures = Omit<StoreStats, 'limitBytes'>;

export interface OpenAnswer extends SqliteFigures {
  readonly opened: OpenedStore;
}

/** What became of a commit, without what is the rule: a write that is not named was applied and wanted no body. */
export interface CommitAnswer extends SqliteFigures {
  /** Place of the write, and the record found. */
  readonly conflicts: (readonly [index: number, record: string | null])[];
  /** Place of the write, and the body's text; its payload is the next blob. */
  readonly bodies: (readonly [index: number, body: string])[];
  /** Place of the write, and what it removed. */
  readonly purged: (readonly [index: number, count: number, deadLetters: number, purgedIdMs: number])[];
}

/** A task's place, and what {@link ReadAnswer} says of it. */
export type ListedAnswer = readonly [seq: number, task: NonNullable<ReadAnswer>];

export interface ListAnswer {
  readonly tasks: readonly ListedAnswer[];
  readonly nextSeq: number | null;
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
    if (write.kind === 'insert') {
      const { taskId, revision, state, type, priority, tag, dueWallMs, endWallMs } = write.row;
      heads.push(['insert', taskId, revision, stateNumber(state), type, priority, tag, dueWallMs, endWallMs]);
      lines.push(recordText(write.row), bodyText(write.body));
      blobs.add(write.body.payload.data);
    } else if (write.kind === 'update') {
      heads.push(updateHead(write));
      lines.push(recordText(write.row));
      if (write.result !== null) {
        lines.push(JSON.stringify(write.result.contentType));
        blobs.add(write.result.data);
      }
    } else {
      heads.push(write);
    }
  }
  lines[0] = JSON.stringify(heads);
  return { text: lines.join('\n'), blobs: blobs.finish() };
}

function updateHead(write: Extract<Write, { kind: 'update' }>): UpdateHead {
  const { row, expectedRevision, result, wantBody, reopens } = write;
  return [
    'update',
    row.taskId,
    row.revision,
    stateNumber(row.state),
    expectedRevision,
    row.tag,
    row.dueWallMs,
    row.endWallMs,
    result === null ? 0 : 1,
    wantBody ? 1 : 0,
    reopens ? 1 : 0,
  ];
}

/** As in the column `state`, for ever; the schema's indexes name them. */
export function stateNumber(state: TaskState): number {
  return TASK_STATES.indexOf(state);
}

/** From here on states are ended, up to dead letters, which are the last. */
export const FIRST_ENDED = stateNumber('SUCCEEDED');
export const DEAD_LETTERED = stateNumber('DEAD_LETTERED');

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

import { create, toBinary } from '@bufbuild/protobuf';
import { Fifo } from '../../proto/fifo.js';
import type { Status } from '../../proto/gen/google/rpc/status_pb.js';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import {
  OpenTaskStreamResponseSchema,
  StreamResultSchema,
  type OpenTaskStreamResponse,
  type StreamResult,
  type StreamSubmitAck,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { dataPayload } from '../../proto/payload.js';
import type { Content, TaskRow } from '../core/task.js';
import { taskView } from './task-view.js';

/** The end of a task that its awaiter is to be told. */
export interface TaskEnd {
  readonly taskId: string;
  readonly row: TaskRow;
  readonly result: Content | null;
}

type Item =
  | { readonly kind: 'ended'; readonly end: TaskEnd; readonly bytes: number }
  /** Its result is in the store alone. */
  | { readonly kind: 'spilled'; readonly taskId: string }
  /** The error is made when it leaves: it is many times as large as the id. */
  | { readonly kind: 'error'; readonly taskId: string; readonly error: (taskId: string) => Status };

/** Results that wait in memory, in bytes; beyond it only their ids wait, and the store has the rest. */
const OUTBOX_BYTES_MAX = 4 * 1024 * 1024;
/** What shares a frame; a larger result goes alone. */
const FRAME_BYTES_MAX = 256 * 1024;
const FRAME_ELEMENTS_MAX = 1_024;
/** What an element takes beside its result, roughly. */
const ELEMENT_BYTES = 128;
/** Results that are read from the store at once. */
const READ_AT_ONCE = 16;

/** What waits for a client: answers to submits, which go first, and ends of tasks, in their order. */
export class StreamOutbox {
  readonly #acks = new Fifo<StreamSubmitAck>();
  readonly #results = new Fifo<Item>();
  /** Read back from the store; they go before all other results. */
  readonly #readBack = new Fifo<Item>();
  /** Those that are being read back. While there are any, nothing that came later may go. */
  #reading = 0;
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#acks.size === 0 && this.resultCount === 0;
  }

  /** Answers that wait. */
  get ackCount(): number {
    return this.#acks.size;
  }

  /** Ends that wait, in memory or as ids. */
  get resultCount(): number {
    return this.#results.size + this.#readBack.size + this.#reading;
  }

  ack(ack: StreamSubmitAck): void {
    this.#acks.push(ack);
  }

  end(end: TaskEnd): void {
    const bytes = bytesOf(end);
    if (this.#bytes > 0 && this.#bytes + bytes > OUTBOX_BYTES_MAX) {
      this.#results.push({ kind: 'spilled', taskId: end.taskId });
      return;
    }
    this.#bytes += bytes;
    this.#results.push({ kind: 'ended', end, bytes });
  }

  error(taskId: string, error: (taskId: string) => Status): void {
    this.#results.push({ kind: 'error', taskId, error });
  }

  /** Takes out the ids of those results, the next to go, that must be read from the store; empty: none is next. */
  takeSpilled(): string[] {
    const taskIds: string[] = [];
    if (this.#reading > 0 || this.#readBack.size > 0) return taskIds;
    while (taskIds.length < READ_AT_ONCE) {
      const item = this.#results.peek();
      if (item?.kind !== 'spilled') break;
      taskIds.push(item.taskId);
      this.#results.shift();
    }
    this.#reading += taskIds.length;
    return taskIds;
  }

  /** What the store had for one of {@link takeSpilled}, in its order; null: it has no end any more. */
  readBack(end: TaskEnd | null): void {
    this.#reading -= 1;
    // Not counted in bytes: there are few, and they leave before anything else is read.
    if (end !== null) this.#readBack.push({ kind: 'ended', end, bytes: 0 });
  }

  /** The store had nothing for one of {@link takeSpilled}. */
  readBackError(taskId: string, error: (taskId: string) => Status): void {
    this.#reading -= 1;
    this.#readBack.push({ kind: 'error', taskId, error });
  }

  /**
   * The next frame, encoded; undefined: nothing can go now.
   *
   * @param onTold Called for each end that the frame tells.
   */
  takeFrame(onTold: (end: TaskEnd) => void): Buffer | undefined {
    const frame = create(OpenTaskStreamResponseSchema);
    let elements = 0;
    for (let ack = this.#acks.shift(); ack !== undefined; ack = this.#acks.shift()) {
      frame.submitAcks.push(ack);
      elements += 1;
      if (elements >= FRAME_ELEMENTS_MAX) break;
    }
    this.#addResults(frame, FRAME_ELEMENTS_MAX - elements, onTold);
    if (frame.submitAcks.length === 0 && frame.results.length === 0) return undefined;
    const bytes = toBinary(OpenTaskStreamResponseSchema, frame);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #addResults({ submitAcks, results }: OpenTaskStreamResponse, room: number, onTold: (end: TaskEnd) => void): void {
    let frameBytes = submitAcks.length * ELEMENT_BYTES;
    for (let left = room; left > 0; left -= 1) {
      const queue = this.#readBack.size > 0 || this.#reading > 0 ? this.#readBack : this.#results;
      const item = queue.peek();
      if (item === undefined || item.kind === 'spilled') return;
      const bytes = item.kind === 'ended' ? bytesOf(item.end) : ELEMENT_BYTES;
      if (frameBytes > 0 && frameBytes + bytes > FRAME_BYTES_MAX) return;
      frameBytes += bytes;
      queue.shift();
      results.push(resultOf(item));
      if (item.kind !== 'ended') continue;
      this.#bytes -= item.bytes;
      onTold(item.end);
    }
  }
}

/** What the end takes, roughly: its result, or the task with all that went wrong. */
function bytesOf({ row, result }: TaskEnd): number {
  let bytes = ELEMENT_BYTES + (result?.data.byteLength ?? 0);
  if (row.state === 'SUCCEEDED') return bytes;
  for (const failure of [row.failure, ...row.history.map((entry) => entry.failure)]) {
    bytes += ELEMENT_BYTES + (failure?.message.length ?? 0) + (failure?.stack.length ?? 0);
  }
  return bytes;
}

function resultOf(item: Exclude<Item, { kind: 'spilled' }>): StreamResult {
  if (item.kind === 'error') {
    return create(StreamResultSchema, { taskId: item.taskId, error: item.error(item.taskId) });
  }
  const { taskId, row, result } = item.end;
  const message = create(StreamResultSchema, { taskId, state: TaskState[row.state] });
  if (row.state !== 'SUCCEEDED') {
    const task = { row, body: null, result: null };
    message.task = taskView({ kind: 'task', task, waiting: null, progress: null }, PayloadView.NONE);
  } else if (result !== null) {
    message.result = dataPayload(result);
  }
  return message;
}

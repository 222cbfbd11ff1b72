/**
 * The coordinator's side of one client's stream (TaskService.OpenTaskStream), without I/O: frames come in, inputs for the engine
 * and frames for the client go out. {@link TaskStreamHost} hosts it over grpc-js.
 *
 * ```
 *   frame --> parse --> engine (submit, await, abandon)          acknowledgements --> engine.seen
 *                          |
 *   replies: submitted, refused --> [acks ]--.
 *            ended, not found ----> [ends ]---+--> takeFrame
 *                                     |  ^
 *                     over 4 MiB: ids |  | read back when they are next
 *                                     v  |
 *                                   the store
 * ```
 *
 * A slow reader costs no more than the ids of what it awaits: it is never ended for that.
 */
import { create } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { UUID_PATTERN } from '../../proto/bounds.js';
import { Fifo } from '../../proto/fifo.js';
import { FleetError, quoted } from '../../proto/fleet-error.js';
import type { Status } from '../../proto/gen/google/rpc/status_pb.js';
import {
  StreamSubmitAckSchema,
  type OpenTaskStreamRequest,
  type StreamSubmit,
  type SubmitTaskRequest,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { hasEnded, type ReplyToken } from '../core/task.js';
import type { Engine, EngineReply } from '../engine.js';
import { INPUT_BYTES, refused, unexpectedReply } from './asking.js';
import type { ParsedTask } from './parse-task.js';
import { submitAnswer, taskNotFound } from './submit-answer.js';
import { StreamOutbox, type TaskEnd } from './stream-outbox.js';

/** The part of the engine that streams use. */
export type StreamedEngine = Pick<
  Engine,
  'append' | 'subscribe' | 'forget' | 'abandon' | 'refusal' | 'seen' | 'wasPurged'
>;

export interface TaskStreamOptions {
  readonly engine: StreamedEngine;
  /** @throws FleetError for a task that cannot be */
  readonly parse: (request: SubmitTaskRequest | undefined) => ParsedTask;
  /** Something waits for the client, or the stream is done. Called within the engine's turn: do nothing there but remember it. */
  readonly onDirty: () => void;
  /** Told of errors that should not happen. */
  readonly onBug: (error: unknown) => void;
}

/** Elements of one frame. */
const FRAME_ELEMENTS_MAX = 1_024;
/** Tasks that a stream awaits at a time. */
const AWAITS_MAX = 65_536;
/** Ends that were told and not acknowledged are remembered so far. */
const UNACKNOWLEDGED_MAX = 65_536;
/** Answers to submits that wait for a client that does not read; beyond it nothing more is read of it. */
const ACKS_MAX = 4_096;

/** A submit whose answer has not come. */
interface Pending {
  readonly taskId: string;
  awaited: boolean;
  /** It did not get as far as the engine. */
  readonly error: Status | null;
}

/** See the head of this file. */
export class TaskStream {
  readonly #options: TaskStreamOptions;
  readonly #token: ReplyToken;
  readonly #readToken: ReplyToken;
  readonly #outbox = new StreamOutbox();
  /** In the order in which they came, which is that of the answers. */
  readonly #pending = new Fifo<Pending>();
  #pendingAwaits = 0;
  readonly #awaited = new Set<string>();
  /** Ends that were told: when they ended, by task, the oldest first. */
  readonly #unacknowledged = new Map<string, number>();
  #halfClosed = false;

  constructor(options: TaskStreamOptions) {
    const { engine } = options;
    this.#options = options;
    this.#token = engine.subscribe((reply) => this.#guarded(() => this.#hear(reply)));
    this.#readToken = engine.subscribe((reply) => this.#guarded(() => this.#hearRead(reply)));
  }

  /** True if nothing more is to be read now, because the client does not read. */
  get isClogged(): boolean {
    return this.#outbox.ackCount + this.#pending.size > ACKS_MAX || this.#outbox.resultCount > AWAITS_MAX;
  }

  /** True once the client has closed its side and has been told everything. */
  get isDone(): boolean {
    const waits = this.#pending.size + this.#awaited.size;
    return this.#halfClosed && waits === 0 && this.#outbox.isEmpty;
  }

  /**
   * A frame has arrived; undefined: bytes that are none.
   *
   * @returns False if the engine has no more room: read no more until it has.
   * @throws FleetError INVALID_ARGUMENT / INVALID_FRAME: the stream is to be ended with it
   */
  frame(frame: OpenTaskStreamRequest | undefined): boolean {
    checkFrame(frame);
    let hasRoom = true;
    for (const submit of frame.submits) hasRoom = this.#submit(submit) && hasRoom;
    for (const taskId of frame.awaits) hasRoom = this.#await(taskId.toLowerCase()) && hasRoom;
    if (frame.detaches.length > 0) this.#detach(frame.detaches);
    for (const taskId of frame.resultAcks) this.#acknowledge(taskId.toLowerCase());
    return hasRoom;
  }

  /** The client has closed its side. */
  halfClose(): void {
    this.#halfClosed = true;
    this.#options.onDirty();
  }

  /** The next frame for the client, encoded; undefined: nothing can go now. */
  takeFrame(): Buffer | undefined {
    const frame = this.#outbox.takeFrame((end) => this.#remember(end));
    this.#readSpilled();
    return frame;
  }

  /** The stream has ended. What it awaited goes on. */
  close(): void {
    const { engine } = this.#options;
    engine.forget(this.#token);
    engine.forget(this.#readToken);
    if (this.#awaited.size + this.#pendingAwaits === 0) return;
    const taskIds = [...this.#awaited];
    for (let one = this.#pending.shift(); one !== undefined; one = this.#pending.shift()) taskIds.push(one.taskId);
    engine.abandon(this.#token, taskIds, false);
  }

  #submit({ task: request, await: awaited }: StreamSubmit): boolean {
    const { engine } = this.#options;
    const task = this.#accept(request, awaited);
    if (!('spec' in task)) {
      this.#pending.push({ taskId: request?.taskId ?? '', awaited: false, error: task });
      this.#settleAcks();
      return true;
    }
    this.#pending.push({ taskId: task.taskId, awaited, error: null });
    if (awaited) this.#pendingAwaits += 1;
    const bytes = INPUT_BYTES + task.body.payload.data.byteLength;
    return engine.append(
      { kind: 'submit', token: this.#token, want: awaited ? 'end' : null, ...task },
      bytes,
      'client',
    );
  }

  /** The task; or why the engine is not asked. */
  #accept(request: SubmitTaskRequest | undefined, awaited: boolean): ParsedTask | Status {
    const { engine, parse, onBug } = this.#options;
    try {
      if (engine.refusal !== null) throw refused(engine.refusal);
      if (request?.taskId === '') {
        const description = 'is empty; on a stream it must be set, since the answer names it';
        throw FleetError.invalid('INVALID_TASK', [{ field: 'task_id', description }]);
      }
      if (awaited && this.#isFull) throw tooManyAwaits();
      return parse(request);
    } catch (error) {
      if (!(error instanceof FleetError)) onBug(error);
      return FleetError.from(error).toStatusMessage();
    }
  }

  get #isFull(): boolean {
    return this.#awaited.size + this.#pendingAwaits >= AWAITS_MAX;
  }

  #await(taskId: string): boolean {
    if (this.#awaited.has(taskId)) return true;
    if (this.#isFull) {
      this.#outbox.error(taskId, fullStatus);
      this.#options.onDirty();
      return true;
    }
    this.#awaited.add(taskId);
    return this.#options.engine.append(
      { kind: 'await', token: this.#token, taskId, want: 'end' },
      INPUT_BYTES,
      'client',
    );
  }

  #detach(given: readonly string[]): void {
    const asked = new Set(given.map((taskId) => taskId.toLowerCase()));
    const gone = new Set([...asked].filter((taskId) => this.#awaited.delete(taskId)));
    if (this.#pendingAwaits > 0) this.#detachPending(asked, gone);
    // Who detaches what it never awaited makes no work.
    if (gone.size > 0) this.#options.engine.abandon(this.#token, gone, false);
    this.#options.onDirty();
  }

  /** Their submits are under way: once these are accepted, nothing more is wanted of them. */
  #detachPending(asked: ReadonlySet<string>, gone: Set<string>): void {
    for (const pending of this.#pending) {
      if (!pending.awaited || !asked.has(pending.taskId)) continue;
      pending.awaited = false;
      this.#pendingAwaits -= 1;
      gone.add(pending.taskId);
    }
  }

  #acknowledge(taskId: string): void {
    const endWallMs = this.#unacknowledged.get(taskId);
    if (endWallMs === undefined) return;
    this.#unacknowledged.delete(taskId);
    this.#options.engine.seen(taskId, endWallMs, 'acknowledged');
  }

  #remember({ taskId, row: { endWallMs } }: TaskEnd): void {
    // A dead letter waits for a person, whatever its submitter has seen.
    if (endWallMs === null) return;
    this.#unacknowledged.delete(taskId);
    this.#unacknowledged.set(taskId, endWallMs);
    if (this.#unacknowledged.size <= UNACKNOWLEDGED_MAX) return;
    const [oldest] = this.#unacknowledged.keys();
    if (oldest !== undefined) this.#unacknowledged.delete(oldest);
  }

  #hear(reply: EngineReply): void {
    switch (reply.kind) {
      case 'ended':
        this.#end(reply);
        break;
      case 'task':
        if (!hasEnded(reply.task.row.state)) return this.#awaitAgain(reply.task.row.taskId);
        this.#end({ taskId: reply.task.row.taskId, row: reply.task.row, result: reply.task.result });
        break;
      case 'taskNotFound':
        if (this.#awaited.delete(reply.taskId)) this.#outbox.error(reply.taskId, this.#missing);
        break;
      // Who ends the engine ends the streams.
      case 'stopped':
        return;
      default:
        this.#ack(reply);
    }
    this.#options.onDirty();
  }

  /** It had ended, and somebody has put it back in the queue before its end was read. */
  #awaitAgain(taskId: string): void {
    if (!this.#awaited.has(taskId)) return;
    this.#options.engine.append({ kind: 'await', token: this.#token, taskId, want: 'end' }, INPUT_BYTES, 'client');
  }

  #end(end: TaskEnd): void {
    // Otherwise the client does not want it any more.
    if (this.#awaited.delete(end.taskId)) this.#outbox.end(end);
  }

  #ack(reply: EngineReply): void {
    const pending = this.#pending.shift();
    if (pending === undefined) throw unexpectedReply(reply);
    const { taskId, awaited } = pending;
    if (awaited) this.#pendingAwaits -= 1;
    try {
      const { state, alreadyExisted, capableWorkerCount, notice } = submitAnswer(reply);
      if (awaited) this.#awaited.add(taskId);
      const said = { taskId, state, alreadyExisted, capableWorkerCount, notice };
      this.#outbox.ack(create(StreamSubmitAckSchema, said));
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      this.#outbox.ack(create(StreamSubmitAckSchema, { taskId, error: error.toStatusMessage() }));
    }
    this.#settleAcks();
  }

  /** Those that did not get as far as the engine are answered when it is their turn. */
  #settleAcks(): void {
    for (let next = this.#pending.peek(); next?.error != null; next = this.#pending.peek()) {
      const { taskId, error } = next;
      this.#pending.shift();
      this.#outbox.ack(create(StreamSubmitAckSchema, { taskId, error }));
    }
    this.#options.onDirty();
  }

  #readSpilled(): void {
    for (const taskId of this.#outbox.takeSpilled()) {
      this.#options.engine.append({ kind: 'getTask', token: this.#readToken, taskId }, INPUT_BYTES, 'client');
    }
  }

  #hearRead(reply: EngineReply): void {
    if (reply.kind === 'stopped') return;
    if (reply.kind === 'taskNotFound') {
      this.#outbox.readBackError(reply.taskId, this.#missing);
    } else if (reply.kind === 'task') {
      const { row, result } = reply.task;
      const { taskId } = row;
      this.#outbox.readBack(hasEnded(row.state) ? { taskId, row, result } : null);
      if (!hasEnded(row.state)) {
        this.#awaited.add(taskId);
        this.#awaitAgain(taskId);
      }
    } else {
      throw unexpectedReply(reply);
    }
    this.#options.onDirty();
  }

  readonly #missing = (taskId: string): Status =>
    taskNotFound(taskId, this.#options.engine.wasPurged(taskId)).toStatusMessage();

  /** An error here must not reach the engine, which serves everybody. */
  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#options.onBug(error);
    }
  }
}

function checkFrame(frame: OpenTaskStreamRequest | undefined): asserts frame is OpenTaskStreamRequest {
  if (frame === undefined)
    throw invalidFrame('frame', 'is no remuda.v1.OpenTaskStreamRequest; write the bytes as protobuf says');
  const lists = { awaits: frame.awaits, detaches: frame.detaches, result_acks: frame.resultAcks };
  let elements = frame.submits.length;
  for (const [field, taskIds] of Object.entries(lists)) {
    elements += taskIds.length;
    const wrong = taskIds.find((taskId) => !UUID_PATTERN.test(taskId));
    if (wrong !== undefined)
      throw invalidFrame(field, `has ${quoted(wrong)}, which is no UUID; name tasks as they were submitted`);
  }
  if (elements <= FRAME_ELEMENTS_MAX) return;
  throw invalidFrame('frame', `has ${elements} elements; send at most ${FRAME_ELEMENTS_MAX} in one frame`);
}

function invalidFrame(field: string, description: string): FleetError {
  return FleetError.invalid('INVALID_FRAME', [{ field, description }]);
}

function fullStatus(): Status {
  return tooManyAwaits().toStatusMessage();
}

function tooManyAwaits(): FleetError {
  const message = `the stream awaits ${AWAITS_MAX} tasks already, its bound; wait for some to end, or open another stream`;
  return new FleetError(Code.RESOURCE_EXHAUSTED, 'TOO_MANY_AWAITS', message, {
    retryDelayMs: 1_000,
    quota: { subject: 'stream', description: `tasks awaited at a time: at most ${AWAITS_MAX}` },
  });
}

/**
 * The calls of one client, and what the coordinator knows of them on the stream there is: pure bookkeeping of the task stream's
 * machine.
 *
 * ```
 *   add          place in flight        frame          acknowledged           result
 *   ----> waiting ------------> queued -------> sent ----------------> accepted ------> over
 *                                  ^              |   refused for now,     |
 *                                  '--------------'   or stream lost       '--- stream lost: awaited again on the next one
 * ```
 *
 * A `submit` is over when it is acknowledged; a `result` is accepted from the start. What the coordinator awaits for us is
 * not told by events but compared: a task whose awaiting may differ from what its calls want is *dirty* until a frame has told
 * the difference. So calls that come and go between two frames cost nothing, and no await is lost behind a detach.
 *
 * A caller that goes away after its submit was sent leaves the record behind until the acknowledgement, or the stream's end:
 * only then is it known whether there is a task to cancel.
 */
import { create } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { MAX_STREAM_ELEMENTS } from '../proto/bounds.js';
import { FleetError } from '../proto/fleet-error.js';
import {
  OpenTaskStreamRequestSchema,
  StreamSubmitSchema,
  type OpenTaskStreamRequest,
  type StreamResult,
  type StreamSubmitAck,
} from '../proto/gen/remuda/v1/task_service_pb.js';
import { deadlinePassedError } from './call-errors.js';
import { CallQueue, stageOf, type CallRecord } from './call-queue.js';
import type { CallStage, OnAbandon, StreamCall, StreamEffect } from './stream-call.js';

/** How much may be under way. */
export interface CallBounds {
  /** Tasks between their submit and their end (`run`, `result`) or acknowledgement (`submit`). */
  readonly maxInFlight: number;
  /** Payload bytes that are not acknowledged; one larger task alone is let through. */
  readonly maxInFlightBytes: number;
  /** Calls that wait for a place in flight. */
  readonly maxWaiting: number;
}

/** A task with calls in flight, or one that the coordinator awaits for us. */
interface TaskRecord {
  readonly taskId: string;
  /** Whoever wants to hear of it. */
  readonly calls: Set<CallRecord>;
  /** Submits on the stream without acknowledgement, in order. */
  readonly sent: CallRecord[];
  /** Whether the coordinator will tell its end on this stream, and since when: an await, or a submit that it has accepted. */
  awaited: 'no' | 'asked' | 'submitted';
}

/** A frame holds elements up to this together, or one larger element alone. */
export const FRAME_BYTES_MAX = 262_144;
/** How long a deadline may have passed before its caller hears of it; a look at them all costs as much as there are calls. */
const EXPIRY_MS = 100;
/** What an id takes in a frame. */
const ID_BYTES = 40;

/** See the head of this file. */
export class CallBook {
  /** Waiting and in flight, without those whose caller is gone. */
  readonly #calls = new Map<number, CallRecord>();
  readonly #tasks = new Map<string, TaskRecord>();
  readonly #waiting = new CallQueue();
  readonly #queued = new CallQueue();
  readonly #sent = new Set<CallRecord>();
  readonly #dirty = new Set<TaskRecord>();
  /** Refused for now, in the frame that is being read. */
  #refused: CallRecord[] = [];
  /** Results that have arrived: at most one for each place in flight of each frame read while the stream is not writable. */
  #resultAcks: string[] = [];
  #inFlight = 0;
  #inFlightBytes = 0;
  /** When the deadlines were looked at last, and when they are to be next. */
  #expiredAtMs = -Infinity;
  #expireAtMs = Infinity;

  constructor(
    private readonly bounds: CallBounds,
    private readonly emit: (effect: StreamEffect) => void,
  ) {}

  /** Calls that are not over and whose callers are there. */
  get size(): number {
    return this.#calls.size;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** True while acknowledgements are under way. */
  get awaitsAcks(): boolean {
    return this.#sent.size > 0;
  }

  /** True if there are submits or awaits to tell. */
  get hasToTell(): boolean {
    return this.#queued.size > 0 || this.#dirty.size > 0;
  }

  /** Bytes of the largest task that was sent and is not acknowledged; 0 without one. O(size): for what is rare. */
  get largestSentBytes(): number {
    let largest = 0;
    for (const { wasSent, bytes } of this.#calls.values()) if (wasSent && bytes > largest) largest = bytes;
    return largest;
  }

  /** @throws FleetError RESOURCE_EXHAUSTED / TOO_MANY_WAITING */
  add(call: StreamCall): void {
    const { maxWaiting, maxInFlight } = this.bounds;
    if (this.#waiting.size >= maxWaiting) {
      const message =
        `${this.#waiting.size} calls of this client wait for one of its ${maxInFlight} places in flight, its bound; await some ` +
        'of them first, or raise maxWaiting';
      throw new FleetError(Code.RESOURCE_EXHAUSTED, 'TOO_MANY_WAITING', message, {
        quota: { subject: 'client', description: `calls that wait: at most ${maxWaiting}` },
      });
    }
    const { callId, kind, taskId, task, bytes, deadlineMs } = call;
    const fresh = { state: 'waiting', wasSent: false, abandoned: undefined } as const;
    const record: CallRecord = { callId, kind, taskId, task, bytes, deadlineMs, ...fresh };
    this.#calls.set(callId, record);
    this.#waiting.push(record);
    this.#expireAtMs = Math.min(this.#expireAtMs, Math.max(deadlineMs, this.#expiredAtMs + EXPIRY_MS));
    this.#admit();
  }

  /** When to {@link CallBook.expire} next; Infinity: there is no deadline. */
  get expireAtMs(): number {
    return this.#expireAtMs;
  }

  /** Ends calls whose tasks' deadlines have passed. One that was sent before may be there: the coordinator judges it. */
  expire(nowMs: number): void {
    if (nowMs < this.#expireAtMs) return;
    let nextMs = Infinity;
    for (const record of [...this.#calls.values()]) {
      if (record.wasSent) continue;
      if (record.deadlineMs <= nowMs) this.#fail(record, deadlinePassedError(record.taskId));
      else nextMs = Math.min(nextMs, record.deadlineMs);
    }
    this.#expiredAtMs = nowMs;
    this.#expireAtMs = Math.max(nextMs, nowMs + EXPIRY_MS);
    this.#admit();
  }

  /** Its caller is gone. How far the call had come; undefined if it is over already. */
  abandon(callId: number, onAbandon: OnAbandon): CallStage | undefined {
    const record = this.#calls.get(callId);
    if (record === undefined) return undefined;
    const stage = stageOf(record);
    const cancels = record.kind === 'run' && onAbandon === 'cancel';
    if (record.state === 'sent') {
      record.abandoned = cancels ? 'cancel' : 'keep';
      this.#forget(record);
    } else {
      if (cancels && record.wasSent) this.emit({ kind: 'cancel', taskId: record.taskId });
      this.#end(record);
    }
    this.#admit();
    return stage;
  }

  /** Takes in a frame. When some submits are refused for now: the longest wait that was asked for, in ms. */
  receive(acks: readonly StreamSubmitAck[], results: readonly StreamResult[]): number | undefined {
    let retryDelayMs: number | undefined;
    const hold = (error: FleetError): void => {
      retryDelayMs = Math.max(retryDelayMs ?? 0, error.retryDelayMs ?? 0);
    };
    for (const ack of acks) this.#acknowledged(ack, hold);
    for (const result of results) this.#ended(result, hold);
    this.#queued.prepend(this.#refused);
    this.#refused = [];
    this.#admit();
    return retryDelayMs;
  }

  /** The stream is gone: what it was told is to be told again. */
  streamLost(): void {
    const again: CallRecord[] = [];
    for (const record of this.#sent) {
      const { abandoned, taskId } = record;
      if (abandoned === undefined) {
        record.state = 'queued';
        again.push(record);
        continue;
      }
      // It may be there, and nobody will hear of it.
      if (abandoned === 'cancel') this.emit({ kind: 'cancel', taskId });
      this.#end(record);
    }
    this.#sent.clear();
    this.#queued.prepend(again);
    for (const task of this.#tasks.values()) {
      task.sent.length = 0;
      task.awaited = 'no';
      this.#touch(task);
    }
    this.#admit();
  }

  /** Ends every call, or only those that fit, with the error made for it. How many that were. */
  fail(
    errorOf: (record: CallRecord, stage: CallStage) => FleetError,
    fits: (record: CallRecord) => boolean = () => true,
  ): number {
    const failed = [...this.#calls.values()].filter(fits);
    for (const record of failed) this.#fail(record, errorOf(record, stageOf(record)));
    this.#admit();
    return failed.length;
  }

  /** The next frame; undefined if there is nothing to say. While the coordinator refuses for now, nothing new is asked of it. */
  takeFrame(nowMs: number, refusesForNow: boolean): OpenTaskStreamRequest | undefined {
    const frame = create(OpenTaskStreamRequestSchema);
    frame.resultAcks = this.#resultAcks.splice(0, MAX_STREAM_ELEMENTS);
    let count = frame.resultAcks.length;
    for (const task of this.#dirty) {
      if (count === MAX_STREAM_ELEMENTS) break;
      const change = changeOf(task);
      if (change === 'await' && refusesForNow) continue;
      this.#dirty.delete(task);
      if (change === undefined) continue;
      count += 1;
      task.awaited = change === 'await' ? 'asked' : 'no';
      (change === 'await' ? frame.awaits : frame.detaches).push(task.taskId);
      this.#tidy(task);
    }
    if (!refusesForNow) count = this.#putSubmits(nowMs, frame, count);
    return count === 0 ? undefined : frame;
  }

  #putSubmits(nowMs: number, frame: OpenTaskStreamRequest, countBefore: number): number {
    let count = countBefore;
    let bytes = count * ID_BYTES;
    while (count < MAX_STREAM_ELEMENTS) {
      const record = this.#queued.peek();
      if (record?.task === undefined) break;
      if (record.deadlineMs <= nowMs && !record.wasSent) {
        this.#fail(record, deadlinePassedError(record.taskId));
        this.#admit();
        continue;
      }
      if (count > 0 && bytes + record.bytes > FRAME_BYTES_MAX) break;
      this.#queued.shift();
      count += 1;
      bytes += record.bytes;
      record.state = 'sent';
      record.wasSent = true;
      this.#sent.add(record);
      this.#taskOf(record.taskId).sent.push(record);
      frame.submits.push(create(StreamSubmitSchema, { task: record.task, await: record.kind === 'run' }));
    }
    return count;
  }

  #admit(): void {
    const { maxInFlight, maxInFlightBytes } = this.bounds;
    for (;;) {
      const record = this.#waiting.peek();
      if (record === undefined || this.#inFlight >= maxInFlight) return;
      if (this.#inFlightBytes > 0 && this.#inFlightBytes + record.bytes > maxInFlightBytes) return;
      this.#waiting.shift();
      this.#inFlight += 1;
      this.#inFlightBytes += record.bytes;
      const task = this.#taskOf(record.taskId);
      task.calls.add(record);
      if (record.kind === 'result') {
        record.state = 'accepted';
        this.#touch(task);
      } else {
        record.state = 'queued';
        this.#queued.push(record);
      }
    }
  }

  #acknowledged(ack: StreamSubmitAck, hold: (error: FleetError) => void): void {
    const task = this.#tasks.get(ack.taskId);
    const record = task?.sent.shift();
    if (task === undefined || record === undefined) return;
    this.#sent.delete(record);
    if (ack.error !== undefined) {
      this.#refusedWith(FleetError.fromStatusMessage(ack.error), record, hold);
      return;
    }
    if (record.kind === 'run') task.awaited = 'submitted';
    this.#dropTask(record);
    if (record.abandoned === 'cancel') this.emit({ kind: 'cancel', taskId: record.taskId });
    if (record.abandoned === undefined) this.emit({ kind: 'accepted', callId: record.callId, ack });
    if (record.kind === 'run' && record.abandoned === undefined) record.state = 'accepted';
    else this.#end(record);
    this.#touch(task);
  }

  #refusedWith(error: FleetError, record: CallRecord, hold: (error: FleetError) => void): void {
    if (record.abandoned !== undefined) {
      this.#end(record);
    } else if (error.code === Code.UNAVAILABLE) {
      hold(error);
      record.state = 'queued';
      this.#refused.push(record);
    } else {
      this.emit({ kind: 'failed', callId: record.callId, error });
      this.#end(record);
    }
  }

  #ended(result: StreamResult, hold: (error: FleetError) => void): void {
    const task = this.#tasks.get(result.taskId);
    // Under way when the last of its calls went away.
    if (task === undefined) return;
    const wasSubmitted = task.awaited === 'submitted';
    // An answer ends the await. Whoever still wants the task asks again with the next frame.
    task.awaited = 'no';
    this.#touch(task);
    // A submit of the same id that is not acknowledged yet gets an answer of its own.
    const calls = [...task.calls].filter(({ state }) => state === 'accepted');
    if (result.error !== undefined) {
      const error = FleetError.fromStatusMessage(result.error);
      if (error.code === Code.UNAVAILABLE) hold(error);
      // Acknowledgements go first in a frame: that there is no such task may be older news than that a submit of it was accepted,
      // or newer (it was deleted before its result was read from the store). Asking again tells which.
      else if (!wasSubmitted) for (const record of calls) this.#fail(record, error);
      return;
    }
    if (calls.length > 0) this.#resultAcks.push(result.taskId);
    for (const record of calls) {
      this.emit({ kind: 'ended', callId: record.callId, result });
      this.#end(record);
    }
  }

  /** Ends a call that nothing has been heard of: one that is sent keeps its place until it is acknowledged. */
  #fail(record: CallRecord, error: FleetError): void {
    this.emit({ kind: 'failed', callId: record.callId, error });
    if (record.state === 'sent') {
      record.abandoned = 'keep';
      this.#forget(record);
    } else {
      this.#end(record);
    }
  }

  /** The call is over. */
  #end(record: CallRecord): void {
    const { state } = record;
    record.state = 'over';
    if (state === 'waiting') this.#waiting.died();
    else this.#inFlight -= 1;
    if (state === 'queued') this.#queued.died();
    this.#dropTask(record, state !== 'waiting');
    this.#forget(record);
  }

  /** The acknowledged task is the coordinator's to keep. */
  #dropTask(record: CallRecord, wasInFlight = true): void {
    if (wasInFlight) this.#inFlightBytes -= record.bytes;
    record.bytes = 0;
    record.task = undefined;
  }

  /** Nobody wants to hear of this call any more. */
  #forget(record: CallRecord): void {
    this.#calls.delete(record.callId);
    const task = this.#tasks.get(record.taskId);
    task?.calls.delete(record);
    if (task !== undefined) this.#touch(task);
  }

  #taskOf(taskId: string): TaskRecord {
    const found = this.#tasks.get(taskId);
    if (found !== undefined) return found;
    const task: TaskRecord = { taskId, calls: new Set(), sent: [], awaited: 'no' };
    this.#tasks.set(taskId, task);
    return task;
  }

  #touch(task: TaskRecord): void {
    if (changeOf(task) === undefined) this.#dirty.delete(task);
    else this.#dirty.add(task);
    this.#tidy(task);
  }

  #tidy(task: TaskRecord): void {
    if (task.calls.size === 0 && task.sent.length === 0 && task.awaited === 'no') this.#tasks.delete(task.taskId);
  }
}

/**
 * What the next frame must say so that the coordinator awaits what is wanted. A detach waits for the acknowledgements under way:
 * each may be the one that makes the coordinator await the task.
 */
function changeOf({ calls, sent, awaited }: TaskRecord): 'await' | 'detach' | undefined {
  if (awaited !== 'no') return calls.size === 0 && sent.length === 0 ? 'detach' : undefined;
  for (const { state } of calls) if (state === 'accepted') return 'await';
  return undefined;
}

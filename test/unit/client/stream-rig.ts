import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { status as Code } from '@grpc/grpc-js';
import type { StreamEnd } from '../../../client/frame-stream.js';
import type { CallKind, OnAbandon, StreamEffect } from '../../../client/stream-call.js';
import { TaskStreamMachine, type TaskStreamTerms } from '../../../client/task-stream-machine.js';
import { FleetError } from '../../../proto/fleet-error.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import {
  OpenTaskStreamResponseSchema,
  SubmitTaskRequestSchema,
  type OpenTaskStreamRequest,
} from '../../../proto/gen/remuda/v1/task_service_pb.js';

type ResponseInit = MessageInitShape<typeof OpenTaskStreamResponseSchema>;

/** Drives a task stream's machine by hand: a clock, what it wants done, what it wrote, and a coordinator that answers at will. */
export class StreamRig {
  nowMs = 1_000;
  readonly machine: TaskStreamMachine;
  readonly effects: StreamEffect[] = [];
  readonly frames: OpenTaskStreamRequest[] = [];
  /** False: the stream takes no frames now. */
  writable = true;
  #calls = 0;

  constructor(terms: Partial<TaskStreamTerms> = {}) {
    this.machine = new TaskStreamMachine({
      ...{ address: 'a:1', addressSaid: 'the option address', connectTimeoutMs: 5_000, waitForReady: false },
      ...{ maxInFlight: 4_096, maxInFlightBytes: 1_000_000, maxWaiting: 1_000, random: () => 0.5 },
      ...terms,
    });
  }

  /** One turn of a host. */
  turn(): void {
    this.machine.tick(this.nowMs);
    this.effects.push(...this.machine.takeEffects());
    while (this.writable) {
      const frame = this.machine.takeFrame(this.nowMs);
      if (frame === undefined) break;
      this.frames.push(frame);
    }
    this.effects.push(...this.machine.takeEffects());
  }

  /** Goes to a time, waking the machine whenever it wants to be woken. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let guard = 0; guard < 10_000; guard += 1) {
      this.nowMs = Math.min(untilMs, Math.max(this.nowMs, this.machine.deadlineMs()));
      this.turn();
      if (this.nowMs >= untilMs) return;
    }
    throw new Error('the machine wants to be woken for ever');
  }

  /** Makes a call without a turn. Its number. */
  add(kind: CallKind, taskId: string, bytes = 100, deadlineMs = Infinity): number {
    this.#calls += 1;
    const task = kind === 'result' ? undefined : create(SubmitTaskRequestSchema, { taskId, type: 't' });
    this.machine.add({ callId: this.#calls, kind, taskId, task, bytes: kind === 'result' ? 0 : bytes, deadlineMs });
    return this.#calls;
  }

  /** Makes a call and lets it leave. */
  call(kind: CallKind, taskId: string, bytes = 100): number {
    const callId = this.add(kind, taskId, bytes);
    this.turn();
    return callId;
  }

  /** A call on an open stream, for a test that begins there. */
  opened(kind: CallKind, taskId: string): number {
    const callId = this.call(kind, taskId);
    this.connect();
    return callId;
  }

  abandon(callId: number, onAbandon: OnAbandon = 'cancel') {
    const stage = this.machine.abandon(callId, onAbandon);
    this.turn();
    return stage;
  }

  get streamNumber(): number {
    return this.effects.filter((effect) => effect.kind === 'dial').at(-1)?.streamNumber ?? 0;
  }

  /** From the dial, or the end of a back-off, to an open stream. */
  connect(): void {
    if (this.machine.state.t === 'BackingOff') this.advance(this.machine.state.dialAtMs - this.nowMs);
    this.machine.opened(this.nowMs, this.streamNumber);
    this.turn();
  }

  /** The stream ends. */
  cut(end: Partial<StreamEnd> = {}): void {
    this.machine.ended(this.nowMs, this.streamNumber, { code: 'UNAVAILABLE', reason: '', message: 'cut', ...end });
    this.turn();
  }

  say(response: ResponseInit, streamNumber = this.streamNumber): void {
    this.machine.frame(this.nowMs, streamNumber, create(OpenTaskStreamResponseSchema, response));
    this.turn();
  }

  acknowledge(...taskIds: string[]): void {
    this.say({ submitAcks: taskIds.map((taskId) => ({ taskId, state: TaskState.QUEUED })) });
  }

  refuse(taskIds: readonly string[], code: Code, reason: string, retryDelayMs?: number): void {
    const error = new FleetError(code, reason, 'no', retryDelayMs === undefined ? {} : { retryDelayMs });
    this.say({ submitAcks: taskIds.map((taskId) => ({ taskId, error: error.toStatusMessage() })) });
  }

  finish(...taskIds: string[]): void {
    this.say({ results: taskIds.map((taskId) => ({ taskId, state: TaskState.SUCCEEDED })) });
  }

  /** Ids of all submits in all frames, from this frame on. */
  submits(from = 0): string[] {
    return this.frames.slice(from).flatMap(({ submits }) => submits.map(({ task }) => task?.taskId ?? ''));
  }

  awaits(from = 0): string[] {
    return this.frames.slice(from).flatMap(({ awaits }) => awaits);
  }

  detaches(from = 0): string[] {
    return this.frames.slice(from).flatMap(({ detaches }) => detaches);
  }

  /** `kind callId` or `failed callId REASON` of all that has become of calls. */
  get outcomes(): string[] {
    return this.effects.flatMap((effect) => {
      if (effect.kind === 'failed') return [`failed ${effect.callId} ${effect.error.reason}`];
      return effect.kind === 'accepted' || effect.kind === 'ended' ? [`${effect.kind} ${effect.callId}`] : [];
    });
  }

  get cancels(): string[] {
    return this.effects.flatMap((effect) => (effect.kind === 'cancel' ? [effect.taskId] : []));
  }

  failure(callId: number): FleetError {
    const found = this.effects.find((effect) => effect.kind === 'failed' && effect.callId === callId);
    if (found?.kind !== 'failed') throw new Error(`call ${callId} has not failed`);
    return found.error;
  }
}

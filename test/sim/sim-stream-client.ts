import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { StreamEnd } from '../../client/frame-stream.js';
import type { CallKind, CallStage, OnAbandon, StreamEffect } from '../../client/stream-call.js';
import { TaskStreamMachine } from '../../client/task-stream-machine.js';
import type { FleetError } from '../../proto/fleet-error.js';
import {
  OpenTaskStreamRequestSchema,
  OpenTaskStreamResponseSchema,
  SubmitTaskRequestSchema,
  type StreamResult,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { SimProcess, type SimClock } from './clock.js';
import type { SimNetwork, SimStream } from './network.js';
import type { Prng } from './random.js';
import type { Trace } from './trace.js';

/** Who made a call on the stream. */
export interface StreamListener {
  /** The task is durable. */
  accepted(): void;
  /** The task has ended. */
  ended(result: StreamResult): void;
  failed(error: FleetError): void;
  /** The caller hung up, and the coordinator is to be told that the task is not wanted. */
  cancel(): void;
}

/** What a client with a stream needs. */
export interface StreamClientParts {
  readonly clock: SimClock;
  readonly random: Prng;
  readonly network: SimNetwork;
  readonly trace: Trace;
}

const PING_MS = 30_000;
const PONG_WITHIN_MS = 20_000;
const DEAD: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'no answer to a ping' };
const HOST = 'client/0~1';

/** A client's process with one stream for all its tasks: the real machine, hosted as `client/task-stream.ts` hosts it. */
export class SimStreamClient {
  readonly #process: SimProcess;
  readonly #machine: TaskStreamMachine;
  readonly #listeners = new Map<number, { readonly taskId: string; readonly listener: StreamListener }>();
  #nextCallId = 1;
  #stream: { readonly streamNumber: number; readonly stream: SimStream } | undefined;
  #flushDue = false;
  #forgetPing: (() => void) | undefined;
  #forgetTimer: (() => void) | undefined;

  constructor(private readonly parts: StreamClientParts) {
    const draw = parts.random.fork();
    this.#process = new SimProcess(parts.clock);
    this.#machine = new TaskStreamMachine({
      ...{ address: 'sim', addressSaid: 'the simulation', connectTimeoutMs: 5_000, waitForReady: true },
      // So few that calls wait for each other.
      ...{ maxInFlight: 16, maxInFlightBytes: 1_048_576, maxWaiting: 1_000 },
      random: () => draw.next(),
    });
  }

  /** Makes a call; returns its number, to abandon it by. */
  call(kind: CallKind, taskId: string, listener: StreamListener): number {
    const callId = this.#nextCallId;
    this.#nextCallId += 1;
    const task = kind === 'result' ? undefined : create(SubmitTaskRequestSchema, { taskId });
    this.#listeners.set(callId, { taskId, listener });
    this.#machine.add({ callId, kind, taskId, task, bytes: kind === 'result' ? 0 : 200, deadlineMs: Infinity });
    this.#wake();
    return callId;
  }

  /** The caller is gone. How far the call had come; undefined if it is over. */
  abandon(callId: number, onAbandon: OnAbandon): CallStage | undefined {
    const stage = this.#machine.abandon(callId, onAbandon);
    this.#wake();
    return stage;
  }

  #wake(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    this.#process.defer(() => {
      this.#flushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    const machine = this.#machine;
    machine.tick(this.#process.monoMs);
    for (const effect of machine.takeEffects()) this.#do(effect);
    while (this.#stream?.stream.takesFromWorker === true) {
      const frame = machine.takeFrame(this.#process.monoMs);
      if (frame === undefined) break;
      this.#stream.stream.fromWorker(toBinary(OpenTaskStreamRequestSchema, frame));
    }
    for (const effect of machine.takeEffects()) this.#do(effect);
    this.#forgetTimer?.();
    const deadlineMs = machine.deadlineMs();
    if (deadlineMs === Infinity) return;
    const waitMs = Math.max(1, Math.ceil(deadlineMs - this.#process.monoMs));
    this.#forgetTimer = this.#process.after(waitMs, () => this.#wake());
  }

  #do(effect: StreamEffect): void {
    switch (effect.kind) {
      case 'dial':
        this.#dial(effect.streamNumber);
        break;
      case 'hangUp':
        if (this.#stream?.streamNumber !== effect.streamNumber) break;
        this.#stream.stream.closeFromWorker();
        this.#stream = undefined;
        break;
      case 'accepted':
        this.#listeners.get(effect.callId)?.listener.accepted();
        break;
      case 'ended':
        this.#listeners.get(effect.callId)?.listener.ended(effect.result);
        break;
      case 'failed':
        this.#listeners.get(effect.callId)?.listener.failed(effect.error);
        break;
      case 'cancel':
        for (const { taskId, listener } of this.#listeners.values()) if (taskId === effect.taskId) listener.cancel();
        break;
      case 'connected':
      case 'disconnected':
        this.parts.trace.add(HOST, effect.kind);
        break;
      case 'closed':
        break;
    }
  }

  /** Without an answer the connection is given up, as grpc-js does. */
  #keepAlive(streamNumber: number, stream: SimStream): void {
    const isOpen = (): boolean => this.#stream?.stream === stream;
    this.#process.after(PING_MS, () => {
      if (!isOpen()) return;
      stream.ping();
      this.#forgetPing = this.#process.after(PONG_WITHIN_MS, () => {
        if (!isOpen()) return;
        stream.closeFromWorker(true);
        this.#stream = undefined;
        this.#machine.ended(this.#process.monoMs, streamNumber, DEAD);
        this.#wake();
      });
    });
  }

  #dial(streamNumber: number): void {
    const machine = this.#machine;
    const heard = (run: (nowMs: number) => void): void => {
      run(this.#process.monoMs);
      this.#wake();
    };
    const stream: SimStream = this.parts.network.dial(
      HOST,
      {
        reads: () => true,
        onOpen: () => heard((nowMs) => machine.opened(nowMs, streamNumber)),
        onFrame: (bytes) =>
          heard((nowMs) => machine.frame(nowMs, streamNumber, fromBinary(OpenTaskStreamResponseSchema, bytes))),
        onWritable: () => this.#wake(),
        onPong: () => {
          this.#forgetPing?.();
          this.#keepAlive(streamNumber, stream);
        },
        onEnd: (end) =>
          heard((nowMs) => {
            if (this.#stream?.streamNumber === streamNumber) this.#stream = undefined;
            machine.ended(nowMs, streamNumber, end);
          }),
      },
      'tasks',
    );
    this.#stream = { streamNumber, stream };
    this.#keepAlive(streamNumber, stream);
  }
}

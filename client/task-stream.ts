import type { FleetError } from '../proto/fleet-error.js';
import type {
  OpenTaskStreamRequest,
  OpenTaskStreamResponse,
  StreamResult,
  StreamSubmitAck,
} from '../proto/gen/remuda/v1/task_service_pb.js';
import { abortedError } from './call-errors.js';
import type { FrameStream, OpenFrameStream, StreamEnd } from './frame-stream.js';
import { onAbort } from './on-abort.js';
import type { CallKind, OnAbandon, StreamCall, StreamEffect } from './stream-call.js';
import type { TaskStreamMachine } from './task-stream-machine.js';

/** What a task stream needs. */
export interface TaskStreamOptions {
  readonly machine: TaskStreamMachine;
  readonly open: OpenFrameStream<OpenTaskStreamRequest, OpenTaskStreamResponse>;
  /** The caller of this task is gone and wants it cancelled. */
  readonly onCancel: (taskId: string) => void;
  readonly onConnected: () => void;
  readonly onDisconnected: (end: StreamEnd) => void;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** Beside the call itself. */
export interface CallTerms {
  readonly signal: AbortSignal | undefined;
  readonly onAbandon: OnAbandon;
}

/** What a call of a kind resolves with. */
export type CallAnswer<K extends CallKind> = K extends 'submit' ? StreamSubmitAck : StreamResult;

interface Pending {
  readonly resolve: (answer: StreamSubmitAck | StreamResult) => void;
  readonly reject: (error: FleetError) => void;
  readonly kind: CallKind;
}

/** setTimeout takes no longer waits. */
const TIMER_MS_MAX = 2_147_483_647;

/**
 * Hosts a task stream's machine over real streams and timers. All that is submitted in one turn of the loop leaves in one
 * flush, after its I/O: submits that follow from the results of one frame share the next.
 */
export class TaskStream {
  readonly #options: TaskStreamOptions;
  readonly #pending = new Map<number, Pending>();
  #nextCallId = 1;
  #stream: { readonly streamNumber: number; readonly stream: FrameStream<OpenTaskStreamRequest> } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #flushDue = false;
  /** Streams that were ended gently and have not gone yet. */
  #leaving = 0;
  readonly #whenClosed: (() => void)[] = [];

  constructor(options: TaskStreamOptions) {
    this.#options = options;
  }

  /**
   * Makes a call, and resolves with its answer.
   *
   * @throws FleetError what the coordinator answers; CANCELLED / NOT_SENT, ACCEPTANCE_UNKNOWN or WAIT_ABORTED after an abort;
   *   FAILED_PRECONDITION / CLIENT_CLOSED; RESOURCE_EXHAUSTED / TOO_MANY_WAITING; UNAVAILABLE / COORDINATOR_UNREACHABLE or
   *   NOT_A_COORDINATOR
   */
  async call<K extends CallKind>(
    call: Omit<StreamCall, 'callId' | 'kind'> & { readonly kind: K },
    { signal, onAbandon }: CallTerms,
  ): Promise<CallAnswer<K>> {
    if (signal?.aborted === true) {
      throw abortedError(call, call.kind === 'result' ? 'accepted' : 'unsent', onAbandon, signal);
    }
    const callId = this.#nextCallId;
    this.#nextCallId += 1;
    this.#options.machine.add({ ...call, callId });
    let forget: (() => void) | undefined;
    try {
      return (await new Promise<StreamSubmitAck | StreamResult>((resolve, reject) => {
        this.#pending.set(callId, { resolve, reject, kind: call.kind });
        if (signal !== undefined) forget = onAbort(signal, () => this.#abort(callId, call, onAbandon, signal));
        this.#wake();
      })) as CallAnswer<K>;
    } finally {
      forget?.();
    }
  }

  /** Ends what is under way after `drainTimeoutMs`, and the stream. Resolves when nothing is left open. */
  close(drainTimeoutMs: number): Promise<void> {
    const { machine, nowMs } = this.#options;
    if (this.#isClosed) return Promise.resolve();
    machine.close(nowMs(), drainTimeoutMs);
    return new Promise((resolve) => {
      this.#whenClosed.push(resolve);
      this.#wake();
    });
  }

  get #isClosed(): boolean {
    return this.#options.machine.state.t === 'Closed' && this.#leaving === 0;
  }

  #settleClosed(): void {
    if (!this.#isClosed) return;
    for (const resolve of this.#whenClosed.splice(0)) resolve();
  }

  #abort(callId: number, call: { kind: CallKind; taskId: string }, onAbandon: OnAbandon, signal: AbortSignal): void {
    const stage = this.#options.machine.abandon(callId, onAbandon);
    if (stage === undefined) return;
    this.#take(callId)?.reject(abortedError(call, stage, onAbandon, signal));
    this.#wake();
  }

  #take(callId: number): Pending | undefined {
    const pending = this.#pending.get(callId);
    this.#pending.delete(callId);
    return pending;
  }

  #wake(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    setImmediate(() => {
      this.#flushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { machine, nowMs } = this.#options;
    machine.tick(nowMs());
    this.#doEffects();
    while (this.#stream?.stream.writable === true) {
      const frame = machine.takeFrame(nowMs());
      if (frame === undefined) break;
      this.#stream.stream.write(frame);
    }
    this.#doEffects();
    clearTimeout(this.#timer);
    const deadlineMs = machine.deadlineMs();
    if (deadlineMs === Infinity) return;
    const waitMs = Math.min(TIMER_MS_MAX, Math.max(1, Math.ceil(deadlineMs - nowMs())));
    this.#timer = setTimeout(() => this.#wake(), waitMs);
  }

  #doEffects(): void {
    for (const effect of this.#options.machine.takeEffects()) this.#doEffect(effect);
  }

  #doEffect(effect: StreamEffect): void {
    switch (effect.kind) {
      case 'dial':
        this.#dial(effect.streamNumber);
        break;
      case 'hangUp':
        if (this.#stream?.streamNumber !== effect.streamNumber) break;
        this.#leaving += 1;
        this.#stream.stream.close(effect.gently);
        this.#stream = undefined;
        break;
      case 'accepted':
        if (this.#pending.get(effect.callId)?.kind === 'submit') this.#take(effect.callId)?.resolve(effect.ack);
        break;
      case 'ended':
        this.#take(effect.callId)?.resolve(effect.result);
        break;
      case 'failed':
        this.#take(effect.callId)?.reject(effect.error);
        break;
      case 'cancel':
        this.#options.onCancel(effect.taskId);
        break;
      case 'connected':
        this.#options.onConnected();
        break;
      case 'disconnected':
        this.#options.onDisconnected(effect.end);
        break;
      case 'closed':
        this.#settleClosed();
        break;
    }
  }

  #dial(streamNumber: number): void {
    const { machine, nowMs, open } = this.#options;
    const stream = open({
      onOpen: () => {
        machine.opened(nowMs(), streamNumber);
        this.#wake();
      },
      onFrame: (frame) => {
        machine.frame(nowMs(), streamNumber, frame);
        this.#wake();
      },
      onWritable: () => this.#wake(),
      onEnd: (end) => {
        if (this.#stream?.streamNumber === streamNumber) this.#stream = undefined;
        machine.ended(nowMs(), streamNumber, end);
        this.#wake();
      },
      onClosed: () => {
        this.#leaving -= 1;
        this.#settleClosed();
      },
    });
    this.#stream = { streamNumber, stream };
  }
}

/**
 * The coordinator's side of one worker's stream, as a state machine without I/O, timers or clock: every input carries the
 * time, inputs for the core and frames for the worker come out as data. {@link SessionHost} hosts it over grpc-js, the
 * simulation over a made-up network.
 *
 * ```
 *                    hello                    welcome
 *   AwaitingHello ----------> Joining ------------------------> Open
 *        |                       |                                |
 *        | 10 s, a fault         | refused by the core, a fault   | stream ended, a fault, ended by the core,
 *        v                       v                                v the coordinator stops
 *      Ended <-------------------'--------------------------------'
 * ```
 *
 * While Open the session is suspect when a frame is unacknowledged for 3 s, or more waits for the worker than the bounds
 * allow: the core then gives it nothing new. What has not left for a worker that does not acknowledge is taken back. A worker
 * whose frames still arrive when it has acknowledged nothing for longer than a lease is ended: its frames renew the lease of
 * what it may never have received, and a worker that could hear would have missed our acknowledgements and dialled again.
 */
import { create } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { FRAME_LINK_LIMITS } from '../../proto/frame-link.js';
import { WelcomeSchema, type ConnectRequest } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import type { Input } from '../core/inputs.js';
import { leaseMarginMs } from '../core/lease.js';
import type { EndReason, SessionOutput } from '../core/outputs.js';
import { Outbox } from './outbox.js';
import { parseFrame } from './parse-frame.js';
import { parseHello } from './parse-hello.js';

/** The terms of a session, the same for all of a coordinator. */
export interface SessionTerms {
  readonly heartbeatIntervalMs: number;
  readonly leaseMs: number;
  readonly stuckGraceMs: number;
  readonly maxPayloadBytes: number;
  /** Told to workers, for people. */
  readonly version: string;
}

export type SessionState =
  /** The stream is open, and nothing has been said. */
  | { readonly t: 'AwaitingHello'; readonly giveUpAtMs: number }
  /** The core has the hello. */
  | { readonly t: 'Joining' }
  /** Welcomed. */
  | { readonly t: 'Open' }
  /** Over. `error` is how the stream is to be ended; null: it has ended by itself. */
  | { readonly t: 'Ended'; readonly error: FleetError | null };

/** An input for the core, with its size for the inbox. */
export interface SizedInput {
  readonly input: Input;
  readonly bytes: number;
}

const HELLO_TIMEOUT_MS = 10_000;
const SUSPECT_AFTER_MS = 3_000;
/** Beyond this multiple of the outbox's bound no worker is merely slow. */
const HARD_BOUND_FACTOR = 8;

const END_CODES: Readonly<Record<EndReason, Code>> = {
  SUPERSEDED: Code.ABORTED,
  STALE_SESSION: Code.ABORTED,
  LEASE_LOST: Code.UNAVAILABLE,
  FLEET_FULL: Code.RESOURCE_EXHAUSTED,
};

/** See the head of this file. */
export class Session {
  readonly #outbox = new Outbox();
  #state: SessionState;
  #inputs: SizedInput[] = [];
  #suspect = false;
  /** Suspect because it does not acknowledge. */
  #deaf = false;
  #workerId = '';

  /** @param sessionId Numbers the streams of this coordinator's life. */
  constructor(
    readonly sessionId: number,
    private readonly terms: SessionTerms,
    nowMs: number,
  ) {
    this.#state = { t: 'AwaitingHello', giveUpAtMs: nowMs + HELLO_TIMEOUT_MS };
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Who it says it is; empty before a good hello. */
  get workerId(): string {
    return this.#workerId;
  }

  /** Inputs for the core since the last call, in order. */
  takeInputs(): SizedInput[] {
    const inputs = this.#inputs;
    this.#inputs = [];
    return inputs;
  }

  /** A frame has arrived; undefined: bytes that are no frame. */
  frame(nowMs: number, frame: ConnectRequest | undefined, bytes: number): void {
    if (this.#state.t === 'Ended') return;
    try {
      this.#receive(nowMs, frame, bytes);
    } catch (error) {
      this.end(FleetError.from(error));
    }
  }

  /** What the core has for the worker, durable by now. */
  deliver(outputs: readonly SessionOutput[]): void {
    for (const output of outputs) {
      if (this.#state.t === 'Ended') return;
      this.#put(output);
    }
    if (this.#outbox.queuedCount > FRAME_LINK_LIMITS.maxQueued * HARD_BOUND_FACTOR) this.#endSlowReader();
  }

  /** Judges what time has brought. Call it after everything that has arrived was given. */
  tick(nowMs: number): void {
    const state = this.#state;
    if (state.t === 'AwaitingHello' && nowMs >= state.giveUpAtMs) {
      const message = `no hello within ${HELLO_TIMEOUT_MS} ms; send it as the first frame`;
      this.end(new FleetError(Code.DEADLINE_EXCEEDED, 'HELLO_TIMEOUT', message));
    } else if (state.t === 'Open') {
      this.#judge(nowMs);
    }
  }

  /** The next frame for the worker, encoded; undefined: nothing is to be said now. */
  takeFrame(nowMs: number): Buffer | undefined {
    // Before the welcome nothing is said, not even that the hello has arrived: it is the first frame.
    if (this.#state.t !== 'Open') return undefined;
    const wasOverBound = this.#suspect && this.#outbox.overBound;
    const frame = this.#outbox.takeFrame(nowMs);
    // Not only at the next look: a burst that has left makes nobody wait.
    if (wasOverBound && !this.#outbox.overBound) this.#judge(nowMs);
    return frame;
  }

  /** True if an acknowledgement is due that nothing else carries. */
  ackIsDue(nowMs: number): boolean {
    return this.#state.t === 'Open' && (this.#outbox.ackDueMs ?? Infinity) <= nowMs;
  }

  /** The coordinator is about to stop, and will be back: what runs may run on for so long. */
  announceReturn(holdMs: number): void {
    if (this.#state.t === 'Open') this.#outbox.reconnect(holdMs);
  }

  /** True if the worker has acknowledged all that it was told. */
  get isSettled(): boolean {
    return this.#state.t !== 'Open' || this.#outbox.idle;
  }

  /**
   * Ends it. Idempotent.
   *
   * @param error How the stream is to be ended; null: it has ended by itself.
   */
  end(error: FleetError | null): void {
    const { t } = this.#state;
    if (t === 'Ended') return;
    this.#state = { t: 'Ended', error };
    if (t !== 'AwaitingHello') this.#emit({ kind: 'sessionEnded', sessionId: this.sessionId }, 0);
  }

  #receive(nowMs: number, frame: ConnectRequest | undefined, bytes: number): void {
    if (frame === undefined) {
      const description = 'is no remuda.v1.ConnectRequest; write the bytes as protobuf says';
      throw FleetError.invalid('INVALID_FRAME', [{ field: 'frame', description }]);
    }
    const { sessionId } = this;
    const state = this.#state;
    if (state.t === 'AwaitingHello') {
      this.#join(nowMs, frame, bytes);
      return;
    }
    if (frame.hello !== undefined) {
      const message = 'a second hello on one stream; open a new stream for a new session';
      throw new FleetError(Code.INVALID_ARGUMENT, 'SECOND_HELLO', message);
    }
    const { fresh, held } = this.#outbox.receive(nowMs, frame.seq, frame.ack);
    if (state.t === 'Joining') {
      const message = 'a frame before the welcome; after hello say nothing until it has come';
      throw new FleetError(Code.INVALID_ARGUMENT, 'INVALID_FRAME', message);
    }
    if (!fresh && saysMoreThanHello(frame)) throw notBare();
    const content = parseFrame(frame, this.terms.maxPayloadBytes);
    this.#emit({ kind: 'frame', sessionId, atMonoMs: nowMs, held, ...content }, bytes);
    this.#judgeHearing(nowMs);
  }

  /** Only as a frame arrives: a silent worker's lease ends by itself, and says more about it. */
  #judgeHearing(nowMs: number): void {
    const { leaseMs } = this.terms;
    const unheardMs = nowMs - (this.#outbox.oldestUnackedSentMs ?? nowMs);
    if (unheardMs <= leaseMs + leaseMarginMs(leaseMs)) return;
    const message = `worker "${this.#workerId}" has acknowledged nothing for ${Math.round(unheardMs)} ms, though its frames arrive; see to it that it reads its stream and acknowledges, then dial again`;
    this.end(new FleetError(Code.RESOURCE_EXHAUSTED, 'SLOW_READER', message));
  }

  #join(nowMs: number, frame: ConnectRequest, bytes: number): void {
    if (frame.hello === undefined || saysMoreThanHello(frame)) {
      const said = frame.hello === undefined ? 'has no hello' : 'says more than hello';
      const message = `the first frame ${said}; it must be hello and nothing else`;
      throw new FleetError(Code.INVALID_ARGUMENT, 'FIRST_FRAME_NOT_HELLO', message);
    }
    const hello = parseHello(frame.hello);
    if (!this.#outbox.receive(nowMs, frame.seq, frame.ack).fresh) throw notBare();
    this.#workerId = hello.workerId;
    this.#state = { t: 'Joining' };
    this.#emit({ kind: 'hello', sessionId: this.sessionId, atMonoMs: nowMs, hello }, bytes);
  }

  #put(output: SessionOutput): void {
    switch (output.kind) {
      case 'welcome':
        this.#welcome(output);
        break;
      case 'assign':
        this.#outbox.assign(output);
        break;
      case 'reportAck':
        this.#outbox.reportAck(output);
        break;
      case 'cancel':
        this.#outbox.cancel(output);
        break;
      case 'revoke':
        this.#outbox.revoke(output);
        break;
      case 'drain':
        this.#outbox.drain(output);
        break;
      case 'end':
        // The core itself has ended it and needs no word of that, but one that does no harm keeps one way out.
        this.end(new FleetError(END_CODES[output.reason], output.reason, output.message));
        break;
    }
  }

  #welcome({ keep, cancel, wantedReports }: Extract<SessionOutput, { kind: 'welcome' }>): void {
    const { heartbeatIntervalMs, leaseMs, maxPayloadBytes, stuckGraceMs, version } = this.terms;
    this.#state = { t: 'Open' };
    this.#outbox.welcome(
      create(WelcomeSchema, {
        heartbeatIntervalMs,
        leaseMs,
        maxPayloadBytes,
        stuckGraceMs,
        keep: [...keep],
        cancel: [...cancel],
        wantedReports: [...wantedReports],
        coordinatorVersion: version,
      }),
    );
  }

  #judge(nowMs: number): void {
    const { oldestUnackedSentMs, overBound } = this.#outbox;
    const deaf = nowMs - (oldestUnackedSentMs ?? nowMs) >= SUSPECT_AFTER_MS;
    const suspect = deaf || overBound;
    // At each look while it is deaf: the core may have handed out more before it knew.
    const takenBack = deaf ? this.#outbox.takeBackAssignments() : [];
    if (suspect !== this.#suspect || deaf !== this.#deaf || takenBack.length > 0) {
      this.#suspect = suspect;
      this.#deaf = deaf;
      this.#emit({ kind: 'suspect', sessionId: this.sessionId, suspect, deaf, takenBack }, 0);
    }
    if (deaf && this.#outbox.overBound) this.#endSlowReader();
  }

  #endSlowReader(): void {
    const message = `${this.#outbox.queuedCount} messages wait for worker "${this.#workerId}", which does not read them; look at its network and its load, then dial again`;
    this.end(new FleetError(Code.RESOURCE_EXHAUSTED, 'SLOW_READER', message));
  }

  #emit(input: Input, bytes: number): void {
    this.#inputs.push({ input, bytes });
  }
}

function notBare(): FleetError {
  const description = 'is 0, and the frame says something; only a bare acknowledgement has seq 0';
  return FleetError.invalid('INVALID_FRAME', [{ field: 'seq', description }]);
}

function saysMoreThanHello(frame: ConnectRequest): boolean {
  return (
    frame.started.length > 0 ||
    frame.reports.length > 0 ||
    frame.progress.length > 0 ||
    frame.notStarted.length > 0 ||
    frame.heartbeat !== undefined ||
    frame.leaving !== undefined
  );
}

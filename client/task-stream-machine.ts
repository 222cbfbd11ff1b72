/**
 * The client's side of OpenTaskStream, as a state machine without I/O, timers or clock: every input carries the time, and what
 * is to be done comes out as data. {@link CallBook} keeps the calls; this is the life of the stream under them.
 *
 * ```
 *         a call           connected
 *   Idle --------> Dialling --------> Open ----- close() -----> Leaving ---- all is told, or 1 s ----> Closed
 *     ^              |                 |
 *     |              '-- ended, or too slow, 100 ms to 1 s --> BackingOff --> Dialling
 *     '------- no call is left, or nobody has ever answered for connectTimeoutMs ------'
 * ```
 *
 * - Until something at the address has taken a connection, calls fail after `connectTimeoutMs` (COORDINATOR_UNREACHABLE), or at
 *   once when it is no coordinator. After that they wait for as long as their callers do: coordinators restart.
 * - A stream that ends is no fault of any task. What a repeat cannot help, a refusal with another code than UNAVAILABLE,
 *   is told to the callers.
 * - A task whose deadline passes before it was sent fails here (DEADLINE_PASSED).
 * - While the coordinator refuses submits for now (UNAVAILABLE for an element), all of them wait, and are repeated.
 *
 * The host's turn: give all inputs that have arrived, then {@link TaskStreamMachine.tick}, do the {@link
 * TaskStreamMachine.takeEffects | effects} in order, write {@link TaskStreamMachine.takeFrame | frames} as long as the stream
 * takes them, do the effects of that, and tick again at {@link TaskStreamMachine.deadlineMs}.
 */
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../proto/fleet-error.js';
import type { OpenTaskStreamRequest, OpenTaskStreamResponse } from '../proto/gen/remuda/v1/task_service_pb.js';
import { Backoff } from './backoff.js';
import { CallBook, FRAME_BYTES_MAX, type CallBounds } from './call-book.js';
import { clientClosed, closedError } from './call-errors.js';
import { endText, notACoordinator, unreachable } from './connection-errors.js';
import type { StreamEnd } from './frame-stream.js';
import type { CallStage, OnAbandon, StreamCall, StreamEffect } from './stream-call.js';

/** Where the stream stands. */
export type StreamState =
  | { readonly t: 'Idle' }
  | { readonly t: 'Dialling'; readonly streamNumber: number; readonly giveUpAtMs: number }
  | { readonly t: 'Open'; readonly streamNumber: number; readonly sinceMs: number }
  | { readonly t: 'BackingOff'; readonly dialAtMs: number }
  | { readonly t: 'Leaving'; readonly streamNumber: number; readonly untilMs: number }
  | { readonly t: 'Closed' };

/** Terms of a task stream. */
export interface TaskStreamTerms extends CallBounds {
  /** HOST:PORT or unix:PATH, for messages. */
  readonly address: string;
  /** Where the address was said, for messages. */
  readonly addressSaid: string;
  /** How long a dial may take, and how long calls wait for a coordinator that has never answered. */
  readonly connectTimeoutMs: number;
  /** Calls wait for a coordinator that has never answered as long as for any other. */
  readonly waitForReady: boolean;
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
}

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 1_000;
/** A stream that was open for this long begins the back-off anew. */
const STABLE_MS = 10_000;
/** What is left to say at the end may take this long. */
const LEAVE_MS = 1_000;
/** Refusals that the same again would meet again. */
const FINAL_CODES = new Set([
  'INVALID_ARGUMENT',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'NOT_FOUND',
  'UNIMPLEMENTED',
  'FAILED_PRECONDITION',
]);

/** See the head of this file. */
export class TaskStreamMachine {
  readonly #terms: TaskStreamTerms;
  readonly #book: CallBook;
  readonly #backoff: Backoff;
  readonly #holdBackoff: Backoff;
  #state: StreamState = { t: 'Idle' };
  #effects: StreamEffect[] = [];
  #streams = 0;
  #opens = 0;
  /** Something has taken a connection, and has not turned out to be no coordinator. */
  #reached = false;
  /** A frame has come: a coordinator. */
  #heard = false;
  /** Since when calls have waited for a coordinator that has never answered. */
  #unreachedSinceMs: number | undefined;
  #lastEnd: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'no connection' };
  /** Until when nothing new is asked of the coordinator. */
  #holdUntilMs = 0;
  /** When close() ends what is under way. */
  #closeAtMs: number | undefined;

  constructor(terms: TaskStreamTerms) {
    const { random } = terms;
    const backoff = { minMs: BACKOFF_MIN_MS, initialMs: BACKOFF_MIN_MS * 2, maxMs: BACKOFF_MAX_MS, random };
    this.#terms = terms;
    this.#backoff = new Backoff(backoff);
    this.#holdBackoff = new Backoff(backoff);
    this.#book = new CallBook(terms, (effect) => this.#effects.push(effect));
  }

  get state(): StreamState {
    return this.#state;
  }

  /** The calls, to be looked at. */
  get calls(): Readonly<Pick<CallBook, 'size' | 'inFlight' | 'inFlightBytes' | 'waiting'>> {
    return this.#book;
  }

  /** How often a stream was opened after the first one. */
  get reconnects(): number {
    return Math.max(0, this.#opens - 1);
  }

  /** What is to be done since the last call. */
  takeEffects(): StreamEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** @throws FleetError RESOURCE_EXHAUSTED / TOO_MANY_WAITING; FAILED_PRECONDITION / CLIENT_CLOSED */
  add(call: StreamCall): void {
    if (this.#closeAtMs !== undefined) throw clientClosed();
    this.#book.add(call);
  }

  /** The caller is gone. How far the call had come; undefined if it is over already. */
  abandon(callId: number, onAbandon: OnAbandon): CallStage | undefined {
    return this.#book.abandon(callId, onAbandon);
  }

  /** The stream's connection stands. */
  opened(nowMs: number, streamNumber: number): void {
    const state = this.#state;
    if (state.t !== 'Dialling' || state.streamNumber !== streamNumber) return;
    this.#state = { t: 'Open', streamNumber, sinceMs: nowMs };
    this.#opens += 1;
    this.#reached = true;
    this.#unreachedSinceMs = undefined;
    this.#effects.push({ kind: 'connected' });
  }

  /** A frame has arrived. Frames of streams that are given up do not count. */
  frame(nowMs: number, streamNumber: number, { submitAcks, results }: OpenTaskStreamResponse): void {
    const state = this.#state;
    if ((state.t !== 'Open' && state.t !== 'Leaving') || state.streamNumber !== streamNumber) return;
    this.#heard = true;
    const retryDelayMs = this.#book.receive(submitAcks, results);
    if (retryDelayMs === undefined) this.#holdBackoff.reset();
    else this.#holdUntilMs = nowMs + Math.max(retryDelayMs, this.#holdBackoff.nextMs());
  }

  /** The stream of this number has ended, or could not be opened. */
  ended(nowMs: number, streamNumber: number, end: StreamEnd): void {
    const state = this.#state;
    if (!('streamNumber' in state) || state.streamNumber !== streamNumber) return;
    if (state.t === 'Leaving') {
      this.#closed();
      return;
    }
    this.#lost(nowMs, end);
    if (this.#failTooLarge(end)) return;
    const refusal = this.#refusalOf(end);
    if (refusal !== undefined) this.#book.fail(() => refusal);
  }

  /** Ends what is under way after `drainTimeoutMs`, then the stream. A repeat may bring that forward. */
  close(nowMs: number, drainTimeoutMs: number): void {
    this.#closeAtMs = Math.min(this.#closeAtMs ?? Infinity, nowMs + drainTimeoutMs);
  }

  /** Does what is due. */
  tick(nowMs: number): void {
    if (nowMs >= this.#holdUntilMs) this.#holdUntilMs = 0;
    this.#book.expire(nowMs);
    this.#leaveWhenDue(nowMs);
    const state = this.#state;
    if (state.t === 'Dialling' && nowMs >= state.giveUpAtMs) {
      const { streamNumber } = state;
      this.#effects.push({ kind: 'hangUp', streamNumber, gently: false });
      const message = `no connection within ${this.#terms.connectTimeoutMs} ms`;
      this.#lost(nowMs, { code: 'UNAVAILABLE', reason: '', message });
    }
    this.#giveUpWhenDue(nowMs);
    const waits = this.#state.t === 'Idle' || (this.#state.t === 'BackingOff' && nowMs >= this.#state.dialAtMs);
    if (!waits) return;
    if (this.#book.size > 0) {
      this.#dial(nowMs);
    } else {
      this.#state = { t: 'Idle' };
      this.#unreachedSinceMs = undefined;
    }
  }

  /** When to tick next; Infinity: only after an input. */
  deadlineMs(): number {
    const state = this.#state;
    if (state.t === 'Closed') return Infinity;
    if (state.t === 'Leaving') return state.untilMs;
    return Math.min(
      this.#closeAtMs ?? Infinity,
      this.#book.expireAtMs,
      this.#giveUpAtMs,
      state.t === 'Dialling' ? state.giveUpAtMs : Infinity,
      state.t === 'BackingOff' ? state.dialAtMs : Infinity,
      state.t === 'Open' && this.#holdUntilMs > 0 && this.#book.hasToTell ? this.#holdUntilMs : Infinity,
    );
  }

  /** The next frame for the open stream; undefined if there is nothing to say now. */
  takeFrame(nowMs: number): OpenTaskStreamRequest | undefined {
    const state = this.#state;
    if (state.t !== 'Open' && state.t !== 'Leaving') return undefined;
    const frame = this.#book.takeFrame(nowMs, this.#holdUntilMs > 0);
    // An acknowledgement under way may leave something to detach or to cancel.
    if (frame === undefined && state.t === 'Leaving' && !this.#book.awaitsAcks) {
      this.#effects.push({ kind: 'hangUp', streamNumber: state.streamNumber, gently: true });
      this.#closed();
    }
    return frame;
  }

  get #giveUpAtMs(): number {
    const { waitForReady, connectTimeoutMs } = this.#terms;
    if (waitForReady || this.#unreachedSinceMs === undefined) return Infinity;
    return this.#unreachedSinceMs + connectTimeoutMs;
  }

  #dial(nowMs: number): void {
    this.#streams += 1;
    const streamNumber = this.#streams;
    if (!this.#reached) this.#unreachedSinceMs ??= nowMs;
    this.#state = { t: 'Dialling', streamNumber, giveUpAtMs: nowMs + this.#terms.connectTimeoutMs };
    this.#effects.push({ kind: 'dial', streamNumber });
  }

  #lost(nowMs: number, end: StreamEnd): void {
    const state = this.#state;
    this.#lastEnd = end;
    this.#holdUntilMs = 0;
    if (state.t === 'Open') {
      if (nowMs - state.sinceMs >= STABLE_MS) this.#backoff.reset();
      this.#effects.push({ kind: 'disconnected', end });
    }
    this.#book.streamLost();
    this.#state = { t: 'BackingOff', dialAtMs: nowMs + this.#backoff.nextMs() };
  }

  /** What the callers are to be told, when the same again would not help. */
  #refusalOf(end: StreamEnd): FleetError | undefined {
    const { address, addressSaid } = this.#terms;
    // A proxy may answer in place of a coordinator that restarts; before one has ever been heard, it is the answer.
    if (!this.#heard || end.code === 'UNIMPLEMENTED') {
      const foreign = notACoordinator(address, end, addressSaid);
      if (foreign !== undefined) {
        this.#reached = false;
        return foreign;
      }
    }
    const isFinal = FINAL_CODES.has(end.code) || (end.code === 'RESOURCE_EXHAUSTED' && end.reason !== '');
    return isFinal ? new FleetError(Code[end.code as keyof typeof Code], end.reason, end.message) : undefined;
  }

  /**
   * A coordinator with smaller bounds than ours ends the stream for a frame that is too large: a task alone in its frame. Which
   * one it does not say, but if any is, the largest is. The others are repeated; each such end takes at least one out.
   */
  #failTooLarge({ code, reason, message }: StreamEnd): boolean {
    if (code !== 'RESOURCE_EXHAUSTED' || reason !== '') return false;
    const { address } = this.#terms;
    const largest = this.#book.largestSentBytes;
    if (largest <= FRAME_BYTES_MAX) return false;
    const failed = this.#book.fail(
      ({ taskId, bytes }) =>
        new FleetError(
          Code.INVALID_ARGUMENT,
          'PAYLOAD_TOO_LARGE',
          `task ${taskId} of about ${bytes} bytes is more than the coordinator at ${address} takes (${message}); pass a reference ` +
            'to it, or start the coordinator with a larger --max-payload-bytes',
          { metadata: { task_id: taskId, size_bytes: String(bytes) } },
        ),
      ({ wasSent, bytes }) => wasSent && bytes === largest,
    );
    return failed > 0;
  }

  #giveUpWhenDue(nowMs: number): void {
    if (nowMs < this.#giveUpAtMs) return;
    const { address, addressSaid, connectTimeoutMs } = this.#terms;
    const state = this.#state;
    if (state.t === 'Dialling') {
      this.#effects.push({ kind: 'hangUp', streamNumber: state.streamNumber, gently: false });
    }
    this.#state = { t: 'Idle' };
    this.#unreachedSinceMs = undefined;
    this.#backoff.reset();
    const why = `${endText(this.#lastEnd)}; tried for ${connectTimeoutMs} ms`;
    const error = unreachable(address, why, addressSaid);
    this.#book.fail(() => error);
  }

  #leaveWhenDue(nowMs: number): void {
    const state = this.#state;
    if (state.t === 'Leaving' && nowMs >= state.untilMs) {
      this.#effects.push({ kind: 'hangUp', streamNumber: state.streamNumber, gently: false });
      this.#closed();
    }
    if (this.#closeAtMs === undefined || state.t === 'Leaving' || state.t === 'Closed') return;
    if (nowMs < this.#closeAtMs && this.#book.size > 0) return;
    this.#book.fail(({ taskId }, stage) => closedError(taskId, stage));
    if (state.t === 'Open') {
      this.#state = { t: 'Leaving', streamNumber: state.streamNumber, untilMs: nowMs + LEAVE_MS };
      return;
    }
    if (state.t === 'Dialling') {
      this.#effects.push({ kind: 'hangUp', streamNumber: state.streamNumber, gently: false });
    }
    this.#closed();
  }

  #closed(): void {
    this.#state = { t: 'Closed' };
    // What was sent and is not acknowledged is left behind; whoever wanted it cancelled is heard.
    this.#book.streamLost();
    this.#effects.push({ kind: 'closed' });
  }
}

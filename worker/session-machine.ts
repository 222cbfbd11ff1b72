/**
 * The worker's side of the one stream, as a state machine without I/O, timers or clock: every input carries the time, and
 * what is to be done comes out as data. A session (session.ts) hosts it over a socket, the simulation over a made-up network.
 *
 * ```
 *          start             stream opened             welcome
 *   Idle --------> Dialling ---------------> AwaitingWelcome --------> Open
 *                     ^  |                        |                     |
 *                     |  '------ ended, or too slow: back-off ----------'   handlers run on meanwhile
 *                     |                           v
 *                     '--------------------- BackingOff
 *
 *   any --- SUPERSEDED ---> Superseded --- handlers have settled, or 5 s ---> Left (78)
 *   any --- hello refused ---> Left (2)
 *   any --- departure complete ---> Left (0, or EXIT_RECYCLE)
 * ```
 *
 * Beside the state of the stream runs the departure: a worker may want to leave while it is connected or not.
 *
 * - asked (SIGTERM, stop()): `leaving` asks the coordinator to drain; its `drain` says until when handlers may run. What has
 *   not started is given back. At the deadline signals abort. The worker leaves when all reports are acknowledged.
 * - coordinator: `drain` came unasked. The same from there on.
 * - recycle: a handler is stuck. The worker takes nothing more, the other handlers finish, and the process is ended.
 * - abandoned: whoever the reports are for is gone with the supervisor. Signals abort, and the last handler's end is the end.
 * - Without a stream nothing new starts, and the reports are offered for 10 s after the last handler has ended.
 *
 * The host's turn: give all inputs that have arrived, then {@link SessionMachine.tick}, do the {@link
 * SessionMachine.takeEffects | effects} in order, write {@link SessionMachine.takeFrame | frames} as long as the stream takes
 * them, and tick again at {@link SessionMachine.deadlineMs}.
 */
import { create } from '@bufbuild/protobuf';
import { Backoff } from '../client/backoff.js';
import type { StreamEnd } from '../client/frame-stream.js';
import {
  HeartbeatSchema,
  LeavingSchema,
  type AttemptRef,
  type ConnectRequest,
  type ConnectResponse,
  type Welcome,
} from '../proto/gen/remuda/v1/worker_service_pb.js';
import { FleetError } from '../proto/fleet-error.js';
import type { PayloadContent } from '../proto/payload-content.js';
import type { HeldAttempt } from './attempt-book.js';
import { AttemptKeeper } from './attempt-keeper.js';
import { Departure } from './departure.js';
import { newHello } from './hello.js';
import { EXIT_RECYCLE, EXIT_REFUSED, EXIT_SUPERSEDED, LEFT_WELL, type SessionEffect } from './session-effects.js';
import { SESSION_PERIODS, type SessionOptions, type SessionPeriods } from './session-options.js';
import type { SessionState } from './session-state.js';
import type { AttemptKey, LeaveCause, SessionEvent, SessionExit, Settlement } from './session-messages.js';
import { WorkerLink } from './worker-link.js';

/** A worker's own measurements, for a heartbeat. */
export interface WorkerLoad {
  /** Thousandths of one core. */
  readonly cpuMillis: number;
  readonly rssBytes: number;
  readonly handlerLoopLagMs: number;
}

/** What the machine is given besides its options. */
export interface SessionMachineDeps {
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
  /** Default: {@link SESSION_PERIODS}. */
  readonly periods?: Partial<SessionPeriods>;
}

/**
 * Answers of something that is no coordinator, or none that would have us, or one that cannot read a frame of ours: dialling
 * fast would help nobody.
 */
const DENIED_CODES = new Set([
  'UNIMPLEMENTED',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'NOT_FOUND',
  'INVALID_ARGUMENT',
]);
/** What the worker says of itself is refused: it would say the same again. */
const HELLO_REFUSALS = new Set(['INVALID_HELLO', 'FIRST_FRAME_NOT_HELLO']);
const DAY_MS = 86_400_000;
/** How late the host may be with a tick: a machine under load, a pause. */
const OVERDUE_MS = 5_000;

/** See the head of this file. */
export class SessionMachine {
  /** The attempts, for the host to look at. */
  readonly keeper: AttemptKeeper;
  private current: SessionState = { t: 'Idle' };
  private departure: Departure | undefined;
  private effects: SessionEffect[] = [];
  private sessionNumber = 0;
  /** Dials in a row that got no welcome. */
  private failures = 0;
  private leaseMs: number | undefined;
  /** What takes the lease's place while the coordinator restarts; 0: nothing does. */
  private holdMs = 0;
  /** When the newest frame that the coordinator has acknowledged was sent. */
  private ackedSentMs: number | undefined;
  private leaseLost = false;
  private heartbeatAtMs = Infinity;
  /** Since when the handlers' loop owes an answer. Undefined: it owes none, or the host does not watch it. */
  private loopAskedMs: number | undefined;
  private stuckGraceMs = 10_000;
  private recycling = false;
  /** Since when there has been no welcomed stream. */
  private disconnectedMs: number | undefined;
  /** Attempts were dropped unstarted: the next hello gives them back by not naming them. */
  private owesSnapshot = false;
  private readonly backoff: Backoff;
  private readonly periods: SessionPeriods;

  constructor(
    private readonly options: SessionOptions,
    private readonly deps: SessionMachineDeps,
  ) {
    this.periods = { ...SESSION_PERIODS, ...deps.periods };
    const { backoffMinMs, backoffMaxMs } = this.periods;
    const { random } = deps;
    this.backoff = new Backoff({ minMs: backoffMinMs, initialMs: backoffMinMs * 2, maxMs: backoffMaxMs, random });
    this.keeper = new AttemptKeeper(options, (effect) => this.effects.push(effect));
  }

  /** Where the stream stands. */
  get state(): SessionState {
    return this.current;
  }

  /** What is to be done since the last call. */
  takeEffects(): SessionEffect[] {
    const { effects } = this;
    this.effects = [];
    return effects;
  }

  /** Begins to dial. */
  start(nowMs: number): void {
    if (this.current.t !== 'Idle') return;
    this.disconnectedMs = nowMs;
    this.dial(nowMs);
  }

  /** The stream of this session number takes frames. */
  opened(sessionNumber: number): void {
    const { current } = this;
    if (current.t !== 'Dialling' || current.sessionNumber !== sessionNumber) return;
    const { giveUpAtMs } = current;
    const hello = newHello(this.options, sessionNumber, this.keeper.snapshot());
    const link = new WorkerLink();
    link.hello(hello);
    this.setState({ t: 'AwaitingWelcome', sessionNumber, giveUpAtMs, link, hello });
  }

  /** A frame has arrived. Frames of streams that are given up do not count. */
  frame(nowMs: number, sessionNumber: number, frame: ConnectResponse): void {
    const { current } = this;
    if (current.t !== 'AwaitingWelcome' && current.t !== 'Open') return;
    if (current.sessionNumber !== sessionNumber) return;
    let arrival;
    try {
      arrival = current.link.receive(nowMs, frame);
    } catch (error) {
      const { reason, message } = FleetError.from(error);
      this.drop(nowMs, 'INTERNAL', reason, `the coordinator's frame cannot be right: ${message}`);
      return;
    }
    const { fresh, ackedSentMs } = arrival;
    if (ackedSentMs !== undefined) this.ackedSentMs = Math.max(ackedSentMs, this.ackedSentMs ?? -Infinity);
    if (!fresh) return;
    if (current.t === 'AwaitingWelcome') {
      if (frame.welcome === undefined) {
        const message = 'the first frame was no welcome; is this a coordinator?';
        this.drop(nowMs, 'INTERNAL', 'FIRST_FRAME_NOT_WELCOME', message);
        return;
      }
      this.welcomed(nowMs, current, frame.welcome);
    }
    // After a standstill of this process what has waited to be read may be out of date; the next tick gives the stream up.
    if (this.current.t === 'Open' && nowMs < this.leaseEndMs()) this.apply(nowMs, frame);
  }

  private apply(nowMs: number, { assignments, reportAcks, cancels, drain, revokes, reconnect }: ConnectResponse): void {
    if (assignments.length > 0) this.keeper.assign(nowMs, assignments);
    for (const { attempt, accepted, reason } of reportAcks) {
      if (attempt === undefined) continue;
      this.keeper.acknowledge(attempt);
      if (accepted) continue;
      this.event({ name: 'report-refused', taskId: attempt.taskId, attempt: attempt.attempt, reason });
    }
    for (const cancel of cancels) this.keeper.cancel(nowMs, cancel);
    if (drain !== undefined) this.drained(nowMs, drain.deadlineMs);
    for (const ref of revokes) this.keeper.revoke(ref);
    if (reconnect === undefined || reconnect.holdMs <= 0) return;
    this.holdMs = Math.min(DAY_MS, reconnect.holdMs);
    this.event({ name: 'hold', holdMs: this.holdMs });
  }

  /** The stream of this session number has ended, or could not be opened. */
  ended(nowMs: number, sessionNumber: number, { code, reason, message }: StreamEnd): void {
    const { current } = this;
    if (!('sessionNumber' in current) || current.sessionNumber !== sessionNumber) return;
    if (reason === 'SUPERSEDED') {
      this.superseded(nowMs, message);
    } else if (code === 'INVALID_ARGUMENT' && (current.t !== 'Open' || HELLO_REFUSALS.has(reason))) {
      this.lost(nowMs, { code, reason, message }, undefined);
      this.keeper.abortAll(nowMs, 'WORKER_FAILED', message);
      this.exit({ code: EXIT_REFUSED, message: `the coordinator refuses this worker: ${message}` });
    } else {
      this.retry(nowMs, { code, reason, message });
    }
  }

  /** A handler is about to be entered. */
  started(nowMs: number, key: AttemptKey): void {
    this.keeper.started(nowMs, key);
  }

  /** A handler has settled after `runMs`. */
  settled(nowMs: number, key: AttemptKey, settlement: Settlement, runMs: number): void {
    this.keeper.settled(nowMs, key, settlement, runMs);
  }

  /** A handler has something to say. */
  progress(key: AttemptKey, number: number, content: PayloadContent): void {
    this.keeper.progress(key, number, content);
  }

  /** The answer to the effect `measure`: leaves as a heartbeat. */
  load({ cpuMillis, rssBytes, handlerLoopLagMs }: WorkerLoad): void {
    if (this.current.t !== 'Open') return;
    const heartbeat = create(HeartbeatSchema, { cpuMillis, rssBytes: BigInt(rssBytes), handlerLoopLagMs });
    this.current.link.heartbeat(heartbeat);
  }

  /** The handlers' loop was asked for a sign of life. A host that never asks has no handlers, or stands still with them. */
  loopAsked(nowMs: number): void {
    this.loopAskedMs ??= nowMs;
  }

  /** It has answered. */
  loopAnswered(): void {
    this.loopAskedMs = undefined;
  }

  /** The worker is to leave; handlers may run on for `drainTimeoutMs`. A repeat can only bring the deadline forward. */
  leave(nowMs: number, drainTimeoutMs: number): void {
    if (this.current.t === 'Left' || this.current.t === 'Superseded') return;
    if (this.current.t === 'Idle') {
      this.exit({ code: 0, message: 'it had not been started' });
      return;
    }
    this.depart(nowMs, 'asked', nowMs + drainTimeoutMs);
  }

  /** The worker is to leave, and there is nobody left to report to: over as soon as no handler runs. */
  abandon(nowMs: number): void {
    this.leave(nowMs, 0);
    if (this.departure === undefined) return;
    this.departure.abandoned = true;
    this.keeper.intake = 'closed';
    this.keeper.giveBackWaiting();
  }

  private depart(nowMs: number, cause: LeaveCause, deadlineMs: number): Departure {
    if (this.departure !== undefined) {
      this.departure.hasten(deadlineMs);
      return this.departure;
    }
    this.departure = new Departure(cause, deadlineMs);
    this.keeper.intake = 'held';
    this.effects.push({ kind: 'draining' });
    this.event({ name: 'draining', deadlineMs: Math.max(0, deadlineMs - nowMs), cause });
    // With a hello on its way, what waits is named in it and given back once the drain has come.
    if (this.current.t === 'BackingOff' || this.current.t === 'Dialling') this.dropWaiting();
    return this.departure;
  }

  private drained(nowMs: number, deadlineMs: number): void {
    this.depart(nowMs, 'coordinator', nowMs + deadlineMs).confirm(nowMs + deadlineMs);
    this.keeper.intake = 'closed';
    this.keeper.giveBackWaiting();
  }

  /** Applies what the time has brought. */
  tick(nowMs: number): void {
    if (this.current.t === 'Idle' || this.current.t === 'Left') return;
    this.tickLease(nowMs);
    const stuck = this.keeper.tick(nowMs);
    if (stuck.length > 0) this.stuck(nowMs, stuck);
    this.tickStream(nowMs);
    this.tickRecycle(nowMs);
    this.tickDeparture(nowMs);
  }

  private tickLease(nowMs: number): void {
    if (this.leaseLost || nowMs < this.leaseEndMs()) return;
    this.leaseLost = true;
    // The coordinator learns from the next hello what is dropped here.
    if (this.current.t === 'Open')
      this.drop(nowMs, 'DEADLINE_EXCEEDED', 'ACK_TIMEOUT', 'no acknowledgement for a lease');
    if (this.keeper.book.heldCount === 0) return;
    this.event({ name: 'lease-lost', attempts: this.keeper.book.heldCount });
    // Not just forgotten: a hello that is on its way may name it.
    this.keeper.giveBackWaiting();
    const message = 'the coordinator has not been heard for a lease; the task may run elsewhere';
    this.keeper.abortAll(nowMs, 'LEASE_LOST', message);
  }

  /** The worker's own lease: it ends before the coordinator's, also when only one direction works. */
  private leaseEndMs(): number {
    const { leaseMs, holdMs, ackedSentMs } = this;
    return leaseMs === undefined || ackedSentMs === undefined ? Infinity : ackedSentMs + Math.max(leaseMs, holdMs);
  }

  private tickStream(nowMs: number): void {
    const { current } = this;
    switch (current.t) {
      case 'BackingOff':
        if (nowMs >= current.dialAtMs) this.dial(nowMs);
        break;
      case 'Dialling':
      case 'AwaitingWelcome':
        if (nowMs < current.giveUpAtMs) break;
        this.drop(nowMs, 'DEADLINE_EXCEEDED', 'WELCOME_TIMEOUT', `no welcome from ${this.options.address} in time`);
        break;
      case 'Open':
        if (nowMs >= (current.link.oldestUnackedMs() ?? Infinity) + current.ackTimeoutMs) {
          const message = `a frame was not acknowledged for ${Math.round(current.ackTimeoutMs)} ms`;
          this.drop(nowMs, 'DEADLINE_EXCEEDED', 'ACK_TIMEOUT', message);
        } else if (nowMs >= this.heartbeatAtMs) {
          this.heartbeatAtMs = nowMs + current.heartbeatIntervalMs;
          this.effects.push({ kind: 'measure' });
        }
        break;
      case 'Superseded':
        if (this.keeper.book.unsettledCount > 0 && nowMs < current.exitAtMs) break;
        this.exit({ code: EXIT_SUPERSEDED, message: current.message });
        break;
      case 'Idle':
      case 'Left':
        break;
    }
  }

  /** Handlers that have not settled in the grace after their abort. */
  private stuck(nowMs: number, attempts: readonly HeldAttempt[]): void {
    for (const attempt of attempts) {
      const { ref, type, abort } = attempt;
      const why = `its handler has not settled within ${this.stuckGraceMs} ms of its abort (${abort?.cause ?? 'unknown'})`;
      this.event({ name: 'stuck', taskId: ref.taskId, attempt: ref.attempt, type, message: why });
      // A worker that leaves does not wait for it; one that stays keeps the slot in use until it settles.
      if (this.options.onStuck === 'exit' || this.departure !== undefined) this.keeper.giveUp(nowMs, attempt, why);
    }
    if (this.options.onStuck !== 'exit' || this.current.t === 'Superseded') return;
    this.recycling = true;
    // What still runs has time-outs of its own.
    this.depart(nowMs, 'recycle', nowMs + DAY_MS);
    this.keeper.giveBackWaiting();
    this.keeper.intake = 'closed';
  }

  /** A loop that was blocked for the whole grace will not let the others finish either. */
  private tickRecycle(nowMs: number): void {
    if (!this.recycling || nowMs < this.blockedForGraceMs()) return;
    for (const attempt of [...this.keeper.book.all()]) {
      this.keeper.abort(nowMs, attempt, 'RECYCLED', 'another handler blocks the process');
      this.keeper.giveUp(nowMs, attempt, 'the process is replaced');
    }
  }

  private blockedForGraceMs(): number {
    return this.loopAskedMs === undefined ? Infinity : this.loopAskedMs + this.stuckGraceMs;
  }

  private tickDeparture(nowMs: number): void {
    const { departure, current } = this;
    if (departure === undefined || current.t === 'Left' || current.t === 'Superseded') return;
    if (current.t === 'Open' && !departure.told) {
      departure.told = true;
      const drainTimeoutMs = Math.min(DAY_MS, Math.max(0, Math.round(departure.deadlineMs - nowMs)));
      current.link.leaving(create(LeavingSchema, { drainTimeoutMs }));
    }
    if (!departure.aborted && nowMs >= departure.deadlineMs) this.abortDeparted(nowMs, departure);
    if (this.keeper.book.unsettledCount > 0) return;
    departure.handlersEndedMs ??= nowMs;
    const complete =
      this.keeper.settledUp && (current.t === 'Open' ? departure.confirmed && current.link.idle : !this.owesSnapshot);
    if (complete) this.finish();
    else if (nowMs >= this.giveUpDeliveryMs(departure)) this.undelivered();
  }

  private abortDeparted(nowMs: number, departure: Departure): void {
    departure.aborted = true;
    this.keeper.abortAll(nowMs, 'DRAINED', "the drain's deadline has passed");
    // Aborted before, and not settled for so long that it counts as stuck: the worker leaves without it.
    for (const attempt of [...this.keeper.book.all()]) {
      if (attempt.stuck) this.keeper.giveUp(nowMs, attempt, 'the worker leaves');
    }
  }

  private giveUpDeliveryMs(departure: Departure): number {
    const { periods, recycling, disconnectedMs } = this;
    return departure.giveUpDeliveryMs({ periods, recycling, connected: this.current.t === 'Open', disconnectedMs });
  }

  private undelivered(): void {
    const taskIds = this.keeper.outbox.refs().map(({ taskId }) => taskId);
    const message = 'the coordinator has not acknowledged these reports; it will hand the tasks out again';
    if (taskIds.length === 0) {
      this.finish();
      return;
    }
    this.event({ name: 'undelivered', taskIds, message });
    this.finish(`, with ${taskIds.length} results undelivered: their tasks run again`);
  }

  private finish(but = ''): void {
    if (this.recycling) this.exit({ code: EXIT_RECYCLE, message: `a handler is stuck; the process is replaced${but}` });
    else this.exit({ code: 0, message: `${LEFT_WELL}${but}` });
  }

  /** Nothing of what it has to do is overdue. */
  isVital(nowMs: number): boolean {
    // An acknowledgement that is owed may have to wait for a stream that takes nothing, which is given up in its own time.
    return nowMs < this.deadlineMs(false) + OVERDUE_MS;
  }

  /**
   * When {@link tick} has something to do next; Infinity: only after another input.
   *
   * @param canWrite False: the stream takes no frame now, and it will be told when it does.
   */
  deadlineMs(canWrite = true): number {
    const { current, departure } = this;
    if (current.t === 'Idle' || current.t === 'Left') return Infinity;
    let deadlineMs = Math.min(this.keeper.deadlineMs(), this.leaseLost ? Infinity : this.leaseEndMs());
    const sooner = (atMs: number) => {
      deadlineMs = Math.min(deadlineMs, atMs);
    };
    if (current.t === 'BackingOff') sooner(current.dialAtMs);
    if (current.t === 'Dialling' || current.t === 'AwaitingWelcome') sooner(current.giveUpAtMs);
    if (current.t === 'Superseded') sooner(current.exitAtMs);
    if (current.t === 'Open') {
      sooner(this.heartbeatAtMs);
      sooner((current.link.oldestUnackedMs() ?? Infinity) + current.ackTimeoutMs);
      if (canWrite) sooner(current.link.ackDueMs());
    }
    if (this.recycling && this.keeper.book.unsettledCount > 0) sooner(this.blockedForGraceMs());
    if (departure !== undefined) {
      if (!departure.aborted) sooner(departure.deadlineMs);
      if (departure.handlersEndedMs !== undefined) sooner(this.giveUpDeliveryMs(departure));
    }
    return deadlineMs;
  }

  /** The next frame to write now; undefined if there is nothing to say. Ask again until then, as long as the stream takes it. */
  takeFrame(nowMs: number): ConnectRequest | undefined {
    const { current } = this;
    if (current.t !== 'AwaitingWelcome' && current.t !== 'Open') return undefined;
    if (current.t === 'Open') this.keeper.offerTo(current.link);
    return current.link.next(nowMs);
  }

  private dial(nowMs: number): void {
    this.sessionNumber += 1;
    const { sessionNumber } = this;
    const halfLeaseMs = this.leaseMs === undefined ? Infinity : this.leaseMs / 2;
    const giveUpAtMs = nowMs + Math.min(this.periods.welcomeTimeoutMs, halfLeaseMs);
    this.setState({ t: 'Dialling', sessionNumber, giveUpAtMs });
    this.effects.push({ kind: 'dial', sessionNumber });
  }

  private welcomed(
    nowMs: number,
    { sessionNumber, link, hello }: Extract<SessionState, { t: 'AwaitingWelcome' }>,
    welcome: Welcome,
  ): void {
    const { leaseMs, heartbeatIntervalMs, stuckGraceMs, coordinatorVersion } = welcome;
    if (leaseMs <= 0 || heartbeatIntervalMs <= 0) {
      this.drop(nowMs, 'INTERNAL', 'INVALID_WELCOME', 'the welcome names no lease or no heartbeat interval');
      return;
    }
    this.leaseMs = leaseMs;
    this.holdMs = 0;
    if (nowMs >= this.leaseEndMs()) {
      // What comes with it may already run elsewhere.
      this.drop(nowMs, 'DEADLINE_EXCEEDED', 'WELCOME_TIMEOUT', `the welcome came ${leaseMs} ms after hello, or later`);
      return;
    }
    this.failures = 0;
    this.leaseLost = false;
    this.owesSnapshot = false;
    this.disconnectedMs = undefined;
    if (stuckGraceMs > 0) this.stuckGraceMs = stuckGraceMs;
    // Many workers of one network see it fail at the same moment: they must not all come back at the same moment.
    const ackTimeoutMs = (leaseMs / 2) * (0.9 + 0.2 * this.deps.random());
    this.setState({ t: 'Open', sessionNumber, link, sinceMs: nowMs, heartbeatIntervalMs, ackTimeoutMs });
    this.heartbeatAtMs = nowMs;
    this.departure?.streamOpened();
    this.keeper.reconcile(nowMs, welcome, hello.unsentReports satisfies AttemptRef[]);
    this.event({ name: 'welcome', sessionNumber, coordinatorVersion, leaseMs, heartbeatIntervalMs });
  }

  private drop(nowMs: number, code: string, reason: string, message: string): void {
    if ('sessionNumber' in this.current) {
      this.effects.push({ kind: 'hangUp', sessionNumber: this.current.sessionNumber, gently: false });
    }
    this.retry(nowMs, { code, reason, message });
  }

  /** The stream is gone; the handlers run on, and the next dial comes after a back-off. */
  private retry(nowMs: number, end: StreamEnd): void {
    const { current } = this;
    if (current.t === 'Open' && nowMs - current.sinceMs >= this.periods.stableMs) this.backoff.reset();
    const { deniedBackoffMs } = this.periods;
    const denied = DENIED_CODES.has(end.code);
    const waitMs = denied ? deniedBackoffMs * (0.5 + this.deps.random()) : this.backoff.nextMs();
    this.setState({ t: 'BackingOff', dialAtMs: nowMs + waitMs });
    this.lost(nowMs, end, waitMs);
  }

  private lost(nowMs: number, end: StreamEnd, retryInMs: number | undefined): void {
    this.failures += 1;
    this.disconnectedMs ??= nowMs;
    this.heartbeatAtMs = Infinity;
    if (this.departure !== undefined) this.dropWaiting();
    this.event({ name: 'disconnected', sessionNumber: this.sessionNumber, ...end, retryInMs, failures: this.failures });
  }

  private superseded(nowMs: number, message: string): void {
    this.setState({ t: 'Superseded', exitAtMs: nowMs + this.periods.supersededMs, message });
    this.event({ name: 'superseded', message });
    this.keeper.intake = 'closed';
    this.keeper.abortAll(nowMs, 'SUPERSEDED', message);
    // Whatever they return belongs to nobody: their attempts move when the lease of this incarnation is over.
    this.keeper.discardAll();
  }

  private exit(exit: SessionExit): void {
    if ('sessionNumber' in this.current) {
      this.effects.push({ kind: 'hangUp', sessionNumber: this.current.sessionNumber, gently: true });
    }
    this.setState({ t: 'Left', exit });
    this.effects.push({ kind: 'exit', exit });
  }

  private dropWaiting(): void {
    if (this.keeper.dropWaiting()) this.owesSnapshot = true;
  }

  private event(event: SessionEvent): void {
    this.effects.push({ kind: 'event', event });
  }

  private setState(state: SessionState): void {
    this.current = state;
  }
}

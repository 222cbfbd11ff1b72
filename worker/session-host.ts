import { payloadContent } from '../proto/payload.js';
import type { OpenStream, WorkerStream } from './grpc-stream.js';
import type { SessionEffect } from './session-effects.js';
import type { SessionMachine, WorkerLoad } from './session-machine.js';
import type { FromHandlers, FromSession, RunMessage, SessionEvent, SessionExit } from './session-messages.js';

/** What a host needs. */
export interface SessionHostOptions {
  readonly machine: SessionMachine;
  readonly open: OpenStream;
  /** Sends to the handlers' side; `transfer` lists buffers that may be moved. Must not call back before it returns. */
  readonly post: (message: FromSession, transfer: ArrayBuffer[]) => void;
  /**
   * The handlers run on this same loop, and may block it as soon as they are entered: the coordinator is told that they have
   * started before they do. Otherwise a task that blocks worker after worker would never be charged with one.
   */
  readonly handlersBeside: boolean;
  readonly measure: () => WorkerLoad;
  readonly onEvent: (event: SessionEvent) => void;
  readonly onExit: (exit: SessionExit) => void;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** setTimeout takes no longer waits. */
const TIMER_MS_MAX = 2_147_483_647;

/** Hosts a session machine over real streams and timers. All that arrives in one turn of the loop leaves in one flush. */
export class SessionHost {
  private stream: { readonly sessionNumber: number; readonly stream: WorkerStream } | undefined;
  private timer: NodeJS.Timeout | undefined;
  private flushDue = false;
  private over = false;

  constructor(private readonly options: SessionHostOptions) {}

  /** Begins to dial. */
  start(): void {
    this.options.machine.start(this.options.nowMs());
    this.wake();
  }

  /** It holds attempts, or handlers that have not settled. */
  get isBusy(): boolean {
    const { heldCount, unsettledCount } = this.options.machine.keeper.book;
    return heldCount + unsettledCount > 0;
  }

  /** It does what it has to do, on time. */
  get isVital(): boolean {
    return this.options.machine.isVital(this.options.nowMs());
  }

  /** Handlers that have not settled. */
  get runningCount(): number {
    return this.options.machine.keeper.book.unsettledCount;
  }

  /** Asks the machine to leave. */
  leave(drainTimeoutMs: number): void {
    this.options.machine.leave(this.options.nowMs(), drainTimeoutMs);
    this.wake();
  }

  /** Tells the machine that nobody is left to report to. */
  abandon(): void {
    this.options.machine.abandon(this.options.nowMs());
    this.wake();
  }

  /** What the handlers' side says about its attempts. */
  hear(message: Extract<FromHandlers, { t: 'started' | 'settled' | 'progress' }>): void {
    const { machine, nowMs } = this.options;
    if (message.t === 'started') machine.started(nowMs(), message.key);
    else if (message.t === 'settled') machine.settled(nowMs(), message.key, message.settlement, message.runMs);
    else machine.progress(message.key, message.number, message);
    this.wake();
  }

  /** The handlers' loop was asked for a sign of life, or has given it. */
  loopWatched(what: 'asked' | 'answered'): void {
    const { machine, nowMs } = this.options;
    if (what === 'asked') machine.loopAsked(nowMs());
    else machine.loopAnswered();
    // While a stuck handler is dealt with, the machine has something to decide on it.
    this.wake();
  }

  private wake(): void {
    if (this.flushDue || this.over) return;
    this.flushDue = true;
    setImmediate(() => {
      this.flushDue = false;
      this.flush();
    });
  }

  private flush(): void {
    if (this.over) return;
    const { machine, nowMs } = this.options;
    machine.tick(nowMs());
    this.doEffects();
    for (;;) {
      const { stream } = this;
      if (stream?.stream.writable !== true) break;
      const frame = machine.takeFrame(nowMs());
      if (frame === undefined) break;
      stream.stream.write(frame);
    }
    if (!this.over) this.setTimer();
  }

  private setTimer(): void {
    clearTimeout(this.timer);
    const deadlineMs = this.options.machine.deadlineMs(this.stream?.stream.writable === true);
    if (deadlineMs === Infinity) return;
    const waitMs = Math.min(TIMER_MS_MAX, Math.max(1, Math.ceil(deadlineMs - this.options.nowMs())));
    this.timer = setTimeout(() => this.wake(), waitMs);
  }

  private doEffects(): void {
    for (
      let effects = this.options.machine.takeEffects();
      effects.length > 0;
      effects = this.options.machine.takeEffects()
    ) {
      for (const effect of effects) this.doEffect(effect);
    }
  }

  private doEffect(effect: SessionEffect): void {
    const { machine, post } = this.options;
    switch (effect.kind) {
      case 'dial':
        this.dial(effect.sessionNumber);
        break;
      case 'hangUp':
        if (this.stream?.sessionNumber !== effect.sessionNumber) break;
        this.stream.stream.close(effect.gently);
        this.stream = undefined;
        break;
      case 'run':
        this.run(effect);
        break;
      case 'abort':
        post({ t: 'abort', key: effect.key, cause: effect.cause, message: effect.message }, []);
        break;
      case 'draining':
        post({ t: 'draining' }, []);
        break;
      case 'measure':
        machine.load(this.options.measure());
        break;
      case 'event':
        this.options.onEvent(effect.event);
        break;
      case 'exit':
        this.over = true;
        clearTimeout(this.timer);
        this.options.onExit(effect.exit);
        break;
    }
  }

  private dial(sessionNumber: number): void {
    const { machine, nowMs } = this.options;
    const isCurrent = () => this.stream?.sessionNumber === sessionNumber;
    const stream = this.options.open({
      onFrame: (frame) => {
        machine.frame(nowMs(), sessionNumber, frame);
        this.wake();
      },
      onWritable: () => this.wake(),
      onEnd: (end) => {
        if (isCurrent()) this.stream = undefined;
        machine.ended(nowMs(), sessionNumber, end);
        this.wake();
      },
    });
    this.stream = { sessionNumber, stream };
    // grpc-js keeps what is written until the connection stands, so hello need not wait for it.
    machine.opened(sessionNumber);
  }

  private run({ tasks, maxResultBytes }: Extract<SessionEffect, { kind: 'run' }>): void {
    const transfer: ArrayBuffer[] = [];
    const messages = tasks.map(({ key, assignment }): RunMessage => {
      const content = payloadContent(assignment.payload);
      // The bytes are a view of the whole frame: without a copy a thread would be sent all of it for each task, and a handler
      // beside the session could write into its neighbour's.
      const data = new Uint8Array(content.data);
      transfer.push(data.buffer);
      return {
        key,
        taskId: assignment.attempt?.taskId ?? '',
        attempt: assignment.attempt?.attempt ?? 0,
        type: assignment.type,
        contentType: content.contentType,
        data,
        metadata: assignment.metadata,
        traceparent: assignment.traceparent,
        failureCount: assignment.failureCount,
        maxResultBytes,
      };
    });
    const { machine, post, handlersBeside, nowMs } = this.options;
    post({ t: 'run', tasks: messages }, transfer);
    if (handlersBeside) for (const { key } of tasks) machine.started(nowMs(), key);
  }
}

import { EventEmitter } from 'node:events';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { DAY_MS } from '../proto/bounds.js';
import { Deferred } from '../proto/deferred.js';
import type { JournalPath } from '../proto/journal.js';
import type { ServiceManagerAddress } from '../proto/service-manager.js';
import type { IncarnationFiles } from './incarnation-files.js';
import { endGroupAtExit } from './own-group.js';
import { Runner } from './runner.js';
import { SessionLog } from './session-log.js';
import type { FromSession, SessionEvent, SessionExit } from './session-messages.js';
import type { SessionOptions } from './session-options.js';
import type { SessionPort, SessionPortListener } from './session-port.js';
import type { SessionSetup } from './session-setup.js';
import { MAX_ENDING_MESSAGE_BYTES, type Supervision } from './supervision.js';
import { parseHandler, type RegisteredHandler, type TaskHandler, type TaskHandlerOptions } from './task-handler.js';
import { ThreadPort } from './thread-port.js';
import { cut } from './thrown.js';
import { packageVersion } from '../proto/package-version.js';
import { newIncarnation, type CompiledWorkerOptions } from './worker-options.js';

/** What a process that is its worker's own has from those who started it. */
export interface OwnedProcess {
  readonly logLevel: string;
  /** How standard output comes into the systemd journal. Undefined: it does not. */
  readonly journal: JournalPath | undefined;
  /** Who is told that it is ready, how it is, and that it makes progress. Undefined: nobody, as under a supervisor. */
  readonly serviceManager?: ServiceManagerAddress | undefined;
  /** Where the incarnations are that this process replaces. Undefined: nowhere, as under a supervisor. */
  readonly incarnations?: IncarnationFiles | undefined;
}

/** What only the `remuda-worker` program says. */
export interface ProcessOptions {
  /** From the supervisor. Default: nobody supervises, and the incarnation is made here. */
  readonly supervised?: Supervision | undefined;
  /** The process is the worker's own: its session writes the log itself and may end the process. */
  readonly ownsProcess?: OwnedProcess | undefined;
  /** Runs before the worker says hello, while its supervisor is watched already. */
  readonly beforeHello?: (() => Promise<void>) | undefined;
}

/** Options of {@link FleetWorker.stop}. */
export interface StopOptions {
  /** How long handlers may run on before their signals abort, in milliseconds, 0 to 86,400,000. Default 300,000. */
  readonly drainTimeoutMs?: number;
}

/** The events of a worker, by name. */
export type WorkerEventName = SessionEvent['name'] | 'left';

/** start() without a handler: starting again would not help. */
export class NoHandlersError extends Error {
  override readonly name = 'NoHandlersError';
}

/** What a listener of an event is given. */
export type WorkerEvent<N extends WorkerEventName> = N extends 'left'
  ? SessionExit
  : Extract<SessionEvent, { name: N }>;

/** A drain's default deadline in milliseconds. */
export const DRAIN_TIMEOUT_MS = 300_000;
const TYPES_MAX = 256;
/** Of a process that is one worker, among the places of {@link IncarnationFiles}. */
const OWN_PLACE = 'own';

/**
 * A worker: handlers on this thread, the session in another or beside them. Made by {@link createWorker}.
 *
 * Events: `welcome` (also after each reconnect), `disconnected`, `hold`, `lease-lost`, `draining`, `stuck`, `refused-assignment`,
 * `report-refused`, `undelivered`, `superseded`, and `left` when it is over, with `{ code, message }`: 0 after stop() or a
 * drain by the coordinator, 2 refused, 78 superseded, 1 if the session thread failed.
 */
export class FleetWorker {
  private readonly events = new EventEmitter();
  private readonly handlers = new Map<string, RegisteredHandler>();
  private readonly runner: Runner;
  private readonly logger: Logger;
  private readonly incarnation: string;
  private readonly log: SessionLog | undefined;
  private session: SessionPort | undefined;
  private starting: Promise<void> | undefined;
  private readonly welcomed = new Deferred<void>();
  private readonly over = new Deferred<SessionExit>();
  private ended: SessionExit | undefined;

  constructor(
    private readonly options: CompiledWorkerOptions,
    private readonly processOptions: ProcessOptions = {},
  ) {
    const { workerId, address } = options;
    this.incarnation = processOptions.supervised?.incarnation ?? newIncarnation();
    this.logger = options.logger.child({ worker_id: workerId, incarnation: this.incarnation });
    this.log =
      processOptions.ownsProcess === undefined
        ? new SessionLog(this.logger, address, () => performance.now())
        : undefined;
    this.runner = new Runner({
      handlers: this.handlers,
      logger: this.logger,
      post: (message, transfer) => this.session?.post(message, transfer),
      nowMs: () => performance.now(),
    });
  }

  /** The id that it has in the fleet. */
  get workerId(): string {
    return this.options.workerId;
  }

  /**
   * Adds a handler. Before start() only.
   *
   * @throws TypeError for a type or handler that is none; Error for a type that has one, or after start()
   */
  registerTaskHandler<P = unknown>(type: string, handler: TaskHandler<P> | TaskHandlerOptions<P>): this {
    if (this.handlers.has(type)) throw new Error(`registerTaskHandler("${type}"): the type has a handler already`);
    if (this.starting !== undefined || this.ended !== undefined) {
      throw new Error(`registerTaskHandler("${type}"): the worker has started; register handlers before start()`);
    }
    const faults: string[] = [];
    const registered = parseHandler(type, handler, faults);
    if (registered === undefined) throw new TypeError(`registerTaskHandler: ${faults.join('; ')}`);
    if (this.handlers.size >= TYPES_MAX)
      throw new Error(`registerTaskHandler("${type}"): a worker can offer ${TYPES_MAX} types`);
    this.addHandler(registered);
    return this;
  }

  /** Adds a handler that has been validated; also from `beforeHello`. */
  addHandler(handler: RegisteredHandler): void {
    this.handlers.set(handler.type, handler);
  }

  /** Adds a listener of an event. */
  on<N extends WorkerEventName>(name: N, listener: (event: WorkerEvent<N>) => void): this {
    this.events.on(name, listener);
    return this;
  }

  /** Removes a listener. */
  off<N extends WorkerEventName>(name: N, listener: (event: WorkerEvent<N>) => void): this {
    this.events.off(name, listener);
    return this;
  }

  /**
   * Begins to dial, and goes on doing so until stop(). Fulfilled at the first welcome; a repeat returns the same promise.
   *
   * @throws Error without handlers, after stop(), and when the worker is over before its first welcome
   */
  start(): Promise<void> {
    if (this.starting !== undefined) return this.starting;
    if (this.ended !== undefined)
      return Promise.reject(new Error('start(): the worker has been stopped; create a new one'));
    if (this.handlers.size === 0 && this.processOptions.beforeHello === undefined) {
      return Promise.reject(new NoHandlersError('start(): no handlers; call registerTaskHandler() first'));
    }
    this.starting = this.run();
    return this.starting;
  }

  /**
   * Leaves: takes nothing new, lets handlers finish until the deadline, delivers the reports. Fulfilled when the worker has
   * left, with how it ended. Before start() and as a repeat it does nothing but bring the deadline forward.
   */
  async stop({ drainTimeoutMs = DRAIN_TIMEOUT_MS }: StopOptions = {}): Promise<SessionExit> {
    if (!(drainTimeoutMs >= 0 && drainTimeoutMs <= DAY_MS)) {
      throw new RangeError(`stop(): drainTimeoutMs is ${drainTimeoutMs}; it must be from 0 to ${DAY_MS}`);
    }
    if (this.session === undefined) this.end({ code: 0, message: 'it had not been started' });
    else {
      this.session.keepAlive(true);
      this.session.post({ t: 'leave', drainTimeoutMs }, []);
    }
    return this.over.promise;
  }

  /**
   * Opens the session before start(), without dialling: a supervisor is heard and can be told from here on. It does not keep the
   * process alive. For a session in a thread: one beside the handlers has a library to load first.
   */
  openEarly(): void {
    this.session = this.openThread();
    this.session.keepAlive(false);
  }

  /** Lets the supervisor, if there is one, know why the process is about to end, before it returns. */
  sayEnding({ code, message }: SessionExit): void {
    if (this.processOptions.supervised === undefined) return;
    this.session?.sayEnding({ code, message: cut(message, MAX_ENDING_MESSAGE_BYTES) });
  }

  /** Fulfilled when the worker is over, for whatever reason. */
  get left(): Promise<SessionExit> {
    return this.over.promise;
  }

  /** How it ended; undefined while it has not. */
  get exit(): SessionExit | undefined {
    return this.ended;
  }

  private async run(): Promise<void> {
    // A thread is there at once, so that stop() in this turn finds it.
    if (this.options.session === 'thread') this.session ??= this.openThread();
    const session = this.session ?? (await this.openInline());
    session.keepAlive(true);
    await this.processOptions.beforeHello?.();
    this.requireNotEnded();
    if (this.options.workerIdIsDefault) {
      this.logger.warn(
        `worker_id ${this.workerId} is not stable: it has the process id in it; set one to be known after a restart`,
      );
    }
    session.post({ t: 'start', options: this.sessionOptions(this.replaced()) }, []);
    await this.welcomed.promise;
  }

  private requireNotEnded(): void {
    if (this.ended !== undefined) throw new Error('the worker was stopped before it had started');
  }

  private openThread(): SessionPort {
    return new ThreadPort(this.sessionSetup(), this.sessionListener());
  }

  private async openInline(): Promise<SessionPort> {
    // It brings grpc-js and protobuf-es, which this thread does without when the session has a thread of its own.
    const { InlinePort } = await import('./inline-port.js');
    this.requireNotEnded();
    const clock = { nowMs: () => performance.now(), random: Math.random };
    this.session = new InlinePort(this.sessionSetup(), this.sessionListener(), clock);
    return this.session;
  }

  private sessionSetup(): SessionSetup {
    const { ownsProcess, supervised } = this.processOptions;
    return {
      pulseMs: supervised?.pulseMs,
      serviceManager: ownsProcess?.serviceManager,
      ownsProcess: ownsProcess !== undefined,
      killWhenStuck: this.options.onStuck === 'exit',
      log: ownsProcess === undefined ? undefined : { level: ownsProcess.logLevel, journal: ownsProcess.journal },
      supervisorFd: supervised?.fd,
      ownGroup: supervised?.ownGroup === true,
    };
  }

  private sessionListener(): SessionPortListener {
    return {
      onMessage: (message) => this.hear(message),
      onFailure: (error) => this.sessionFailed(error),
    };
  }

  /** Incarnations that have ended, of which the coordinator is told by the hello. */
  private replaced(): readonly string[] {
    const { supervised, ownsProcess } = this.processOptions;
    const incarnations = ownsProcess?.incarnations;
    if (supervised !== undefined || incarnations === undefined) return supervised?.replaces ?? [];
    const replaces = incarnations.ended(OWN_PLACE);
    incarnations.started(OWN_PLACE, this.incarnation, process.pid, replaces);
    this.events.once('welcome', () => incarnations.started(OWN_PLACE, this.incarnation, process.pid, []));
    return replaces;
  }

  private sessionOptions(replaces: readonly string[]): SessionOptions {
    const { workerId, address, labels, slots, prefetch, onStuck } = this.options;
    const taskTypes = [...this.handlers.values()].map((handler) => ({
      type: handler.type,
      slots: Math.min(handler.slots, slots),
      timeoutMs: handler.timeoutMs,
    }));
    return {
      workerId,
      address,
      labels,
      slots,
      prefetch,
      onStuck,
      taskTypes,
      incarnation: this.incarnation,
      replaces,
      version: packageVersion(),
      host: hostname().slice(0, 253),
      pid: process.pid,
    };
  }

  private hear(message: FromSession): void {
    switch (message.t) {
      case 'run':
        this.runner.run(message.tasks);
        break;
      case 'abort':
        this.runner.abort(message.key, message.cause, message.message);
        break;
      case 'draining':
        this.runner.drain();
        break;
      case 'orphaned':
        if (this.processOptions.supervised?.ownGroup === true) endGroupAtExit();
        break;
      case 'event':
        this.log?.write(message.event);
        if (message.event.name === 'welcome') this.welcomed.resolve();
        this.events.emit(message.event.name, message.event);
        break;
      case 'exit':
        this.end(message.exit);
        break;
    }
  }

  private sessionFailed(error: Error): void {
    this.logger.fatal({ err: error }, 'the session thread failed; this worker is over');
    this.end({ code: 1, message: `the session thread failed: ${error.message}` });
  }

  private end(exit: SessionExit): void {
    if (this.ended !== undefined) return;
    this.ended = exit;
    this.runner.abortAll('WORKER_FAILED', exit.message);
    this.welcomed.reject(new Error(`the worker is over before its first welcome: ${exit.message}`));
    this.over.resolve(exit);
    this.events.emit('left', exit);
  }
}

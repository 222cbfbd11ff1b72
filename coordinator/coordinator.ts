import type { Logger } from 'pino';
import { packageVersion } from '../proto/package-version.js';
import { within } from '../proto/within.js';
import type { CoordinatorConfig } from './config.js';
import { CORE_DEFAULTS } from './core/config.js';
import type { FleetGlance as CoreGlance } from './core/fleet-glance.js';
import type { ProcessEnd } from './core/inputs.js';
import type { CoreEvent } from './core/outputs.js';
import { Engine } from './engine.js';
import type { DiskRoom } from './free-space.js';
import { GrpcServer } from './grpc-server.js';
import { HttpServer, type HttpText } from './http/http-server.js';
import { cannotListen, formatAddress } from './listen-address.js';
import { CoreEventLog } from './logging.js';
import { Metrics, type MetricsAddition } from './metrics.js';
import type { Purged } from './retention.js';
import { systemRandom, systemRuntime } from './runtime.js';
import { callInterrupted, refused } from './services/asking.js';
import { FleetServiceImplementation } from './services/fleet-service.js';
import { Health } from './services/health.js';
import { TaskServiceImplementation } from './services/task-service.js';
import { coordinatorStopping, SessionHost } from './session/session-host.js';
import { openStore, storeDefaults } from './store/open-store.js';
import type { Store } from './store/store.js';

export interface CoordinatorDeps {
  readonly log: Logger;
  /** The coordinator must not go on, and neither must its process: exit with this code, at once. */
  readonly onFatal: (error: Error, exitCode: number) => void;
  /** Told of all that happens. Default: nobody. */
  readonly observer?: CoordinatorObserver;
  /** What the HTTP side serves beside its own pages: path, and what makes the text for each GET. Default: nothing. */
  readonly routes?: ReadonlyMap<string, () => HttpText>;
  /** Adds metrics to those of /metrics. Default: none. */
  readonly metrics?: MetricsAddition;
  /** Why /readyz should say no beside the coordinator's own reasons; null: it should not. Default: never. */
  readonly notReady?: () => string | null;
}

/**
 * Somebody in the same thread who follows what happens. The calls come from inside the engine's loop: they must be short, must
 * not wait, and what they throw is taken for a bug of the coordinator (onFatal).
 */
export interface CoordinatorObserver {
  /** Something has happened, and is durable. Each, in order. */
  onEvent(event: CoreEvent): void;
  /**
   * A batch is durable and its events have been told. Nothing of it has left yet: whoever has an answer, an acknowledgement or an
   * assignment finds that the observer has heard of it.
   */
  onSettled(): void;
  /** The store refuses what it may take later, as the message says; null: it takes everything again. */
  onStoreTrouble(message: string | null): void;
  /** The store's disk has too little free for new tasks, while what runs can still finish; null: it has enough again. */
  onDiskLow(disk: DiskRoom | null): void;
}

/** The state of now, for who shares the coordinator's thread. */
export interface FleetGlance extends CoreGlance {
  /** Why new work is refused; null: it is not. */
  readonly refusal: Engine['refusal'];
}

/** Where a started coordinator is reached: as told, with real ports. */
export interface CoordinatorAddresses {
  /** Of several sockets that were passed, all: separated by a comma and a space. */
  readonly listen: string;
  /** Null: there is no HTTP side. */
  readonly http: string | null;
}

const MIB = 1_048_576;
/** What arrives and is not in a batch yet, and what one batch takes. */
const INBOX = { maxInputs: 16_384, maxBytes: 64 * MIB, batchInputs: 2_048, batchBytes: 8 * MIB };
/** Streams beyond the known workers: of those that come back before we know that they were gone, and of strangers. */
const SPARE_SESSIONS = 1_024;
/** How long the store may take to note that what runs is held. */
const HOLD_COMMIT_MS = 1_000;
/** How long a faulty process waits for the store's thread. */
const ABANDON_MS = 1_000;

const READY = (): null => null;
const NO_ROUTES: ReadonlyMap<string, () => HttpText> = new Map();

/** The composition root: builds the coordinator, starts and stops it. One life each. */
export class Coordinator {
  readonly #config: CoordinatorConfig;
  readonly #log: Logger;
  readonly #eventLog: CoreEventLog;
  readonly #observer: CoordinatorObserver | undefined;
  readonly #store: Store;
  readonly #engine: Engine;
  readonly #sessions: SessionHost;
  readonly #tasks: TaskServiceImplementation;
  readonly #metrics: Metrics;
  readonly #health = new Health();
  readonly #grpc: GrpcServer;
  readonly #http: HttpServer | null;
  #diskIsLow = false;
  #stopped: Promise<void> | undefined;

  constructor(config: CoordinatorConfig, deps: CoordinatorDeps) {
    const { log, onFatal, observer } = deps;
    const version = packageVersion();
    const runtime = systemRuntime;
    const { maxPayloadBytes, heartbeatIntervalMs, leaseMs, stuckGraceMs } = config;
    const { maxOpenTasks, headStartMs, balancing, maxWorkers } = config;
    const onBug = (error: unknown): void => {
      log.error({ err: error }, 'bug');
    };
    this.#config = config;
    this.#log = log;
    this.#observer = observer;
    this.#eventLog = new CoreEventLog(log, () => runtime.now().monoMs);
    this.#store = openStore(config.store, config.maxStoreBytes);
    this.#engine = new Engine({
      store: this.#store,
      config: { ...CORE_DEFAULTS, maxOpenTasks, leaseMs, stuckGraceMs, headStartMs, balancing, maxWorkers },
      random: systemRandom,
      runtime,
      inbox: INBOX,
      retention: { maxAcknowledged: storeDefaults(config.store).maxAcknowledged },
      onFatal,
      onEvent: (event) => {
        this.#onEvent(event);
      },
      onSettled: () => observer?.onSettled(),
      onBatch: (batch) => {
        this.#metrics.onBatch(batch);
      },
      onPurged: (purged) => {
        this.#onPurged(purged);
      },
      onStoreTrouble: (message) => {
        this.#onStoreTrouble(message);
      },
      minFreeBytes: config.minFreeBytes,
      onDiskLow: (disk) => {
        this.#onDiskLow(disk);
      },
    });
    const engine = this.#engine;
    this.#sessions = new SessionHost({
      inbox: engine,
      runtime,
      terms: { heartbeatIntervalMs, leaseMs, stuckGraceMs, maxPayloadBytes, version },
      maxSessions: maxWorkers + SPARE_SESSIONS,
      refusal: () => (engine.refusal?.reason === 'COORDINATOR_STOPPING' ? refused(engine.refusal) : null),
      onEnd: (end) => {
        logSessionEnd(log, end);
      },
    });
    this.#tasks = new TaskServiceImplementation({ engine, runtime, maxPayloadBytes, onBug });
    const fleet = new FleetServiceImplementation({
      engine,
      runtime,
      version,
      startWallMs: runtime.now().wallMs,
      onBug,
    });
    this.#metrics = this.#makeMetrics(deps);
    const services = [this.#sessions, this.#tasks, fleet, this.#health];
    this.#grpc = new GrpcServer({
      listen: config.listen,
      insecure: config.insecure,
      maxPayloadBytes,
      services,
    });
    this.#http = this.#makeHttp(deps, onBug);
  }

  #makeMetrics({ metrics }: CoordinatorDeps): Metrics {
    const engine = this.#engine;
    return new Metrics({
      add: metrics,
      version: packageVersion(),
      stats: () => engine.stats(),
      store: () => engine.storeCounts(),
      disk: storeDefaults(this.#config.store).isDurable ? () => engine.disk : null,
      sessions: () => this.#sessions.figures,
      inboxSize: () => engine.inboxSize,
      waiting: () => this.#tasks.figures,
    });
  }

  #makeHttp(
    { routes = NO_ROUTES, notReady: notReadyToo = READY }: CoordinatorDeps,
    onBug: (error: unknown) => void,
  ): HttpServer | null {
    const { http: listen } = this.#config;
    if (listen === null) return null;
    const notReady = (): string | null => this.#engine.refusal?.message ?? notReadyToo();
    return new HttpServer({ listen, routes, notReady, onBug, metrics: () => this.#metrics.scrape() });
  }

  /**
   * Opens the store, takes up what had not ended, and listens, or accepts on the sockets that were passed.
   *
   * @throws StoreError, or Error from a socket, with what to do; call {@link stop} then, too
   */
  async start(): Promise<CoordinatorAddresses> {
    await this.#engine.start(this.#sessions);
    this.#checkStarting();
    const listen = (await this.#grpc.listen()).map(formatAddress).join(', ');
    this.#checkStarting();
    this.#engine.listening();
    const http = await this.#startHttp();
    this.#checkStarting();
    this.#health.set('SERVING');
    this.#logUnusedAddress(listen);
    this.#log.info({ listen, http, store: this.#config.store, version: packageVersion() }, 'ready');
    return { listen, http };
  }

  /**
   * Says that the process of a worker has ended, from who has seen it end. What it held goes elsewhere, once its stream has been
   * read to its end (at most 1 s later): charged as a crash where it had been started and `died` by itself, free of charge where it
   * was `killed` on purpose. The incarnation may not come (back).
   */
  processEnded(incarnation: string, how: ProcessEnd): void {
    this.#engine.processEnded(incarnation, how);
  }

  /** From now on nothing is handed out: before a stop that lets what runs finish. Nobody can take it back. */
  stopDispatch(): void {
    this.#engine.stopDispatch();
  }

  /** Which of these tasks have ended, and are still kept. */
  endedAmong(taskIds: readonly string[]): Promise<string[]> {
    return this.#engine.endedAmong(taskIds);
  }

  /**
   * Looks at the state of now, without a copy. Cheap enough for every batch. Within {@link CoordinatorObserver.onSettled} it is what
   * is durable; at other times it may be one batch ahead of the store.
   */
  glance(): FleetGlance {
    return { ...this.#engine.glance(), refusal: this.#engine.refusal };
  }

  /** How long the batch that is underway has been, in milliseconds; 0: none is. */
  get batchMs(): number {
    return this.#engine.batchMs;
  }

  /** Why new tasks are refused, for people; null: they are not. */
  get refusing(): string | null {
    const { refusal } = this.#engine;
    if (refusal !== null) return refusal.message;
    if (this.#diskIsLow) return 'the disk of the store has too little room left';
    const { usedBytes, limitBytes } = this.#engine.storeCounts();
    // A large one is refused before the bound is reached.
    const isFull = limitBytes - usedBytes < this.#config.maxPayloadBytes;
    return isFull ? 'the store is full, or has no room for a large one (--max-store-bytes)' : null;
  }

  /** Dead letters that the store keeps. */
  get deadLetters(): number {
    return this.#engine.storeCounts().deadLetters;
  }

  /** Stops in good order: answers what has arrived, ends the streams, closes the store. Idempotent; also after a failed start. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /**
   * Lets go of the store, at most {@link ABANDON_MS} later, with nothing else put in order: before the process exits because of
   * a fault.
   *
   * @returns False if the store's thread is still in a call.
   */
  async abandon(): Promise<boolean> {
    return within(
      this.#store.close().catch(() => undefined),
      ABANDON_MS,
    );
  }

  async #stop(): Promise<void> {
    this.#grpc.stopAccepting();
    this.#health.set('NOT_SERVING');
    await this.#announceReturn();
    this.#tasks.stop(callInterrupted());
    this.#sessions.stop(coordinatorStopping());
    // Whoever arrives from now on is refused; what has arrived is answered before the server shuts down.
    await this.#engine.stop();
    await this.#grpc.shutDown();
    await this.#http?.stop();
  }

  /** What runs may run on while the coordinator is away for a while; with a store that forgets, nobody would want it any more. */
  async #announceReturn(): Promise<void> {
    const { restartHoldMs, leaseMs, store } = this.#config;
    if (restartHoldMs <= leaseMs || !storeDefaults(store).isDurable) return;
    // A store that does not take it now must not hold up the stop: workers then keep what runs for their lease alone.
    let holds = false;
    const held = this.#engine.hold(restartHoldMs).then((value) => {
      holds = value;
    });
    if (!(await within(held, HOLD_COMMIT_MS)) || !holds) return;
    this.#log.info({ hold_ms: restartHoldMs }, 'workers-hold');
    await this.#sessions.announceReturn(restartHoldMs);
  }

  #checkStarting(): void {
    if (this.#stopped !== undefined) throw new Error('the coordinator was stopped while it started');
  }

  #onEvent(event: CoreEvent): void {
    this.#eventLog.write(event);
    this.#metrics.onEvent(event);
    this.#observer?.onEvent(event);
  }

  #onPurged(purged: Purged): void {
    this.#metrics.onPurged(purged);
    const { deadLetters: count } = purged;
    if (count === 0) return;
    const detail =
      'dead letters were removed that nobody had dealt with, because they were too old or too many; list those that are left, and requeue or delete them';
    this.#log.warn({ count, detail }, 'dead-letters-purged');
  }

  #onStoreTrouble(message: string | null): void {
    this.#metrics.storeRefusing(message !== null);
    if (message === null) this.#log.info('store-recovered');
    else
      this.#log.warn(
        { detail: `${message}; new tasks are refused, and after 30 s the coordinator exits` },
        'store-refuses',
      );
    if (this.#stopped === undefined) this.#health.set(message === null ? 'SERVING' : 'NOT_SERVING');
    this.#observer?.onStoreTrouble(message);
  }

  /** Health and /readyz stay as they are: workers must be able to come back and report. */
  #onDiskLow(disk: DiskRoom | null): void {
    this.#diskIsLow = disk !== null;
    if (disk === null) {
      this.#log.info('disk-recovered');
    } else {
      const { folder, freeBytes, reusableBytes, minFreeBytes } = disk;
      const detail =
        'the disk of the store has too little room left for new tasks, which are refused; what runs still finishes; make room, or lower --min-free-bytes';
      const bytes = { free_bytes: freeBytes, reusable_bytes: reusableBytes, min_free_bytes: minFreeBytes };
      this.#log.warn({ folder, ...bytes, detail }, 'disk-low');
    }
    this.#observer?.onDiskLow(disk);
  }

  /** Who gives an address expects callers there. */
  #logUnusedAddress(used: string): void {
    const { listen } = this.#config;
    if (listen.kind !== 'passed' || listen.unused === null) return;
    const detail =
      'the sockets that were passed at the start (LISTEN_FDS) are used instead of --listen; drop --listen, or start it without them';
    this.#log.warn({ listen: used, unused: formatAddress(listen.unused), detail }, 'listen-unused');
  }

  async #startHttp(): Promise<string | null> {
    const { http } = this.#config;
    if (this.#http === null || http === null) return null;
    try {
      return formatAddress(await this.#http.start());
    } catch (error) {
      throw cannotListen('--http', http, error);
    }
  }
}

function logSessionEnd(log: Logger, { sessionId, workerId, peer, error }: SessionEnd): void {
  const fields = { session_id: sessionId, worker_id: workerId, peer };
  if (error === null) log.debug(fields, 'session-ended');
  else if (error.reason === 'COORDINATOR_STOPPING') log.debug({ ...fields, reason: error.reason }, 'session-ended');
  else log.warn({ ...fields, reason: error.reason, detail: error.message }, 'session-refused');
}

type SessionEnd = Parameters<ConstructorParameters<typeof SessionHost>[0]['onEnd']>[0];

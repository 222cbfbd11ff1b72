import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { packageVersion } from '../proto/package-version.js';
import type { CoordinatorConfig } from './config.js';
import { CORE_DEFAULTS } from './core/config.js';
import { Engine } from './engine.js';
import { HttpServer } from './http/http-server.js';
import { clearStaleSocket, formatAddress, type ListenAddress } from './listen-address.js';
import { logCoreEvent } from './logging.js';
import { Metrics } from './metrics.js';
import { systemRandom, systemRuntime } from './runtime.js';
import { refused } from './services/asking.js';
import { FleetServiceImplementation } from './services/fleet-service.js';
import { addReflection, Health } from './services/health.js';
import { TaskServiceImplementation } from './services/task-service.js';
import { coordinatorStopping, SessionHost } from './session/session-host.js';
import { openStore } from './store/open-store.js';

export interface CoordinatorDeps {
  readonly log: Logger;
  /** The coordinator must not go on, and neither must its process: exit with this code, at once. */
  readonly onFatal: (error: Error, exitCode: number) => void;
}

/** Where a started coordinator is reached: as told, with real ports. */
export interface CoordinatorAddresses {
  readonly listen: string;
  /** Null: there is no HTTP side. */
  readonly http: string | null;
}

const MIB = 1_048_576;
/** What arrives and is not in a batch yet, and what one batch takes. */
const INBOX = { maxInputs: 16_384, maxBytes: 64 * MIB, batchInputs: 2_048, batchBytes: 8 * MIB };
/** What is in flight when a coordinator stops gets this long to be answered. */
const ANSWERS_MS = 1_000;

/** The composition root: builds the coordinator, starts and stops it. One life each. */
export class Coordinator {
  readonly #config: CoordinatorConfig;
  readonly #log: Logger;
  readonly #engine: Engine;
  readonly #sessions: SessionHost;
  readonly #tasks: TaskServiceImplementation;
  readonly #health = new Health();
  readonly #server: Server;
  readonly #http: HttpServer | null;
  #stopped: Promise<void> | undefined;

  constructor(config: CoordinatorConfig, { log, onFatal }: CoordinatorDeps) {
    const version = packageVersion();
    const runtime = systemRuntime;
    const { maxPayloadBytes, heartbeatIntervalMs, leaseMs, stuckGraceMs } = config;
    const { maxOpenTasks, headStartMs, balancing, maxWorkers } = config;
    const onBug = (error: unknown): void => {
      log.error({ err: error }, 'bug');
    };
    this.#config = config;
    this.#log = log;
    this.#engine = new Engine({
      store: openStore(config.store),
      config: { ...CORE_DEFAULTS, maxOpenTasks, leaseMs, stuckGraceMs, headStartMs, balancing, maxWorkers },
      random: systemRandom,
      runtime,
      inbox: INBOX,
      onFatal,
      onEvent: (event) => {
        logCoreEvent(log, event);
        metrics.onEvent(event);
      },
      onBatch: (batch) => {
        metrics.onBatch(batch);
      },
    });
    const engine = this.#engine;
    this.#sessions = new SessionHost({
      inbox: engine,
      runtime,
      terms: { heartbeatIntervalMs, leaseMs, stuckGraceMs, maxPayloadBytes, version },
      refusal: () => (engine.refusal?.reason === 'COORDINATOR_STOPPING' ? refused(engine.refusal) : null),
      onEnd: (end) => {
        logSessionEnd(log, end);
      },
    });
    this.#tasks = new TaskServiceImplementation({ engine, runtime, maxPayloadBytes, onBug });
    const fleet = new FleetServiceImplementation({ engine, version, startWallMs: runtime.now().wallMs, onBug });
    const metrics = new Metrics({
      version,
      stats: () => engine.stats(),
      sessions: () => this.#sessions.figures,
      inboxSize: () => engine.inboxSize,
      waitingCalls: () => this.#tasks.waitingCalls,
    });
    this.#server = new Server(serverOptions(config));
    for (const service of [this.#sessions, this.#tasks, fleet, this.#health]) service.addToServer(this.#server);
    addReflection(this.#server);
    const notReady = (): string | null => engine.refusal?.message ?? null;
    const { http: listen } = config;
    this.#http = listen === null ? null : new HttpServer({ listen, metrics: () => metrics.scrape(), notReady, onBug });
  }

  /**
   * Opens the store, takes up what had not ended, and listens.
   *
   * @throws StoreError, or Error from a socket, with what to do; call {@link stop} then, too
   */
  async start(): Promise<CoordinatorAddresses> {
    await this.#engine.start(this.#sessions);
    const listen = formatAddress(await this.#bind());
    this.#engine.listening();
    const http = await this.#startHttp();
    this.#health.set('SERVING');
    this.#log.info({ listen, http, store: this.#config.store, version: packageVersion() }, 'ready');
    return { listen, http };
  }

  /** Stops in good order: answers what has arrived, ends the streams, closes the store. Idempotent; also after a failed start. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#health.set('NOT_SERVING');
    this.#tasks.stop(coordinatorStopping());
    this.#sessions.stop(coordinatorStopping());
    // First, so that whoever arrives from now on is refused; what has arrived is answered while the server shuts down.
    const engineStopped = this.#engine.stop();
    await engineStopped;
    await this.#shutDownServer();
    await this.#http?.stop();
  }

  async #bind(): Promise<ListenAddress> {
    const { listen } = this.#config;
    try {
      if (listen.kind === 'unix') await clearStaleSocket(listen.path);
      const port = await new Promise<number>((resolve, reject) => {
        this.#server.bindAsync(formatAddress(listen), ServerCredentials.createInsecure(), (error, bound) => {
          if (error === null) resolve(bound);
          else reject(error);
        });
      });
      return listen.kind === 'unix' ? listen : { ...listen, port };
    } catch (error) {
      throw cannotListen('--listen', listen, error);
    }
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

  #shutDownServer(): Promise<void> {
    return new Promise((resolve) => {
      const forget = systemRuntime.after(ANSWERS_MS, () => {
        this.#server.forceShutdown();
      });
      this.#server.tryShutdown(() => {
        forget();
        this.#server.forceShutdown();
        resolve();
      });
    });
  }
}

function serverOptions({ listen, maxPayloadBytes }: CoordinatorConfig): ConstructorParameters<typeof Server>[0] {
  const keepalive = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 20_000 };
  return {
    // A frame holds one payload and what goes with it; 4 MiB is what callers expect of gRPC.
    'grpc.max_receive_message_length': Math.max(4 * MIB, maxPayloadBytes + MIB),
    'grpc.max_send_message_length': -1,
    // On a Unix socket no network can fall silent.
    ...(listen.kind === 'unix' ? {} : keepalive),
  };
}

function cannotListen(flag: string, address: ListenAddress, cause: unknown): Error {
  const text = cause instanceof Error ? cause.message : String(cause);
  const why = text.includes('EADDRINUSE') ? 'another process listens there; stop it, or choose another address' : text;
  return new Error(`cannot listen on ${formatAddress(address)} (${flag}): ${why}`, { cause });
}

function logSessionEnd(log: Logger, { sessionId, workerId, peer, error }: SessionEnd): void {
  const fields = { session_id: sessionId, worker_id: workerId, peer };
  if (error === null) log.debug(fields, 'session-ended');
  else if (error.reason === 'COORDINATOR_STOPPING') log.debug({ ...fields, reason: error.reason }, 'session-ended');
  else log.warn({ ...fields, reason: error.reason, detail: error.message }, 'session-refused');
}

type SessionEnd = Parameters<ConstructorParameters<typeof SessionHost>[0]['onEnd']>[0];

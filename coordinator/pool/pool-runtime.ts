import { Deferred } from '../../proto/deferred.js';
import { DAY_MS } from '../../proto/bounds.js';
import { FleetError } from '../../proto/fleet-error.js';
import { coordinatorConfig } from '../config.js';
import { Coordinator } from '../coordinator.js';
import { childCommand } from './child-command.js';
import { EventPost } from './event-post.js';
import { PoolFleet } from './pool-fleet.js';
import { FiguresReader, FiguresWriter } from './pool-figures.js';
import { poolStartFailed } from './pool-errors.js';
import { openPoolLog, type PoolLog } from './pool-log.js';
import type { FromPool, PlainError, PoolSetup, ToPool } from './pool-messages.js';
import type { PoolHealth } from './pool-metrics.js';
import { addPoolMetrics } from './prometheus.js';
import { poolHealth, poolMetrics } from './pool-view.js';

/** What the pool's thread gives its runtime. */
export interface PoolRuntimeOptions {
  readonly post: (message: FromPool) => void;
  /** Monotonic milliseconds, on the clock that the host has too. */
  readonly nowMs: () => number;
  /** Everything has ended. */
  readonly onOver: () => void;
}

/** How long handlers that were aborted may take before their processes are killed, in milliseconds. */
const ABORTED_MS = 2_000;
const METRICS_PATH = '/metrics/worker-pool';

/** The composition root of a pool's thread: builds it, starts and stops it. One life each. */
export class PoolRuntime {
  readonly #setup: PoolSetup;
  readonly #options: PoolRuntimeOptions;
  readonly #log: PoolLog;
  readonly #coordinator: Coordinator;
  readonly #fleet: PoolFleet;
  readonly #shutdown = new Deferred<void>();
  readonly #closed = new Deferred<void>();
  /** When handlers are aborted, and the timer for it; Infinity: nobody has asked for an end. */
  #endMs = Infinity;
  #timer: NodeJS.Timeout | undefined;
  #failed = false;

  constructor(setup: PoolSetup, options: PoolRuntimeOptions) {
    this.#setup = setup;
    this.#options = options;
    const { post, nowMs } = options;
    const { options: pool, figures: shared } = setup;
    this.#log = openPoolLog({ path: pool.logFile, level: pool.logLevel, nowMs });
    const log = this.#log.logger;
    if (this.#log.warning !== undefined) post({ t: 'warning', message: this.#log.warning });
    const figures = new FiguresWriter(shared);
    const onDropped = (count: number): void => {
      const detail = 'the host program did not take its events: its event loop was blocked, or a listener is too slow';
      log.warn({ count, detail }, 'events-dropped');
    };
    const events = new EventPost(figures, (batch) => post({ t: 'events', events: batch }), onDropped);
    this.#fleet = new PoolFleet({
      options: pool,
      prefix: setup.prefix,
      command: (workerId) => childCommand(workerId, setup, process.execPath),
      output: (workerId) => this.#log.childOutput(workerId),
      source: {
        glance: () => this.#coordinator.glance(),
        processEnded: (incarnation, how) => this.#coordinator.processEnded(incarnation, how),
        stopDispatch: () => this.#coordinator.stopDispatch(),
      },
      figures,
      events,
      log,
      onTypes: (types) => post({ t: 'types', types }),
      nowMs,
    });
    const reader = new FiguresReader(shared);
    const metrics = () => ({
      contentType: 'application/json; charset=utf-8',
      text: `${JSON.stringify(poolMetrics(reader.read(nowMs())))}\n`,
    });
    this.#coordinator = new Coordinator(this.#coordinatorConfig(), {
      log: log.child({ component: 'coordinator' }),
      observer: this.#fleet,
      routes: new Map([[METRICS_PATH, metrics]]),
      metrics: (registry) => addPoolMetrics(registry, () => reader.read(nowMs())),
      notReady: () => notReady(poolHealth(reader.read(nowMs()))),
      onFatal: (error) => this.#fail(error),
    });
  }

  /** Runs the pool to its end. */
  async run(): Promise<void> {
    const { post } = this.#options;
    try {
      const { http } = await this.#startCoordinator();
      await this.#fleet.start();
      this.#tellOpen(http);
      post({ t: 'ready', httpUrl: http === null ? undefined : `http://${http}` });
    } catch (error) {
      this.#log.logger.fatal({ err: error }, 'pool-start-failed');
      this.#fleet.kill();
      await this.#end();
      post({ t: 'startFailed', error: plain(error) });
      this.#options.onOver();
      return;
    }
    await this.#shutdown.promise;
    await this.#fleet.ended();
    clearTimeout(this.#timer);
    post({ t: 'drained' });
    if (!this.#failed) await this.#closed.promise;
    await this.#end();
    post({ t: 'stopped' });
    this.#options.onOver();
  }

  hear(message: ToPool): void {
    const { post } = this.#options;
    switch (message.t) {
      case 'scale':
        void this.#fleet.scale(message.by).then((result) => post({ t: 'scaled', number: message.number, result }));
        break;
      case 'warn':
        this.#log.logger.warn({ detail: message.message }, 'host-warning');
        break;
      case 'shutdown':
        this.#askToEnd(message.graceful ? (message.timeoutMs ?? DAY_MS) : 0);
        break;
      case 'askEnded':
        void this.#tellEnded(message.taskIds);
        break;
      case 'close':
        this.#closed.resolve();
    }
  }

  #coordinatorConfig(): ReturnType<typeof coordinatorConfig> {
    const { options, socketPath } = this.#setup;
    const { httpPort, store, heartbeatInterval, loadBalancing, maxPayloadBytes, logLevel } = options;
    return coordinatorConfig({
      listen: { kind: 'unix', path: socketPath },
      http: httpPort === undefined ? null : { kind: 'tcp', host: '127.0.0.1', port: httpPort },
      store,
      heartbeatIntervalMs: heartbeatInterval,
      balancing: loadBalancing,
      maxPayloadBytes,
      logLevel,
    });
  }

  async #startCoordinator(): ReturnType<Coordinator['start']> {
    try {
      return await this.#coordinator.start();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw poolStartFailed('COORDINATOR_START_FAILED', message);
    }
  }

  /** What runs may take so long; then its handlers are aborted, and a little later their processes are killed. */
  #askToEnd(withinMs: number): void {
    const endMs = this.#options.nowMs() + withinMs;
    if (endMs >= this.#endMs) return;
    this.#endMs = endMs;
    clearTimeout(this.#timer);
    this.#log.logger.info(withinMs < DAY_MS ? { within_ms: withinMs } : {}, 'pool-shutting-down');
    if (withinMs === 0) {
      this.#abort();
    } else {
      this.#fleet.drain();
      this.#timer = setTimeout(() => this.#abort(), withinMs);
    }
    this.#shutdown.resolve();
  }

  #abort(): void {
    this.#fleet.abort();
    this.#timer = setTimeout(() => this.#fleet.kill(), ABORTED_MS);
  }

  /** The coordinator must not go on, and without it neither can the pool. */
  #fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#log.logger.fatal({ err: error }, 'pool-failed');
    this.#options.post({ t: 'failed', message: error.message });
    this.#fleet.kill();
    this.#shutdown.resolve();
  }

  async #tellEnded(taskIds: readonly string[]): Promise<void> {
    try {
      this.#options.post({ t: 'ended', taskIds: await this.#coordinator.endedAmong(taskIds) });
    } catch (error) {
      // The store is at fault: nothing more can be said of them.
      this.#log.logger.warn({ err: error }, 'ends-not-read');
      this.#options.post({ t: 'ended', taskIds: [] });
    }
  }

  #tellOpen(http: string | null): void {
    const { options, socketPath } = this.#setup;
    const { program, poolSize, minWorkers, maxWorkers, store } = options;
    const fields = { size: poolSize, min_workers: minWorkers, max_workers: maxWorkers, store, http };
    this.#log.logger.info({ ...fields, [program.kind]: program.path, address: `unix:${socketPath}` }, 'pool-open');
  }

  async #end(): Promise<void> {
    await this.#fleet.ended();
    if (this.#failed) await this.#coordinator.abandon();
    else await this.#coordinator.stop();
    this.#log.logger.info('pool-closed');
    await this.#log.close();
  }
}

/** Whoever balances over programs like this one sends work to another. */
function notReady({ status, reasons }: PoolHealth): string | null {
  return status === 'unhealthy' ? reasons.join('; ') : null;
}

function plain(error: unknown): PlainError {
  const { code, reason, message, metadata } = FleetError.from(error);
  return { code, reason, message, metadata };
}

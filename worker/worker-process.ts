import { DEFAULT_ADDRESS } from '../client/address.js';
import { DAY_MS } from '../proto/bounds.js';
import { LOG_LEVELS } from '../proto/log-levels.js';
import { programLog } from '../proto/program-log.js';
import { takeServiceManager } from '../proto/service-manager.js';
import { STOP_ON_STDIN_EOF_ENV } from '../proto/stdin-guard.js';
import { incarnationFiles } from './incarnation-files.js';
import {
  DRAIN_TIMEOUT_MS,
  FleetWorker,
  type StopOptions,
  type WorkerEvent,
  type WorkerEventName,
} from './fleet-worker.js';
import { outputFlushed } from './output-flushed.js';
import { failedStart, guardOwnProcess, leftStatus } from './own-process.js';
import { EXIT_REFUSED } from './session-effects.js';
import type { SessionExit } from './session-messages.js';
import { forgetSupervision, journalPath, parseSupervision, runtimeDirectory } from './supervision.js';
import { kindOf, type TaskHandler, type TaskHandlerOptions } from './task-handler.js';
import { compileWorkerOptions, integerFault, workerOptionFaults, type WorkerOptions } from './worker-options.js';

/**
 * What WORKER_CONFIG holds, as JSON: written by the pool for its workers, or by hand into a systemd unit. Keys that are not listed
 * here are ignored, so that programs can put their own beside them.
 */
export interface WorkerProcessConfig {
  /** The coordinator: HOST:PORT or unix:PATH. Default: REMUDA_ADDRESS, or 127.0.0.1:7070. */
  readonly address?: string;
  /** How many handlers run at once, 1 to 1,000. Default 1. */
  readonly slots?: number;
  /** Labels that tasks may require; see {@link WorkerOptions.labels}. Default: none. */
  readonly labels?: Readonly<Record<string, string>>;
  /** How long what runs may take after SIGTERM, in milliseconds, 0 to 86,400,000. Default 300,000. */
  readonly drainTimeout?: number;
  /** `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`. Default `info`. */
  readonly logLevel?: string;
}

/** The worker that this process is. */
let current: string | undefined;
/** Errors of a script that uses the class wrongly before it starts: a fresh process would do so again. */
const misuses = new WeakSet();

/**
 * The worker of a process that is the worker's own, for scripts that register their handlers themselves:
 *
 * ```js
 * const { WorkerProcess } = require('remuda/worker');
 *
 * const worker = new WorkerProcess(process.env.WORKER_ID, JSON.parse(process.env.WORKER_CONFIG));
 * worker.registerTaskHandler('image.resize', async (payload, ctx) => resize(payload, ctx.signal));
 * worker.start();
 * ```
 *
 * It behaves as `remuda-worker` does, and a supervisor treats it as such: JSON lines on standard output; SIGTERM drains, a
 * second one ends at once; a handler that is stuck, or an error that nothing catches, costs the process; the end of the worker is
 * the end of the process. Exit status: 0 left in good order, 1 an error in user code, 2 no handlers, or refused by the coordinator,
 * 78 another process has taken the worker_id. For a worker inside a program that does other things too there is
 * {@link createWorker}.
 */
export class WorkerProcess {
  private readonly worker: FleetWorker;
  private readonly logger;
  private readonly drainTimeoutMs: number;
  private starting: Promise<void> | undefined;

  /**
   * Takes what a supervisor has put into the environment for this process, and removes it there.
   *
   * @param workerId Stable across restarts, unique in the fleet: what the pool says in WORKER_ID
   * @param config What WORKER_CONFIG holds. Default: all defaults
   * @throws TypeError that names everything that is wrong with the id and the config; Error if this process has one already
   */
  constructor(workerId: string, config: WorkerProcessConfig = {}) {
    const { options, drainTimeoutMs, logLevel } = compileConfig(workerId, config);
    if (current !== undefined) {
      const error = new Error(
        `new WorkerProcess("${workerId}"): this process is the worker "${current}" already. For more than one handler at a time ` +
          'set slots in its config; for a second worker use createWorker(), or another process',
      );
      misuses.add(error);
      throw error;
    }
    current = workerId;
    const supervised = parseSupervision(process.env);
    const stopOnStdinEnd = supervised === undefined && process.env[STOP_ON_STDIN_EOF_ENV] === '1';
    const journal = journalPath(1, process.env);
    forgetSupervision(process.env);
    const serviceManager = takeServiceManager(process.env, process.pid);
    const directory = runtimeDirectory(process.env);
    this.drainTimeoutMs = drainTimeoutMs;
    this.logger = programLog(logLevel, { journal });
    this.worker = new FleetWorker(compileWorkerOptions({ ...options, logger: this.logger }), {
      supervised,
      ownsProcess: {
        logLevel,
        journal,
        ...(supervised === undefined ? { serviceManager, incarnations: incarnationFiles(directory, this.logger) } : {}),
      },
    });
    guardOwnProcess(this.worker, {
      logger: this.logger,
      supervised,
      drainTimeoutMs,
      stdin: stopOnStdinEnd ? process.stdin : undefined,
      isFinal: (error) => error instanceof Error && misuses.has(error),
    });
    this.worker.openEarly();
    process.once('beforeExit', () => this.neverStarted());
    void leftStatus(this.worker, undefined, this.logger).then(async (code) => {
      // Whoever waits for stop() in the script has its turn first.
      await new Promise(setImmediate);
      await outputFlushed();
      process.exit(code);
    });
  }

  /** The id that it has in the fleet. */
  get workerId(): string {
    return this.worker.workerId;
  }

  /**
   * Adds a handler. Before start() only.
   *
   * @throws TypeError for a type or handler that is none; Error for a type that has one, or after start()
   */
  registerTaskHandler<P = unknown>(type: string, handler: TaskHandler<P> | TaskHandlerOptions<P>): this {
    try {
      this.worker.registerTaskHandler(type, handler);
    } catch (error) {
      if (error instanceof Error && this.starting === undefined) misuses.add(error);
      throw error;
    }
    return this;
  }

  /** Adds a listener of an event; see {@link FleetWorker}. */
  on<N extends WorkerEventName>(name: N, listener: (event: WorkerEvent<N>) => void): this {
    this.worker.on(name, listener);
    return this;
  }

  /** Removes a listener. */
  off<N extends WorkerEventName>(name: N, listener: (event: WorkerEvent<N>) => void): this {
    this.worker.off(name, listener);
    return this;
  }

  /**
   * Begins to dial, and goes on doing so until stop(). Fulfilled at the first welcome; nobody has to wait for it. It is never
   * rejected: a start that fails is a line in the log and the end of the process. A repeat returns the same promise.
   */
  start(): Promise<void> {
    this.starting ??= this.worker.start().catch((error: unknown) => {
      if (this.worker.exit === undefined) process.exit(failedStart(this.worker, error, this.logger));
      // The process is about to end with the session's own status.
      return new Promise<never>(() => undefined);
    });
    return this.starting;
  }

  /**
   * Leaves, and ends the process: takes nothing new, lets handlers finish until the deadline, delivers the reports. Fulfilled
   * when the worker has left, with how it ended; whoever waits for it has one turn of the loop left.
   */
  async stop(options: StopOptions = {}): Promise<SessionExit> {
    return this.worker.stop({ drainTimeoutMs: this.drainTimeoutMs, ...options });
  }

  /** Nothing is left to be done in the script, and nothing will be. */
  private neverStarted(): void {
    if (this.starting !== undefined || this.worker.exit !== undefined) return;
    const message = `the script of worker "${this.workerId}" has come to its end without start(); call it after registerTaskHandler()`;
    this.logger.fatal(message);
    this.worker.sayEnding({ code: EXIT_REFUSED, message });
    process.exit(EXIT_REFUSED);
  }
}

interface CompiledConfig {
  readonly options: WorkerOptions;
  readonly drainTimeoutMs: number;
  readonly logLevel: string;
}

/** @throws TypeError that names every fault */
function compileConfig(workerId: unknown, config: unknown): CompiledConfig {
  const isConfig = typeof config === 'object' && config !== null && !Array.isArray(config);
  const given = (isConfig ? config : {}) as WorkerProcessConfig;
  const { slots, labels, drainTimeout = DRAIN_TIMEOUT_MS, logLevel = 'info' } = given;
  const address = given.address ?? (process.env['REMUDA_ADDRESS'] || DEFAULT_ADDRESS);
  const options = { address, workerId, slots, labels, prefetch: 0, onStuck: 'exit' } as WorkerOptions;
  const faults = workerOptionFaults({ ...options, workerId: (workerId ?? null) as string });
  if (!isConfig) faults.push(`the config is ${kindOf(config)}; it must be an object, as in WORKER_CONFIG`);
  const drainFault = integerFault('drainTimeout', drainTimeout, 0, DAY_MS);
  if (drainFault !== undefined) faults.push(`${drainFault} (milliseconds)`);
  if (!LOG_LEVELS.some((level) => level === logLevel)) {
    faults.push(`logLevel is ${JSON.stringify(logLevel)}; it must be one of ${LOG_LEVELS.join(', ')}`);
  }
  if (faults.length > 0) throw new TypeError(`new WorkerProcess: ${faults.join('; ')}`);
  return { options, drainTimeoutMs: drainTimeout, logLevel };
}

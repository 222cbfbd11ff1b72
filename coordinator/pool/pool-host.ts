import { Worker as Thread } from 'node:worker_threads';
import { v7 as uuidv7 } from 'uuid';
import type { Client } from '../../client/client.js';
import { createClient } from '../../client/create-client.js';
import { OptionFaults, shown } from '../../client/option-faults.js';
import { DAY_MS } from '../../proto/bounds.js';
import { Deferred } from '../../proto/deferred.js';
import { FleetError } from '../../proto/fleet-error.js';
import { within } from '../../proto/within.js';
import { errorFrom, HostEvents } from './host-events.js';
import { noHandler, poolFailed, poolShutDown, taskGivenBack, taskGivenUp } from './pool-errors.js';
import { FiguresReader, type PoolFigures } from './pool-figures.js';
import type { FromPool, PoolSetup, ToPool } from './pool-messages.js';
import type { PoolMetrics, WorkerStatus } from './pool-metrics.js';
import { poolMetrics, workerStatus } from './pool-view.js';
import type { PrivateDirectory } from './private-directory.js';
import { inWordsOfPool, readPoolTask } from './submit-task.js';
import type { PoolTask, ScaleResult, ShutdownOptions, WorkerPool } from './worker-pool.js';

/** What a pool's host needs. */
export interface PoolHostOptions {
  readonly setup: PoolSetup;
  /** Holds the socket; removed at the end. */
  readonly directory: PrivateDirectory;
  /** Monotonic milliseconds, on the clock that the pool's thread has too. */
  readonly nowMs: () => number;
  /** Told something that a person should know. */
  readonly warn: (message: string) => void;
  /** The pool is over, and nothing of it is left. */
  readonly onOver: () => void;
}

/** How long results that are on their way may take when the pool ends, in milliseconds. */
const LAST_RESULTS_MS = 5_000;
/** How long the thread may take to end once it has stopped, in milliseconds. */
const THREAD_END_MS = 5_000;
/** Unknown fields of tasks that are told of; a program that makes names up must not fill the log. */
const UNKNOWN_FIELDS_MAX = 32;

/**
 * The host's side of a pool.
 *
 * ```
 *   Starting -- ready --> Open -- shutdown() --> Closing -- stopped --> Closed
 *       |                   |                       |
 *       +-------------------+--- fault of the thread+--> Failed -- shutdown() --> Closed
 * ```
 */
export class PoolHost extends HostEvents implements WorkerPool {
  readonly client: Client;
  readonly address: string;
  readonly #options: PoolHostOptions;
  readonly #thread: Thread;
  readonly #figures: FiguresReader;
  readonly #threadEnded: Promise<void>;
  readonly #started = new Deferred<void>();
  readonly #drained = new Deferred<void>();
  readonly #stopped = new Deferred<void>();
  readonly #scalings = new Map<number, (result: ScaleResult) => void>();
  /** Tasks whose promises are not settled. */
  readonly #pending = new Map<string, Promise<unknown>>();
  readonly #unknownFields = new Set<string>();
  #onEndedTasks: (taskIds: readonly string[]) => void = () => undefined;
  #types: readonly string[] = [];
  #httpUrl: string | undefined;
  #lastScaling = 0;
  #shutdown: Promise<void> | undefined;
  /** What the thread died of, or was at fault with. */
  #failure: FleetError | undefined;
  #opened = false;
  #over = false;
  /** The thread has said its last. */
  #hasStopped = false;

  constructor(options: PoolHostOptions) {
    const { setup } = options;
    const figures = new FiguresReader(setup.figures);
    super((mask) => {
      figures.eventMask = mask;
    });
    this.#options = options;
    this.#figures = figures;
    this.address = `unix:${setup.socketPath}`;
    this.client = createClient({ address: this.address, maxPayloadBytes: setup.options.maxPayloadBytes });
    // What else the program was started with, such as a loader, is not for this thread.
    this.#thread = new Thread(new URL('./pool-thread.js', import.meta.url), {
      workerData: setup,
      name: 'remuda-pool',
      execArgv: [],
    });
    this.#thread.on('message', (message: FromPool) => this.#hear(message));
    this.#thread.on('error', (error) => this.#fail(`its thread ended: ${String(error)}`));
    this.#threadEnded = new Promise((resolve) => {
      this.#thread.once('exit', () => {
        this.#fail('its thread ended');
        resolve();
      });
    });
  }

  /**
   * Fulfilled when the first workers have been welcomed.
   *
   * @throws FleetError FAILED_PRECONDITION with the reason of {@link PoolStartFailure}; nothing is left of the pool then
   */
  async start(): Promise<this> {
    try {
      await this.#started.promise;
      return this;
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  get httpUrl(): string | undefined {
    return this.#httpUrl;
  }

  async submitTask<Result>(task: PoolTask): Promise<Result> {
    const { taskTimeout, store } = this.#options.setup.options;
    const onUnknown = (field: string): void => this.#tellUnknown(field);
    const call = readPoolTask(task, { taskTimeout, newTaskId: uuidv7, onUnknown });
    this.#requireOpen();
    if (!this.#types.includes(call.type)) throw noHandler(call.type, this.#types);
    const { taskId } = call.options;
    const result = this.client.run(call.type, call.payload, call.options);
    this.#pending.set(taskId, result);
    try {
      return (await result) as Result;
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      if (error.reason === 'CLIENT_CLOSED') throw this.#failure ?? taskGivenBack(taskId, store);
      throw error.reason === 'WAIT_ABORTED' ? taskGivenUp(taskId) : inWordsOfPool(error);
    } finally {
      if (this.#pending.get(taskId) === result) this.#pending.delete(taskId);
    }
  }

  getPoolMetrics(): PoolMetrics {
    const metrics = poolMetrics(this.#read());
    const reason = this.#failure?.message ?? (this.#shutdown === undefined ? undefined : 'the pool has been shut down');
    return reason === undefined ? metrics : { ...metrics, health: { status: 'unhealthy', reasons: [reason] } };
  }

  getAllWorkersStatus(): WorkerStatus[] {
    const nowMs = this.#options.nowMs();
    return this.#read().places.map((place) => workerStatus(place, this.#options.setup.prefix, nowMs));
  }

  async scaleUp(count: number): Promise<ScaleResult> {
    return this.#scale('scaleUp', count, 1);
  }

  async scaleDown(count: number): Promise<ScaleResult> {
    return this.#scale('scaleDown', count, -1);
  }

  // Not async: a repeat gives the same promise.
  shutdown(graceful = true, options?: ShutdownOptions): Promise<void> {
    // As a listener of a signal it is given the signal: an end that is asked for is not refused.
    const isSignal = typeof graceful !== 'boolean';
    const faults = new OptionFaults('options.');
    const given = faults.object('', isSignal ? undefined : options, ['timeout']);
    const timeoutMs = faults.integer('timeout', given['timeout'], 0, DAY_MS, 'milliseconds');
    try {
      faults.throwIfAny('INVALID_OPTIONS');
    } catch (error) {
      return Promise.reject(FleetError.from(error));
    }
    this.#post({ t: 'shutdown', graceful: isSignal || graceful, timeoutMs });
    this.#shutdown ??= this.#close();
    return this.#shutdown;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  #read(): PoolFigures {
    const figures = this.#figures.read(this.#options.nowMs());
    // Nobody writes them any more, and nothing is there any more.
    return this.#over || this.#failure !== undefined
      ? { ...figures, size: 0, queued: 0, running: 0, places: [] }
      : figures;
  }

  #requireOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#shutdown !== undefined) throw poolShutDown();
  }

  #scale(method: string, count: unknown, sign: 1 | -1): Promise<ScaleResult> {
    if (!Number.isSafeInteger(count) || (count as number) < 1) {
      const description = `is ${shown(count)}; it must be a positive integer: by how many workers the pool changes`;
      throw FleetError.invalid('INVALID_COUNT', [{ field: `${method}(count)`, description }]);
    }
    if (this.#failure !== undefined || this.#shutdown !== undefined) return Promise.resolve({ count: 0, newSize: 0 });
    this.#lastScaling += 1;
    const number = this.#lastScaling;
    return new Promise((resolve) => {
      this.#scalings.set(number, resolve);
      this.#post({ t: 'scale', number, by: sign * (count as number) });
    });
  }

  #tellUnknown(field: string): void {
    if (this.#unknownFields.size >= UNKNOWN_FIELDS_MAX || this.#unknownFields.has(field)) return;
    this.#unknownFields.add(field);
    this.#post({ t: 'warn', message: `submitTask: the field ${shown(field)} of a task is not known and is ignored` });
  }

  #post(message: ToPool): void {
    this.#thread.postMessage(message);
  }

  #hear(message: FromPool): void {
    switch (message.t) {
      case 'ready':
        this.#httpUrl = message.httpUrl;
        this.#opened = true;
        this.#started.resolve();
        break;
      case 'startFailed':
        this.#started.reject(errorFrom(message.error));
        break;
      case 'warning':
        this.#options.warn(message.message);
        break;
      case 'types':
        this.#types = message.types;
        break;
      case 'events':
        for (const event of message.events) this.tell(event);
        this.#figures.eventsHandled(message.events.length);
        break;
      case 'scaled':
        this.#scalings.get(message.number)?.(message.result);
        this.#scalings.delete(message.number);
        break;
      case 'failed':
        this.#fail(message.message);
        break;
      case 'drained':
        this.#drained.resolve();
        break;
      case 'ended':
        this.#onEndedTasks(message.taskIds);
        break;
      case 'stopped':
        // Node may tell of the thread's end in the same breath, before anybody who waits has gone on.
        this.#hasStopped = true;
        this.#stopped.resolve();
    }
  }

  /** The thread is at fault, or gone before it was asked to end: whoever waits is told. */
  #fail(cause: string): void {
    this.#started.reject(poolFailed(cause));
    if (this.#over || this.#hasStopped || this.#failure !== undefined) return;
    const { places } = this.#figures.read(this.#options.nowMs());
    const { status: previous } = this.getPoolMetrics().health;
    this.#failure = poolFailed(cause);
    // They notice by themselves, a little later; nobody is left to wait for them.
    for (const { pid } of places) if (pid !== undefined) killGroup(pid);
    const { message } = this.#failure;
    if (this.#opened) {
      this.tell({ name: 'health-changed', event: { status: 'unhealthy', reasons: [message], previous } });
      this.#options.warn(message);
    }
    this.#settleScalings();
    this.#drained.resolve();
    this.#stopped.resolve();
    void this.client.close();
  }

  #settleScalings(): void {
    for (const resolve of this.#scalings.values()) resolve({ count: 0, newSize: 0 });
    this.#scalings.clear();
  }

  async #close(): Promise<void> {
    await this.#drained.promise;
    await this.#lastResults();
    await this.client.close();
    // Whoever waits for a promise that the end of the client has rejected hears of it before the pool's own end.
    await Promise.allSettled(this.#pending.values());
    this.#post({ t: 'close' });
    await this.#stopped.promise;
    await this.#end();
  }

  /** Waits for the results of tasks that have ended: they may still be on their way. */
  async #lastResults(): Promise<void> {
    if (this.#pending.size === 0 || this.#failure !== undefined) return;
    const asked = new Promise<readonly string[]>((resolve) => {
      this.#onEndedTasks = resolve;
    });
    this.#post({ t: 'askEnded', taskIds: [...this.#pending.keys()] });
    const ended = await Promise.race([asked, this.#stopped.promise.then((): string[] => [])]);
    const results = ended.map((taskId) => this.#pending.get(taskId) ?? Promise.resolve());
    await within(Promise.allSettled(results), LAST_RESULTS_MS);
  }

  /** Nothing of the pool is left afterwards. */
  async #end(): Promise<void> {
    this.#over = true;
    this.#settleScalings();
    await this.client.close();
    if (!(await within(this.#threadEnded, THREAD_END_MS))) await this.#thread.terminate();
    this.#options.directory.remove();
    this.#options.onOver();
  }
}

/** Each worker leads a group of its own, and has not been reaped: its number is nobody else's. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has gone by itself.
  }
}

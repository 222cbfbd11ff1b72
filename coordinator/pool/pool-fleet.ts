import type { Logger } from 'pino';
import { DAY_MS } from '../../proto/bounds.js';
import { Deferred } from '../../proto/deferred.js';
import type { ChildCommand, ChildOutput } from '../../worker/supervised-child.js';
import { Supervisor, type SupervisorEvent } from '../../worker/supervisor.js';
import type { CoreEvent } from '../core/outputs.js';
import type { CoordinatorObserver, FleetGlance } from '../coordinator.js';
import { childEndText } from './child-end-text.js';
import type { EventPost } from './event-post.js';
import { HealthWatch } from './health-watch.js';
import { plainError } from './host-events.js';
import { poolStartFailed } from './pool-errors.js';
import type { FiguresWriter, PlaceFigures, PlaceState } from './pool-figures.js';
import { lookAt, newPlace, type Place } from './place.js';
import type { CompiledPoolOptions } from './pool-options.js';
import { Scaling } from './scaling.js';
import { TaskEvents } from './task-events.js';
import type { ScaleResult } from './worker-pool.js';

/** What the fleet has of its coordinator, which lives on the same thread. */
export interface FleetSource {
  glance(): FleetGlance;
  processEnded(incarnation: string, how: 'died' | 'killed'): void;
  stopDispatch(): void;
}

export interface PoolFleetOptions {
  readonly options: CompiledPoolOptions;
  /** The part of worker_ids before the slash. */
  readonly prefix: string;
  readonly command: (workerId: string) => ChildCommand;
  readonly output: (workerId: string) => ChildOutput;
  readonly source: FleetSource;
  readonly figures: FiguresWriter;
  readonly events: EventPost;
  readonly log: Logger;
  /** All types that any worker has offered; told whenever there is a new one. */
  readonly onTypes: (types: readonly string[]) => void;
  /** Monotonic milliseconds, on the clock that the host has too. */
  readonly nowMs: () => number;
}

/** Within this time `maxRestartAttempts` counts. */
const RESTART_WINDOW_MS = 60_000;
/** What runs when a worker is to leave has its own time-out: it is never cut short. */
const NO_DEADLINE_MS = DAY_MS;
const MIB = 1_048_576;
/** How long the coordinator may take to hear that the last processes have ended. */
const GIVE_BACK_MS = 2_000;
/** Types that are remembered, of all workers; each has a bound of its own. */
const TYPES_MAX = 4_096;

type ChildEnded = Extract<SupervisorEvent, { name: 'child-ended' }>;

/**
 * The workers of a pool: keeps their number, kills zombies, replaces what has grown too large, and says in figures and events how
 * they are. What the coordinator knows of them it is told as an observer, before anybody else is.
 */
export class PoolFleet implements CoordinatorObserver {
  readonly #options: PoolFleetOptions;
  readonly #supervisor: Supervisor;
  readonly #places = new Map<number, Place>();
  readonly #byIncarnation = new Map<string, Place>();
  readonly #tasks: TaskEvents;
  readonly #scaling: Scaling;
  readonly #types = new Set<string>();
  readonly #firstReady = new Deferred<void>();
  readonly #allGivenBack = new Deferred<void>();
  /** Workers of the start that have not been welcomed; undefined: the start is over. */
  #starting: Set<number> | undefined;
  readonly #health: HealthWatch;
  #stopping: 'no' | 'draining' | 'killing' = 'no';

  constructor(options: PoolFleetOptions) {
    const { options: pool, figures, events, log, nowMs } = options;
    this.#options = options;
    this.#tasks = new TaskEvents(figures, events, nowMs);
    this.#scaling = new Scaling(0, pool);
    this.#health = new HealthWatch({ minWorkers: pool.minWorkers, events, log, onChange: () => this.#refresh() });
    this.#supervisor = new Supervisor({
      processes: 0,
      command: (index) => options.command(this.#idOf(index)),
      output: (index) => options.output(this.#idOf(index)),
      onEvent: (event) => this.#onSupervisor(event),
      ownGroup: true,
      autoRestart: pool.autoRestart,
      restartLimit: { attempts: pool.maxRestartAttempts, windowMs: RESTART_WINDOW_MS },
    });
  }

  /**
   * Starts the first workers. Fulfilled when all have been welcomed.
   *
   * @throws FleetError FAILED_PRECONDITION / WORKER_START_FAILED at the first that ends before; WORKER_START_TIMEOUT
   */
  async start(): Promise<void> {
    const { poolSize, startTimeout } = this.#options.options;
    this.#starting = new Set();
    const timer = setTimeout(() => this.#failStart(startTimeout), startTimeout);
    try {
      const indexes = this.#addPlaces(poolSize);
      this.#scaling.begin('up', indexes, () => undefined);
      this.#refresh();
      await this.#firstReady.promise;
    } finally {
      clearTimeout(timer);
      this.#starting = undefined;
    }
  }

  /** Changes the number of workers by so many, within the bounds. Fulfilled when it has come about. */
  scale(by: number): Promise<ScaleResult> {
    return new Promise((resolve) => {
      if (by > 0) this.#scaleUp(by, resolve);
      else this.#scaleDown(-by, resolve);
      this.#refresh();
    });
  }

  /**
   * Lets what runs come to its end, and nothing else begin; then the workers leave. What the coordinator has handed out counts as
   * running from that moment, wherever it is: workers that were asked to leave would give back what has not arrived yet.
   */
  drain(): void {
    if (this.#stopping !== 'no') return;
    this.#stopping = 'draining';
    this.#scaling.stop();
    for (const place of [...this.#places.values()]) {
      if (place.welcomed) place.leaving = 'retire';
      else this.#retire(place);
    }
    this.#options.source.stopDispatch();
    this.#refresh();
  }

  /** Aborts what runs. */
  abort(): void {
    this.drain();
    this.#supervisor.drain(0);
  }

  /** Ends every process now. What it ran goes back to the queue, free of charge. */
  kill(): void {
    this.#stopping = 'killing';
    this.#supervisor.killAll();
  }

  /**
   * Fulfilled when every process has ended, after drain() or kill(), and the coordinator has given what they ran back to the queue;
   * that a coordinator is at fault, or its store, is waited for no longer than {@link GIVE_BACK_MS}.
   */
  async ended(): Promise<void> {
    await this.#supervisor.done;
    this.#health.stop();
    if (this.#holds() === 0) return;
    const timer = setTimeout(() => this.#allGivenBack.resolve(), GIVE_BACK_MS);
    await this.#allGivenBack.promise;
    clearTimeout(timer);
  }

  onEvent(event: CoreEvent): void {
    this.#tasks.on(event);
    if (event.name === 'worker-lost') this.#onLost(event.incarnation);
    if (event.name === 'worker-joined') this.#onJoined();
  }

  onSettled(): void {
    this.#tasks.settled();
    this.#count();
    this.#refresh();
    if (this.#stopping === 'no' || this.#holds() > 0) return;
    this.#allGivenBack.resolve();
    if (this.#stopping === 'draining' && !this.#options.source.glance().dispatches) this.#supervisor.drain(0);
  }

  onStoreTrouble(message: string | null): void {
    this.#health.storeRefusing = message !== null;
    this.#refresh();
  }

  onDiskLow(disk: unknown): void {
    this.#health.diskLow = disk !== null;
    this.#refresh();
  }

  /** Attempts of the pool's workers that the coordinator has not heard the end of. */
  #holds(): number {
    let holds = 0;
    this.#options.source.glance().eachWorker(({ workerId, holdCount }) => {
      if (workerId.startsWith(`${this.#options.prefix}/`)) holds += holdCount;
    });
    return holds;
  }

  #idOf(index: number): string {
    return `${this.#options.prefix}/${index}`;
  }

  #scaleUp(asked: number, resolve: (result: ScaleResult) => void): void {
    const room = this.#stopping === 'no' ? this.#scaling.roomAbove(asked, this.#places.size) : 0;
    this.#warnClamped('scaleUp', asked, room, 'maxWorkers');
    this.#scaling.begin('up', this.#addPlaces(room), (count) => {
      // What was given up before has its successor.
      this.#health.replaced(count);
      this.#scaled('pool-scaled-up', count, resolve);
    });
  }

  #scaleDown(asked: number, resolve: (result: ScaleResult) => void): void {
    const room = this.#stopping === 'no' ? this.#scaling.roomBelow(asked) : 0;
    this.#warnClamped('scaleDown', asked, room, 'minWorkers');
    const leaving = this.#leastUseful(room);
    this.#scaling.begin(
      'down',
      leaving.map(({ figures }) => figures.index),
      (count) => this.#scaled('pool-scaled-down', count, resolve),
    );
    for (const place of leaving) this.#retire(place);
  }

  /** Asks it to leave. One that was not welcomed yet has nothing to finish, and may never hear of it. */
  #retire(place: Place): void {
    // First: a place that waits for its restart is freed at once.
    place.leaving = 'retire';
    this.#supervisor.retire(place.figures.index, NO_DEADLINE_MS);
    if (!place.welcomed) this.#supervisor.kill(place.figures.index);
  }

  /** Those that do nothing first; among equals the newest. */
  #leastUseful(count: number): Place[] {
    const rank = (state: PlaceState): number => (state === 'starting' ? 0 : state === 'ready' ? 1 : 2);
    return [...this.#places.values()]
      .filter(({ leaving }) => leaving !== 'retire')
      .sort((a, b) => rank(a.figures.state) - rank(b.figures.state) || b.figures.index - a.figures.index)
      .slice(0, count);
  }

  #warnClamped(method: string, asked: number, done: number, bound: 'minWorkers' | 'maxWorkers'): void {
    if (done === asked) return;
    const { log, options } = this.#options;
    const detail = `${method}(${asked}) changes the pool by ${done} only: ${bound} is ${options[bound]}`;
    log.warn({ asked, count: done, size: this.#scaling.target, processes: this.#places.size, detail }, 'size-at-bound');
  }

  #scaled(name: 'pool-scaled-up' | 'pool-scaled-down', count: number, resolve: (result: ScaleResult) => void): void {
    const result = { count, newSize: this.#scaling.target };
    if (count > 0) {
      this.#options.log.info({ count, size: result.newSize }, name);
      this.#options.events.add(name, result);
    }
    // The figures and the event go first.
    this.#refresh();
    resolve(result);
  }

  #addPlaces(count: number): number[] {
    return Array.from({ length: count }, () => this.#supervisor.add());
  }

  #placeOf(index: number): Place {
    const known = this.#places.get(index);
    if (known !== undefined) return known;
    const place = newPlace(index);
    this.#places.set(index, place);
    this.#starting?.add(index);
    return place;
  }

  #onSupervisor(event: SupervisorEvent): void {
    const place = this.#placeOf(event.index);
    switch (event.name) {
      case 'child-started':
        this.#onStarted(place, event);
        break;
      case 'child-ready':
        this.#onReady(place);
        break;
      case 'child-ended':
        this.#onEnded(place, event);
        break;
      case 'place-freed':
        this.#onFreed(place);
        break;
      // The supervisor is not asked for signs of life: whether a worker is heard is the coordinator's business.
      case 'child-pulse':
      case 'child-silent':
    }
    this.#refresh();
  }

  #onStarted(place: Place, { incarnation, pid, restarts }: Extract<SupervisorEvent, { name: 'child-started' }>): void {
    const { options, log, nowMs } = this.#options;
    this.#byIncarnation.set(incarnation, place);
    Object.assign(place, { incarnation, zombie: false, welcomed: false, leaving: 'no', toldTooLarge: false });
    Object.assign(place.figures, { pid, restarts, startMs: nowMs() });
    // The first ones have one time-out together.
    if (this.#starting !== undefined && restarts === 0) return;
    const { index } = place.figures;
    place.startTimer = setTimeout(() => {
      const detail = `it was not ready within ${options.startTimeout} ms (startTimeout), and is killed`;
      log.warn({ worker_id: this.#idOf(index), child_pid: pid, detail }, 'worker-start-timeout');
      this.#supervisor.kill(index);
    }, options.startTimeout);
  }

  #onReady(place: Place): void {
    const { index, pid, restarts } = place.figures;
    place.welcomed = true;
    clearTimeout(place.startTimer);
    const { events, log } = this.#options;
    const workerId = this.#idOf(index);
    log.info({ worker_id: workerId, child_pid: pid, restarts }, 'worker-ready');
    events.add('worker-ready', { workerId, pid });
    if (restarts > 0) events.add('worker-restarted', { workerId, pid, restarts });
    this.#scaling.came(index);
    this.#starting?.delete(index);
    if (this.#starting?.size === 0) this.#firstReady.resolve();
  }

  #onEnded(place: Place, event: ChildEnded): void {
    const { end, kind } = event;
    const { index } = place.figures;
    clearTimeout(place.startTimer);
    const failed = kind === 'failed' || kind === 'final' || kind === 'given-up';
    if (place.incarnation !== '') {
      // What it ran goes elsewhere now, not when its lease is over.
      const onPurpose = this.#stopping === 'killing' || (end.killed && !failed);
      this.#options.source.processEnded(place.incarnation, onPurpose ? 'killed' : 'died');
      this.#byIncarnation.delete(place.incarnation);
    }
    this.#tellEnd(place, event, failed);
    place.doneBefore += place.done;
    Object.assign(place, { incarnation: '', zombie: false, welcomed: false, done: 0 });
    place.failedWith = failed ? event : undefined;
    Object.assign(place.figures, { pid: undefined, rss: undefined, lastFrameWallMs: undefined, taskIds: [] });
    if (this.#starting?.has(index) !== true) return;
    const message = `worker ${this.#idOf(index)} could not start: ${childEndText(end, 'failed')}`;
    this.#firstReady.reject(poolStartFailed('WORKER_START_FAILED', message));
  }

  /** It is not started again: because it was not to be, or because it has failed for good. */
  #onFreed({ figures, failedWith, leaving }: Place): void {
    const { index } = figures;
    this.#places.delete(index);
    this.#options.figures.noPlace(index);
    if (failedWith === undefined || leaving === 'retire') this.#scaling.went(index);
    else this.#giveUp(index, failedWith);
  }

  #tellEnd({ figures, zombie }: Place, { end, kind }: ChildEnded, failed: boolean): void {
    const { events, log } = this.#options;
    const workerId = this.#idOf(figures.index);
    const { pid, code, signal, killed } = end;
    const reason = zombie ? 'it was a zombie and was killed' : childEndText(end, kind);
    const fields = { worker_id: workerId, child_pid: pid, exit_code: code, signal, kind, killed, detail: reason };
    if (failed) log.warn(fields, 'worker-exit');
    else log.info(fields, 'worker-exit');
    events.add('worker-exit', { workerId, pid, code, signal, expected: !failed, reason });
    if (failed)
      events.add('worker-error', { workerId, error: plainError('WORKER_FAILED', reason, { worker_id: workerId }) });
  }

  #giveUp(index: number, { end, kind, restarts }: ChildEnded): void {
    const { events, log, options } = this.#options;
    const workerId = this.#idOf(index);
    this.#health.gaveUp();
    const why = !options.autoRestart
      ? 'because autoRestart is false'
      : kind === 'final'
        ? 'because that would not help'
        : `after ${restarts} restarts (maxRestartAttempts is ${options.maxRestartAttempts} within 60 s)`;
    const message = `worker ${workerId} is not started again, ${why}: ${childEndText(end, kind)}`;
    log.error({ worker_id: workerId, restarts, detail: message }, 'worker-given-up');
    const error = plainError('WORKER_GIVEN_UP', message, { worker_id: workerId });
    events.add('worker-given-up', { workerId, restarts, error });
    this.#scaling.gaveUp(index);
  }

  /** Its lease is over. If its process still lives, that is a zombie: it is killed, and a fresh one takes its place. */
  #onLost(incarnation: string): void {
    const place = this.#byIncarnation.get(incarnation);
    if (place === undefined || place.zombie) return;
    const { index, pid } = place.figures;
    place.zombie = true;
    this.#health.zombie();
    this.#options.log.warn({ worker_id: this.#idOf(index), child_pid: pid }, 'zombie-detected');
    this.#options.events.add('zombie-detected', { workerId: this.#idOf(index), pid });
    this.#supervisor.kill(index);
  }

  #onJoined(): void {
    const before = this.#types.size;
    this.#options.source.glance().eachWorker(({ taskTypes }) => {
      for (const type of taskTypes.keys()) if (this.#types.size < TYPES_MAX) this.#types.add(type);
    });
    if (this.#types.size > before) this.#options.onTypes([...this.#types]);
  }

  #failStart(startTimeout: number): void {
    const { poolSize, program } = this.#options.options;
    const waiting = [...(this.#starting ?? [])];
    const advice =
      program.kind === 'script'
        ? 'a script must call start() of its WorkerProcess, and one that loads for long needs a longer startTimeout'
        : 'a handlers file that loads for long, or whose setup() takes long, needs a longer startTimeout';
    const ids = waiting.map((index) => this.#idOf(index)).join(', ');
    const message = `${poolSize - waiting.length} of ${poolSize} workers were ready within ${startTimeout} ms (startTimeout), and ${ids} not: ${advice}`;
    this.#firstReady.reject(poolStartFailed('WORKER_START_TIMEOUT', message));
  }

  #placeFigures(): PlaceFigures[] {
    return [...this.#places.values()].map((place) => place.figures);
  }

  /** Takes over the counts: between two batches only, when they are as durable as they say. */
  #count(): void {
    const { figures, source } = this.#options;
    const { tasks, totals } = source.glance();
    figures.scalars({
      queued: tasks.scheduled + tasks.queued,
      running: tasks.running,
      completed: totals.succeeded,
      failed: this.#tasks.failed,
      retried: totals.attemptsRetried,
      deadLettered: totals.deadLettered,
      attemptsStarted: totals.attemptsStarted,
      attemptsReused: totals.attemptsReused,
    });
  }

  /** Writes the figures, then hands over the events that are in them. */
  #refresh(): void {
    const { figures, events, options, source } = this.#options;
    const glance = source.glance();
    for (const place of this.#places.values()) place.figures.state = place.zombie ? 'zombie' : 'starting';
    const tooLarge: Place[] = [];
    glance.eachWorker((worker) => {
      const place = this.#byIncarnation.get(worker.incarnation);
      if (place === undefined) return;
      lookAt(place, worker);
      const limit = options.workerMemoryLimitBytes ?? Infinity;
      if ((place.figures.rss ?? 0) > limit && place.leaving === 'no' && !place.zombie) tooLarge.push(place);
    });
    const places = this.#placeFigures();
    for (const place of places) figures.place(place);
    figures.scalars({ size: this.#scaling.target, ...this.#health.figures });
    figures.publish();
    if (this.#starting === undefined && this.#stopping === 'no') this.#health.judge(places);
    events.flush();
    if (tooLarge.length > 0) this.#replaceOneOf(tooLarge);
  }

  /** One at a time, the largest first: the pool goes on with the others. */
  #replaceOneOf(tooLarge: readonly Place[]): void {
    const isReplacing = [...this.#places.values()].some(({ leaving }) => leaving === 'replace');
    const worn = tooLarge.filter((place) => !this.#isBornTooLarge(place));
    const [largest] = worn.sort((a, b) => (b.figures.rss ?? 0) - (a.figures.rss ?? 0));
    if (largest !== undefined && !isReplacing) this.#replace(largest);
  }

  /** True if it was above the limit before its first task was done: so would be its successor. */
  #isBornTooLarge(place: Place): boolean {
    if (place.done > 0) return false;
    // What it was when it had nothing to do is remembered: replaced before it has run its first task, it would hand that on to a
    // successor that is as large.
    if (place.toldTooLarge) return true;
    if (place.figures.taskIds.length > 0) return false;
    const { log, options } = this.#options;
    const { index, rss } = place.figures;
    const detail = `it is above workerMemoryLimitMB, ${(options.workerMemoryLimitBytes ?? 0) / MIB}, before its first task: raise the limit; until it has run a task it is not replaced`;
    log.error({ worker_id: this.#idOf(index), rss_bytes: rss, detail }, 'memory-limit-too-low');
    place.toldTooLarge = true;
    return true;
  }

  #replace(place: Place): void {
    const { index, rss = 0, pid } = place.figures;
    const { log, options } = this.#options;
    place.leaving = 'replace';
    const detail = `it has ${Math.ceil(rss / MIB)} MiB resident, above workerMemoryLimitMB, ${(options.workerMemoryLimitBytes ?? 0) / MIB}: it is replaced once it has finished what it runs`;
    log.warn({ worker_id: this.#idOf(index), child_pid: pid, rss_bytes: rss, detail }, 'worker-over-memory-limit');
    this.#supervisor.replace(index, NO_DEADLINE_MS);
  }
}

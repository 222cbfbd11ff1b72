import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { CoreEvent, FleetStatsView } from './core/outputs.js';
import type { BatchFigures } from './engine.js';
import type { DiskRoom } from './free-space.js';
import type { Purged } from './retention.js';
import { reuseRate } from './services/fleet-view.js';
import type { TaskServiceFigures } from './services/task-service.js';
import type { SessionFigures } from './session/session-host.js';
import type { StoreStats } from './store/store.js';

/** Adds metrics of its own to the registry. */
export type MetricsAddition = (registry: Registry) => void;

/** Where the figures come from, read when somebody asks for them. */
export interface MetricsSources {
  /** Adds those of the program around the coordinator. Default: none. */
  readonly add?: MetricsAddition | undefined;
  readonly version: string;
  readonly stats: () => FleetStatsView;
  readonly store: () => StoreStats;
  /** The store's disk; null: it is on none. */
  readonly disk: (() => DiskRoom | null) | null;
  readonly sessions: () => Readonly<SessionFigures>;
  readonly inboxSize: () => number;
  readonly waiting: () => TaskServiceFigures;
}

/** From a tenth of a millisecond to a minute. */
const SECONDS = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const BATCH_SIZES = [1, 4, 16, 64, 256, 1_024, 2_048];

/** What Prometheus scrapes. Counts are read from the core at each scrape, so nothing is booked twice. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #readStats: () => FleetStatsView;
  readonly #storeRefusing: Gauge;
  readonly #purged: Counter;
  readonly #deadLettersPurged: Counter;
  readonly #workerEvents: Counter<'event'>;
  readonly #attemptsEnded: Counter<'outcome' | 'charge'>;
  #stats: FleetStatsView;
  readonly #batchInputs: Histogram;
  readonly #stepSeconds: Histogram;
  readonly #commitSeconds: Histogram;
  readonly #runSeconds: Histogram<'outcome'>;
  readonly #runSecondsOf = new Map<string, Histogram.Internal<'outcome'>>();
  readonly #startDelaySeconds: Histogram;

  constructor(sources: MetricsSources) {
    const registers = [this.#registry];
    this.#stats = sources.stats();
    const stats = (): FleetStatsView => this.#stats;
    const cached = { ...sources, stats };
    this.#readStats = sources.stats;
    collectDefaultMetrics({ register: this.#registry });
    sources.add?.(this.#registry);
    addFleetGauges(cached, registers);
    addTotals(cached, registers);
    const refusing = '1 while the store refuses what it may take later.';
    this.#storeRefusing = new Gauge({ name: 'remuda_store_refusing', help: refusing, registers });
    addStoreGauges(sources, registers);
    const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
    this.#purged = counter('remuda_tasks_purged_total', 'Ended tasks removed because their time was over.');
    const deadLetters = 'Dead letters among the tasks purged: nobody had dealt with them.';
    this.#deadLettersPurged = counter('remuda_dead_letters_purged_total', deadLetters);
    this.#workerEvents = new Counter({
      name: 'remuda_worker_events_total',
      help: 'What became of workers, by the names that the log has.',
      labelNames: ['event'],
      registers,
    });
    this.#attemptsEnded = new Counter({
      name: 'remuda_attempts_ended_total',
      help: "Attempts that ended, by outcome and by what they were charged as, a verdict's later correction included.",
      labelNames: ['outcome', 'charge'],
      registers,
    });
    addTraffic(sources, registers);
    const histogram = (name: string, help: string, buckets: number[]): Histogram =>
      new Histogram({ name, help, buckets, registers });
    this.#batchInputs = histogram('remuda_batch_inputs', 'Inputs that shared one step of the engine.', BATCH_SIZES);
    this.#stepSeconds = histogram('remuda_step_seconds', 'Time of one step of the scheduler.', SECONDS);
    this.#commitSeconds = histogram('remuda_commit_seconds', 'Time of one commit to the store.', SECONDS);
    this.#startDelaySeconds = histogram(
      'remuda_attempt_start_delay_seconds',
      'From the arrival of an assignment at its worker to the entry of the handler, as the worker measured it.',
      SECONDS,
    );
    this.#runSeconds = new Histogram({
      name: 'remuda_attempt_run_seconds',
      help: 'From the entry of the handler to its end, as the worker measured it.',
      labelNames: ['outcome'],
      buckets: SECONDS,
      registers,
    });
  }

  onBatch({ inputs, writes, stepMs, commitMs }: BatchFigures): void {
    this.#batchInputs.observe(inputs);
    this.#stepSeconds.observe(stepMs / 1_000);
    if (writes > 0) this.#commitSeconds.observe(commitMs / 1_000);
  }

  onEvent(event: CoreEvent): void {
    if ('incarnation' in event) this.#workerEvents.inc({ event: event.name });
    if (event.name === 'attempt-ended') {
      const { outcome, charge } = event;
      this.#attemptsEnded.inc({ outcome, charge });
    }
    // What nobody reported was not measured.
    if (event.name !== 'attempt-ended' || !event.reported) return;
    let runSeconds = this.#runSecondsOf.get(event.outcome);
    if (runSeconds === undefined) {
      // Looking one up by its labels costs more than the observation.
      runSeconds = this.#runSeconds.labels({ outcome: event.outcome });
      this.#runSecondsOf.set(event.outcome, runSeconds);
    }
    runSeconds.observe(event.runMs / 1_000);
    if (event.outcome === 'SUCCEEDED') this.#startDelaySeconds.observe(event.startDelayMs / 1_000);
  }

  onPurged({ count, deadLetters }: Purged): void {
    this.#purged.inc(count);
    this.#deadLettersPurged.inc(deadLetters);
  }

  storeRefusing(refusing: boolean): void {
    this.#storeRefusing.set(refusing ? 1 : 0);
  }

  /** In Prometheus' text format. */
  async scrape(): Promise<{ contentType: string; text: string }> {
    // One look for all of them: the counts of types cost a walk.
    this.#stats = this.#readStats();
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}

function addFleetGauges({ version, stats }: MetricsSources, registers: Registry[]): void {
  new Gauge({ name: 'remuda_build_info', help: 'Always 1.', labelNames: ['version'], registers }).set({ version }, 1);
  new Gauge({
    name: 'remuda_tasks',
    help: 'Tasks that have not ended.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(stats().tasks)) this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'remuda_type_tasks',
    help: 'Tasks that have not ended, of the 100 types with the most.',
    labelNames: ['type', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { type, tasks } of stats().types) {
        for (const [state, count] of Object.entries(tasks)) this.set({ type, state }, count);
      }
    },
  });
  new Gauge({
    name: 'remuda_workers',
    help: 'Workers that are connected or whose lease is not over.',
    labelNames: ['state'],
    registers,
    collect() {
      const { ready, suspect, draining, disconnected } = stats().workers;
      for (const [state, count] of Object.entries({ ready, suspect, draining, disconnected }))
        this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'remuda_attempts',
    help: 'Attempts that take slots, by state; abandoned: of these, those that have ended without the word of their worker.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(stats().attempts)) this.set({ state }, count);
    },
  });
  addGauge('remuda_slots', 'Slots of ready workers.', () => stats().workers.slots, registers);
  addGauge('remuda_slots_used', 'Slots of ready workers in use.', () => stats().workers.slotsUsed, registers);
  const reuse = 'Share of attempts, 0 to 1, that ran in a process which had already run one.';
  addGauge('remuda_reuse_rate', reuse, () => reuseRate(stats().totals), registers);
}

function addTotals({ stats }: MetricsSources, registers: Registry[]): void {
  const total = (name: string, help: string, value: () => number): void => {
    addCounter(name, help, value, registers);
  };
  total('remuda_tasks_submitted_total', 'Tasks accepted.', () => stats().totals.submitted);
  new Counter({
    name: 'remuda_tasks_ended_total',
    help: 'Tasks that ended, by how.',
    labelNames: ['state'],
    registers,
    collect() {
      this.reset();
      const { succeeded, cancelled, expired, deadLettered } = stats().totals;
      const ended = { SUCCEEDED: succeeded, CANCELLED: cancelled, EXPIRED: expired, DEAD_LETTERED: deadLettered };
      for (const [state, count] of Object.entries(ended)) this.inc({ state }, count);
    },
  });
  total('remuda_attempts_assigned_total', 'Attempts handed out.', () => stats().totals.assigned);
  const retried = "Attempts handed out after their task's first.";
  total('remuda_attempts_retried_total', retried, () => stats().totals.attemptsRetried);
  total('remuda_attempts_failed_total', 'Attempts charged as failures.', () => stats().totals.failures);
  total('remuda_attempts_crashed_total', 'Attempts charged as crashes.', () => stats().totals.crashes);
  total('remuda_attempts_released_total', 'Attempts that ended free of charge.', () => stats().totals.releases);
  total('remuda_workers_lost_total', 'Workers whose lease ended.', () => stats().totals.workersLost);
  const refused = 'Reports refused because their attempt no longer counted.';
  total('remuda_reports_refused_total', refused, () => stats().totals.reportsRefused);
  const revoked = 'Attempts that a worker which does not acknowledge was asked to give back.';
  total('remuda_attempts_revoked_total', revoked, () => stats().totals.revokes);
  const refunded = 'Attempts given up whose worker has spoken after all, in time to count.';
  total('remuda_attempts_refunded_total', refunded, () => stats().totals.refunds);
  const stalled = 'Time in which the coordinator did not run, or did not read streams.';
  total('remuda_stalled_seconds_total', stalled, () => stats().totals.stalledMs / 1_000);
}

function addStoreGauges({ store, disk }: MetricsSources, registers: Registry[]): void {
  addGauge('remuda_store_bytes', 'Bytes that the store has in use.', () => store().usedBytes, registers);
  const limit = 'Bytes in use at which the store has no room for new tasks.';
  addGauge('remuda_store_limit_bytes', limit, () => store().limitBytes, registers);
  const ended = 'Tasks that have ended and are still kept, dead letters included.';
  addGauge('remuda_store_ended_tasks', ended, () => store().endedTasks, registers);
  addGauge('remuda_store_dead_letters', 'Dead letters kept.', () => store().deadLetters, registers);
  if (disk === null) return;
  // A disk that does not tell compares with nothing: no alarm.
  const free = 'Bytes free on the disk of the store.';
  addGauge('remuda_store_free_bytes', free, () => disk()?.freeBytes ?? NaN, registers);
  const reusable = 'Bytes free within the file of the store, which new tasks fill first.';
  addGauge('remuda_store_reusable_bytes', reusable, () => disk()?.reusableBytes ?? NaN, registers);
  const minFree = 'Bytes free on the disk of the store and in its file below which new tasks are refused.';
  addGauge('remuda_store_min_free_bytes', minFree, () => disk()?.minFreeBytes ?? NaN, registers);
}

function addTraffic({ sessions, inboxSize, waiting }: MetricsSources, registers: Registry[]): void {
  addGauge('remuda_sessions', 'Open streams of workers.', () => sessions().sessions, registers);
  addGauge('remuda_inbox_inputs', 'Inputs that wait for the next step.', inboxSize, registers);
  addGauge(
    'remuda_waiting_calls',
    'RunTask calls whose tasks have not ended.',
    () => waiting().waitingCalls,
    registers,
  );
  addGauge('remuda_task_streams', 'Open streams of clients.', () => waiting().streams, registers);
  addGauge('remuda_watches', 'WatchTask calls.', () => waiting().watches, registers);
  const total = (name: string, help: string, value: () => number): void => {
    addCounter(name, help, value, registers);
  };
  total('remuda_frames_received_total', 'Frames from workers.', () => sessions().framesReceived);
  total('remuda_frames_sent_total', 'Frames to workers.', () => sessions().framesSent);
  total('remuda_frame_bytes_received_total', 'Bytes of frames from workers.', () => sessions().bytesReceived);
  total('remuda_frame_bytes_sent_total', 'Bytes of frames to workers.', () => sessions().bytesSent);
}

function addGauge(name: string, help: string, value: () => number, registers: Registry[]): void {
  new Gauge({
    name,
    help,
    registers,
    collect() {
      this.set(value());
    },
  });
}

function addCounter(name: string, help: string, value: () => number, registers: Registry[]): void {
  new Counter({
    name,
    help,
    registers,
    collect() {
      this.reset();
      this.inc(value());
    },
  });
}

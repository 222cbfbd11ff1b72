/**
 * The simulation: the real core, engine and both real session machines over a simulated clock, network and store, with
 * simulated handlers and clients. One seed decides everything, so that whatever goes wrong can be had again.
 *
 * A run has two phases. First faults happen; whatever is promised must hold all the while (safety). Then nothing fails any
 * more, and everything has to come to an end in bounded time (liveness). {@link Model} judges.
 */
import { CORE_DEFAULTS, type CoreConfig } from '../../coordinator/core/config.js';
import type { ProcessEnd } from '../../coordinator/core/inputs.js';
import type { ParsedTask } from '../../coordinator/services/parse-task.js';
import type { SessionTerms } from '../../coordinator/session/session.js';
import { MemoryDisk } from '../../coordinator/store/memory-store.js';
import { SimClock, WallClock } from './clock.js';
import { FaultCount, scheduleFaults } from './faults.js';
import type { Victims } from './faults/victims.js';
import { Model, type Violation } from './model.js';
import { SimNetwork } from './network.js';
import { drawPlan, type HandlerPlan, type SimPlan } from './plan.js';
import { Prng } from './random.js';
import { SimClient } from './sim-client.js';
import { SimCoordinator, type CoordinatorParts } from './sim-coordinator.js';
import { SimHostile } from './sim-hostile.js';
import { SimOperator } from './sim-operator.js';
import { SimSeat } from './sim-seat.js';
import { SimStreamClient } from './sim-stream-client.js';
import type { StoreWeather } from './sim-store.js';
import { Trace } from './trace.js';

export interface SimOptions {
  /** Gets every line of the trace. */
  readonly print?: (line: string) => void;
  /** Only the first so many faults happen; up to then the run is the same. Default: all. */
  readonly maxFaults?: number;
  /** Only the first so many of the plan's tasks are submitted. Default: all. */
  readonly maxTasks?: number;
}

/** How a run went. */
export interface SimReport {
  readonly seed: number;
  /** Null: every rule held. */
  readonly violation: Violation | null;
  /** Of the whole trace: the same for every run of the seed. */
  readonly hash: string;
  /** What led to the end, oldest first. */
  readonly newest: readonly string[];
  readonly simulatedMs: number;
  readonly events: number;
  /** Tasks by the state that clients saw them end in. */
  readonly ends: Readonly<Record<string, number>>;
  readonly attempts: number;
  /** How many faults happened, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** Tasks that clients had to submit. */
  readonly tasks: number;
}

const CALM: HandlerPlan = { slow: 0, fails: 0, failsForGood: 0, hangs: 0, ignoresAbort: 0, neverSettles: 0 };
/** How long answers are waited for when everything works. */
const ANSWER_MS = 2_000;

/** Runs one seed. Never throws because of what it finds. */
export async function simulate(seed: number, options: SimOptions = {}): Promise<SimReport> {
  return new Simulation(seed, options).run();
}

class Simulation {
  readonly #clock = new SimClock();
  /** Of the coordinator's machine. */
  readonly #wall = new WallClock(this.#clock);
  readonly #trace: Trace;
  readonly #model: Model;
  readonly #random: Prng;
  readonly #plan: SimPlan;
  readonly #network: SimNetwork;
  readonly #weather: StoreWeather;
  readonly #disk = new MemoryDisk();
  readonly #faultCount: FaultCount;
  readonly #maxTasks: number;
  readonly #coordinatorParts: CoordinatorParts;
  #coordinator: SimCoordinator;
  #seats: SimSeat[] = [];
  #clients: SimClient[] = [];
  #operator: SimOperator | null = null;
  #calm = false;

  constructor(
    private readonly seed: number,
    { print, maxFaults = Infinity, maxTasks = Infinity }: SimOptions,
  ) {
    const clock = this.#clock;
    this.#faultCount = new FaultCount(maxFaults);
    this.#maxTasks = maxTasks;
    this.#trace = new Trace(() => clock.nowMs, print);
    this.#model = new Model(clock, this.#wall, this.#trace);
    this.#random = new Prng(seed);
    this.#plan = drawPlan(this.#random.fork());
    this.#network = new SimNetwork(clock, this.#random.fork(), this.#plan.latencyMs);
    this.#weather = { latencyMs: this.#plan.commitMs, stallMs: 0, refusal: null };
    this.#coordinatorParts = this.#makeCoordinatorParts();
    this.#coordinator = this.#startCoordinator();
  }

  async run(): Promise<SimReport> {
    try {
      await this.#play();
    } catch (error) {
      // Thrown by what is simulated, where no caller of it is to blame.
      this.#model.fail('nothing throws', error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    return this.#report();
  }

  async #play(): Promise<void> {
    const { pace, faults, seats, tasks, latencyMs, drift } = this.#plan;
    const { faultsMs, slowMs, pollMs } = pace;
    const clock = this.#clock;
    const parts = { clock, random: this.#random.fork(), trace: this.#trace, model: this.#model };
    const tempers = (): HandlerPlan => (this.#calm ? CALM : this.#plan.handlers);
    const tellOfEnd = (incarnation: string, how: ProcessEnd): void => {
      if (this.#plan.tellsOfEnds) this.#coordinator.processEnded(incarnation, how);
    };
    const workerParts = {
      ...parts,
      network: this.#network,
      tempers,
      slowMs,
      drift,
      watchesLoops: faults.handlerBlock !== null,
    };
    this.#seats = seats.map((seat) => new SimSeat(workerParts, seat, tellOfEnd));
    const lost = (): number => (this.#calm ? 0 : this.#plan.lostCalls);
    const coordinator = (): SimCoordinator => this.#coordinator;
    const stream = new SimStreamClient({ ...parts, network: this.#network });
    const clientParts = { ...parts, coordinator, latencyMs, lost, pollMs, stream };
    const draws = this.#random.fork();
    // Each draws from a stream of its own: one that is left out changes nothing for the others.
    this.#clients = tasks
      .slice(0, this.#maxTasks)
      .map((task) => new SimClient({ ...clientParts, random: draws.fork() }, task));
    const operator = new SimOperator({ ...parts, coordinator, workerIds: seats.map(({ workerId }) => workerId) });
    this.#operator = operator;
    const victims: Victims = {
      ...{ clock, random: this.#random.fork(), trace: this.#trace, network: this.#network },
      ...{ weather: this.#weather, seats: this.#seats, wall: this.#wall },
      leaseMs: this.#plan.leaseMs,
      isBusy: (process) => this.#model.isBusy(process),
      coordinator,
      operator,
      dialHostile: (kind) => new SimHostile({ ...parts, network: this.#network, coordinator }, kind).start(),
      crashCoordinator: (silently) => this.#crashCoordinator(silently),
      restartCoordinator: (holdMs) => this.#restartCoordinator(holdMs),
    };
    scheduleFaults(faults, faultsMs, victims, this.#faultCount);
    await this.#runFor(faultsMs);
    await this.#calmDown();
  }

  #makeCoordinatorParts(): CoordinatorParts {
    const { leaseMs, stuckGraceMs, balancing, drift } = this.#plan;
    const random = this.#random.fork();
    const config: CoreConfig = {
      ...CORE_DEFAULTS,
      leaseMs,
      ...{
        stuckGraceMs,
        balancing,
        maxHistory: 50,
        maxAssignmentsPerStep: random.pick([1, 4, 2_048]),
        maxIdleClasses: 2,
      },
    };
    const terms: SessionTerms = {
      ...{ heartbeatIntervalMs: Math.floor(leaseMs / 3), leaseMs, stuckGraceMs },
      ...{ maxPayloadBytes: 1_048_576, version: 'sim' },
    };
    return {
      clock: this.#clock,
      wall: this.#wall,
      network: this.#network,
      disk: this.#disk,
      weather: this.#weather,
      model: this.#model,
      ...{ random, drift, trace: this.#trace, config, terms },
      taskOf: (taskId) => this.#taskOf(taskId),
      onGivenUp: (coordinator) => coordinator === this.#coordinator && this.#crashCoordinator(false),
    };
  }

  #taskOf(taskId: string): ParsedTask {
    const plan = this.#plan.tasks.find((task) => task.taskId === taskId);
    if (plan === undefined) throw new Error(`no client has a task ${taskId}`);
    const { spec, body, digest } = plan;
    return { taskId, spec, body, digest };
  }

  #startCoordinator(): SimCoordinator {
    const coordinator = new SimCoordinator(this.#coordinatorParts);
    this.#network.acceptors.worker = coordinator.sessions;
    this.#network.acceptors.tasks = coordinator.taskStreams;
    coordinator.start();
    return coordinator;
  }

  #crashCoordinator(silently: boolean): void {
    if (!this.#coordinator.process.alive) return;
    this.#coordinator.crash(silently);
    const downMs = this.#random.pick([50, 2_000, this.#random.between(0, 25_000)]);
    this.#clock.after(downMs, () => (this.#coordinator = this.#startCoordinator()), true);
  }

  #restartCoordinator(holdMs: number): void {
    if (!this.#coordinator.listening) return;
    const downMs = this.#random.pick([50, 2_000, this.#random.between(0, 25_000), this.#random.between(0, 90_000)]);
    this.#coordinator.stop(holdMs, () => {
      this.#clock.after(downMs, () => (this.#coordinator = this.#startCoordinator()), true);
    });
  }

  async #runFor(ms: number, done = (): boolean => false): Promise<void> {
    const over = (): boolean => this.#model.violation !== null || done();
    if (over()) return;
    await this.#clock.runUntil(this.#clock.nowMs + ms, over);
  }

  async #calmDown(): Promise<void> {
    this.#trace.add('FAULT', 'none any more');
    this.#calm = true;
    this.#weather.stallMs = 0;
    this.#weather.refusal = null;
    this.#wall.set(0);
    this.#network.heal();
    this.#operator?.resume();
    const { calmMs, lookMs } = this.#plan.pace;
    const endMs = this.#clock.nowMs + calmMs;
    let quiet = false;
    while (this.#clock.nowMs < endMs && this.#model.violation === null && !quiet) {
      for (const client of this.#clients) if (!client.done) client.read();
      await this.#runFor(lookMs);
      quiet = this.#clients.every(({ done }) => done) && (await this.#fleetIsQuiet());
    }
    if (this.#model.violation !== null) return;
    if (!quiet) await this.#failLiveness();
    for (const client of this.#clients) client.read();
    await this.#runFor(ANSWER_MS);
  }

  async #failLiveness(): Promise<void> {
    const open = [...this.#model.tasks.values()].filter(
      ({ end }, index) => end === null && this.#clients[index]?.done === false,
    );
    const rule = open.length > 0 ? 'every task ends once faults have stopped' : 'every worker becomes ready and idle';
    const fleet = await this.#fleet();
    this.#model.fail(rule, `${open.map(({ plan }) => plan.taskId).join(' ')}; fleet: ${fleet.join(', ')}`);
  }

  async #fleetIsQuiet(): Promise<boolean> {
    const ready = await this.#fleet();
    return this.#seats.every(({ plan, alive }) => alive.length === 1 && ready.includes(`${plan.workerId} READY 0`));
  }

  /** What a person sees who lists the workers. */
  async #fleet(): Promise<string[]> {
    let seen: string[] | null = null;
    this.#clock.after(
      0,
      () => {
        if (!this.#coordinator.listening) return;
        this.#coordinator.ask(
          (token) => ({ kind: 'listWorkers', token, afterWorkerId: '', limit: 100 }),
          (reply) => {
            if (reply.kind !== 'workers') return;
            seen = reply.workers.map(({ workerId, state, slotsUsed }) => `${workerId} ${state} ${slotsUsed}`);
          },
        );
      },
      true,
    );
    await this.#runFor(ANSWER_MS, () => seen !== null);
    return seen ?? [];
  }

  #report(): SimReport {
    const ends: Record<string, number> = {};
    let attempts = 0;
    for (const task of this.#model.tasks.values()) {
      const state = task.end?.state ?? 'NONE';
      ends[state] = (ends[state] ?? 0) + 1;
      attempts += task.attempts.length;
    }
    const { violation } = this.#model;
    const { nowMs: simulatedMs, eventCount: events } = this.#clock;
    this.#trace.add('end', `${events} events`);
    const { seed } = this;
    return {
      seed,
      violation,
      hash: this.#trace.hash(),
      newest: this.#trace.newest(),
      simulatedMs,
      events,
      ends,
      attempts,
      faults: this.#faultCount.byKind,
      tasks: this.#clients.length,
    };
  }
}

import { status as Code } from '@grpc/grpc-js';
import type { CoreConfig } from '../../coordinator/core/config.js';
import type { Input, ProcessEnd } from '../../coordinator/core/inputs.js';
import { checkInvariants } from '../../coordinator/core/invariants.js';
import type { CoreEvent, SessionOutput } from '../../coordinator/core/outputs.js';
import type { ReplyToken } from '../../coordinator/core/task.js';
import { Engine, type EngineReply } from '../../coordinator/engine.js';
import type { SessionTerms } from '../../coordinator/session/session.js';
import type { ParsedTask } from '../../coordinator/services/parse-task.js';
import type { MemoryDisk } from '../../coordinator/store/memory-store.js';
import { FleetError } from '../../proto/fleet-error.js';
import { SimProcess, type SimClock, type WallClock } from './clock.js';
import { CrashTrap, type CrashPoint } from './crash-points.js';
import { Hearing } from './hearing.js';
import type { Model } from './model.js';
import type { SimNetwork } from './network.js';
import type { Prng } from './random.js';
import { SimSessionHost } from './sim-session-host.js';
import { SimStore, type StoreWeather } from './sim-store.js';
import { SimTaskStreams } from './sim-task-streams.js';
import type { Trace } from './trace.js';

/** What a coordinator process needs, the same for all of a simulation. */
export interface CoordinatorParts {
  readonly clock: SimClock;
  readonly wall: WallClock;
  /** How far the monotonic clock of each life may be off, as a share of the time. */
  readonly drift: number;
  readonly random: Prng;
  readonly disk: MemoryDisk;
  readonly network: SimNetwork;
  readonly weather: StoreWeather;
  readonly model: Model;
  readonly trace: Trace;
  readonly config: CoreConfig;
  readonly terms: SessionTerms;
  /** What a client's stream submits under an id. */
  readonly taskOf: (taskId: string) => ParsedTask;
  /** Its process has ended by itself, as it may after a store has refused for long; something starts it again. */
  readonly onGivenUp: (coordinator: SimCoordinator) => void;
}

const MIB = 1_048_576;
/** Says the core of a worker that is lost for no other reason. */
const SILENT = 'its lease is over';
const INBOX = { maxInputs: 16_384, maxBytes: 64 * MIB, batchInputs: 2_048, batchBytes: 8 * MIB };
/** How long workers may take to hear that the coordinator will be back. */
const ANNOUNCE_MS = 500;
const STOPPING = new FleetError(Code.UNAVAILABLE, 'COORDINATOR_STOPPING', 'the coordinator is stopping');
/** sysexits.h EX_IOERR, as the engine gives up with. */
const EXIT_STORE = 74;
/** A store that has refused for so long may make it give up, in milliseconds; clocks that drift are allowed for. */
const GIVES_UP_MS = 29_500;

/** One life of a coordinator: the real engine, and the real sessions in {@link SimSessionHost}. */
export class SimCoordinator {
  readonly process: SimProcess;
  readonly #engine: Engine;
  readonly #store: SimStore;
  readonly sessions: SimSessionHost;
  readonly taskStreams: SimTaskStreams;
  readonly #trap = new CrashTrap();
  readonly #hearing: Hearing;
  #listening = false;
  #stopping = false;

  constructor(private readonly parts: CoordinatorParts) {
    const { clock, wall, drift, random, disk, weather, config, terms, model, trace } = parts;
    this.process = new SimProcess(clock, { rate: 1 + random.between(-drift, drift), wall });
    this.#hearing = new Hearing(config);
    this.#store = new SimStore({
      ...{ process: this.process, random: random.fork(), weather, disk },
      reach: (point) => this.#trap.reach(point),
    });
    const core = random.fork();
    this.#engine = new Engine({
      store: this.#store,
      config,
      random: { next: () => core.next(), leaseId: () => core.hex(16) },
      runtime: this.process,
      // Small batches: what has arrived and is not in one yet must not be judged as silence.
      inbox: { ...INBOX, batchInputs: core.pick([2_048, 2_048, 8, 2]) },
      checkInvariants: (state) => {
        checkInvariants(state);
        this.#hearing.judges(this.process.monoMs);
      },
      onFatal: (error, exitCode) => this.#giveUp('the coordinator never gives up', exitCode, error),
      onEvent: (event) => {
        this.#checkLoss(event);
        const who = 'taskId' in event ? event.taskId.slice(0, 8) : 'workerId' in event ? event.workerId : '';
        trace.add(
          'core',
          `${event.name} ${who} ${'outcome' in event ? `${event.outcome} ${event.charge} ${event.taskState}` : ''}`,
        );
      },
    });
    this.sessions = new SimSessionHost({
      ...{ process: this.process, terms, model, trace },
      listens: () => this.listening,
      append: (input, bytes) => this.#engine.append(input, bytes),
      reach: (point) => this.#trap.reach(point),
      hearing: this.#hearing,
    });
    this.taskStreams = new SimTaskStreams({
      ...{ process: this.process, engine: this.#engine, model, taskOf: parts.taskOf },
      listens: () => this.listening,
    });
  }

  /** True from when calls and streams are taken. */
  get listening(): boolean {
    return this.#listening && !this.#stopping && this.process.alive;
  }

  /** Opens the store and listens. */
  start(): void {
    const { trace } = this.parts;
    trace.add('coordinator', 'starts');
    this.#engine.start({ deliver: (sessionId, outputs) => this.#deliver(sessionId, outputs) }).then(
      () => {
        if (!this.process.alive) return;
        trace.add('coordinator', 'listens');
        this.#listening = true;
        this.#engine.listening();
        this.sessions.start();
      },
      (error: unknown) => this.#giveUp('the coordinator starts', EXIT_STORE, error),
    );
  }

  /** Its process dies when it reaches this point once more than `passes` times. */
  dieAt(point: CrashPoint, passes: number, crash: () => void): void {
    this.#trap.arm(point, passes, () => {
      this.parts.trace.add('coordinator', `is about to die at ${point}`);
      crash();
    });
  }

  /** The process ends by itself; right only if its store has refused for long. */
  #giveUp(rule: string, exitCode: number, error: unknown): void {
    if (!this.process.alive) return;
    const refusedMs = this.#store.refusedMs;
    if (exitCode === EXIT_STORE && refusedMs >= GIVES_UP_MS) {
      this.parts.trace.add('coordinator', `gives up: ${String(error)}`);
      this.parts.onGivenUp(this);
    } else {
      this.parts.model.fail(rule, `exit ${exitCode} after refusals for ${refusedMs}: ${String(error)}`);
    }
  }

  /** Nothing of the process runs for a while, as after SIGSTOP. */
  stall(forMs: number): void {
    if (this.process.stalled) return;
    this.parts.trace.add('coordinator', `stands still for ${forMs.toFixed(0)}`);
    const sinceMs = this.process.monoMs;
    this.process.stall(forMs, () => {
      this.#hearing.stood(this.process.monoMs - sinceMs, this.process.monoMs);
      this.parts.network.pumpAll();
    });
  }

  /** The process vanishes; `silently`: with its machine, so that nobody is told. */
  crash(silently: boolean): void {
    this.parts.trace.add('coordinator', silently ? 'dies with its machine' : 'dies');
    this.process.kill();
    this.#listening = false;
    this.#store.crash();
    this.sessions.crash(silently);
    this.taskStreams.crash(silently);
    this.parts.network.pumpAll();
  }

  /**
   * Stops in good order, as `coordinator/coordinator.ts` does: what runs is held, the streams end, the store is closed.
   *
   * @param onGone the process has ended; not called if it crashes before
   */
  stop(holdMs: number, onGone: () => void): void {
    this.parts.trace.add('coordinator', `stops, and holds what runs for ${holdMs}`);
    this.#stopping = true;
    const alive = (run: () => void) => () => {
      if (this.process.alive) run();
    };
    const end = alive(() => {
      this.#listening = false;
      this.sessions.stop(STOPPING);
      this.taskStreams.stop(STOPPING);
      void this.#engine.stop().then(
        alive(() => {
          this.parts.trace.add('coordinator', 'has stopped');
          this.process.kill();
          onGone();
        }),
      );
    });
    void this.#engine.hold(holdMs).then((holds) => {
      if (!this.process.alive) return;
      if (holds) this.sessions.announceReturn(holdMs);
      this.process.after(ANNOUNCE_MS, end);
    });
  }

  /**
   * What a service does with a call: asks the engine.
   *
   * @returns The token, or why it is refused.
   */
  ask(make: (token: ReplyToken) => Input, listener: (reply: EngineReply) => void): ReplyToken | string {
    const { refusal } = this.#engine;
    if (refusal !== null) return refusal.reason;
    if (this.#store.refuses) this.parts.model.fail('while the store refuses, calls are refused at the door', '');
    const token = this.#engine.ask(make, 100, (reply) => {
      if (!this.process.alive || this.#trap.reach('reply')) return;
      this.#checkDurable(reply);
      listener(reply);
    });
    return token ?? 'INBOX_FULL';
  }

  /** Invariant 1: what is acknowledged is on the disk. */
  #checkDurable(reply: EngineReply): void {
    if (reply.kind === 'submitted') this.parts.model.submitIsDurable(reply.taskId, this.#store.rowOnDisk(reply.taskId));
  }

  /** Section 3: nobody is given up for a silence in which the coordinator could have heard nobody. */
  #checkLoss(event: CoreEvent): void {
    if (event.name !== 'worker-lost' || event.message !== SILENT) return;
    // Of two processes with one incarnation each undoes what the other's frames say.
    if (this.parts.model.hasRepeats(event.workerId)) return;
    const fault = this.#hearing.faultOfLoss(event.incarnation);
    if (fault !== undefined) this.parts.model.fail('a worker has its whole lease', `${event.workerId}: ${fault}`);
  }

  #deliver(sessionId: number, outputs: readonly SessionOutput[]): void {
    if (!this.process.alive) return;
    for (const output of outputs) {
      if (output.kind === 'assign')
        this.parts.model.assignmentIsDurable(output.ref, (taskId) => this.#store.rowOnDisk(taskId));
    }
    if (!this.#trap.reach('output')) this.sessions.deliver(sessionId, outputs);
  }

  /** A call, or its end, arrives over the network; `unheard`: nobody listens there. */
  arrive(run: () => void, unheard: () => void = () => undefined): void {
    if (!this.process.alive) return unheard();
    this.process.arrive(() => (this.listening ? run() : unheard()));
  }

  /** A supervisor in the coordinator's own program says so. */
  processEnded(incarnation: string, how: ProcessEnd): void {
    this.arrive(() => this.#engine.processEnded(incarnation, how));
  }

  abandon(token: ReplyToken, taskId: string, cancel: boolean): void {
    this.#engine.abandon(token, [taskId], cancel);
  }
}

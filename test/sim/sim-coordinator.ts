import { fromBinary } from '@bufbuild/protobuf';
import type { CoreConfig } from '../../coordinator/core/config.js';
import type { Input, ProcessEnd } from '../../coordinator/core/inputs.js';
import { checkInvariants } from '../../coordinator/core/invariants.js';
import type { SessionOutput } from '../../coordinator/core/outputs.js';
import type { ReplyToken } from '../../coordinator/core/task.js';
import { Engine, type EngineReply, type SessionGateway } from '../../coordinator/engine.js';
import { Session, type SessionTerms } from '../../coordinator/session/session.js';
import type { MemoryDisk } from '../../coordinator/store/memory-store.js';
import { status as Code } from '@grpc/grpc-js';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  type ConnectRequest,
} from '../../proto/gen/remuda/v1/worker_service_pb.js';
import { FleetError } from '../../proto/fleet-error.js';
import type { StreamEnd } from '../../client/frame-stream.js';
import { SimProcess, type SimClock, type WallClock } from './clock.js';
import type { Model } from './model.js';
import type { SimNetwork, SimStream, StreamAcceptor, StreamSide } from './network.js';
import type { Prng } from './random.js';
import { SimStore, type StoreSabotage, type StoreWeather } from './sim-store.js';
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
  readonly storeSabotage: StoreSabotage;
  /** Changes what the engine lets out to a session; for proofs that the simulation would notice. */
  readonly tamper: (
    sessionId: number,
    outputs: readonly SessionOutput[],
    gateway: SessionGateway,
  ) => readonly SessionOutput[];
}

interface Hosted {
  readonly session: Session;
  readonly stream: SimStream;
  over: boolean;
}

const TICK_MS = 100;
const MIB = 1_048_576;
const INBOX = { maxInputs: 16_384, maxBytes: 64 * MIB, batchInputs: 2_048, batchBytes: 8 * MIB };
/** How long workers may take to hear that the coordinator will be back. */
const ANNOUNCE_MS = 500;
const STOPPING = new FleetError(Code.UNAVAILABLE, 'COORDINATOR_STOPPING', 'the coordinator is stopping');
const COORDINATOR_GONE: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'the coordinator is gone' };

/** One life of a coordinator: the real engine and sessions, hosted as `coordinator/session/session-host.ts` does it, over the simulated network. */
export class SimCoordinator implements StreamAcceptor, SessionGateway {
  readonly process: SimProcess;
  readonly #engine: Engine;
  readonly #store: SimStore;
  readonly #hosted = new Map<number, Hosted>();
  readonly #dirty = new Set<Hosted>();
  #flushDue = false;
  #nextSessionId = 1;
  #listening = false;
  #stopping = false;

  constructor(private readonly parts: CoordinatorParts) {
    const { clock, wall, drift, random, disk, weather, config, storeSabotage, model, trace } = parts;
    this.process = new SimProcess(clock, { rate: 1 + random.between(-drift, drift), wall });
    this.#store = new SimStore(this.process, random.fork(), weather, disk, storeSabotage);
    const core = random.fork();
    this.#engine = new Engine({
      store: this.#store,
      config,
      random: { next: () => core.next(), leaseId: () => core.hex(16) },
      runtime: this.process,
      // Small batches: what has arrived and is not in one yet must not be judged as silence.
      inbox: { ...INBOX, batchInputs: core.pick([2_048, 2_048, 8, 2]) },
      checkInvariants,
      onFatal: (error, exitCode) => {
        if (this.process.alive) model.fail('the coordinator never gives up', `exit ${exitCode}: ${error.message}`);
      },
      onEvent: (event) => {
        const who = 'taskId' in event ? event.taskId.slice(0, 8) : event.workerId;
        trace.add(
          'core',
          `${event.name} ${who} ${'outcome' in event ? `${event.outcome} ${event.charge} ${event.taskState}` : ''}`,
        );
      },
    });
  }

  /** True from when calls and streams are taken. */
  get listening(): boolean {
    return this.#listening && !this.#stopping && this.process.alive;
  }

  /** Opens the store and listens. */
  start(): void {
    const { model, trace } = this.parts;
    trace.add('coordinator', 'starts');
    this.#engine.start(this).then(
      () => {
        if (!this.process.alive) return;
        trace.add('coordinator', 'listens');
        this.#listening = true;
        this.#engine.listening();
        this.#tick();
      },
      (error: unknown) => model.fail('the coordinator starts', String(error)),
    );
  }

  /** False while nothing of it runs. */
  readonly reads = (): boolean => !this.process.stalled;

  /** Nothing of the process runs for a while, as after SIGSTOP. */
  stall(forMs: number): void {
    if (this.process.stalled) return;
    this.parts.trace.add('coordinator', `stands still for ${forMs.toFixed(0)}`);
    this.process.stall(forMs, () => {
      for (const stream of this.parts.network.streams) stream.coordinatorReads();
    });
  }

  /** The process vanishes; `silently`: with its machine, so that nobody is told. */
  crash(silently: boolean): void {
    this.parts.trace.add('coordinator', silently ? 'dies with its machine' : 'dies');
    this.process.kill();
    this.#listening = false;
    this.#store.crash();
    for (const { stream } of this.#hosted.values()) stream.closeFromCoordinator(COORDINATOR_GONE, silently);
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
      for (const hosted of [...this.#hosted.values()]) {
        hosted.session.end(STOPPING);
        this.#flush(hosted);
      }
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
      for (const hosted of holds ? [...this.#hosted.values()] : []) {
        hosted.session.announceReturn(holdMs);
        this.#flush(hosted);
      }
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
    const token = this.#engine.ask(make, 100, (reply) => this.process.alive && listener(reply));
    return token ?? 'INBOX_FULL';
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

  accept(stream: SimStream): StreamSide | undefined {
    if (!this.listening) return undefined;
    const sessionId = this.#nextSessionId;
    this.#nextSessionId += 1;
    const session = new Session(sessionId, this.parts.terms, this.process.monoMs);
    const hosted: Hosted = { session, stream, over: false };
    this.#hosted.set(sessionId, hosted);
    const alive = (run: () => void): void => this.process.arrive(() => !hosted.over && run());
    return {
      reads: this.reads,
      onFrame: (bytes) => alive(() => this.#frame(hosted, bytes)),
      onEnd: () =>
        alive(() => {
          session.end(null);
          this.#markDirty(hosted);
        }),
      onWritable: () => alive(() => this.#markDirty(hosted)),
    };
  }

  deliver(sessionId: number, outputs: readonly SessionOutput[]): void {
    if (!this.process.alive) return;
    const hosted = this.#hosted.get(sessionId);
    for (const output of outputs) {
      if (output.kind === 'assign')
        this.parts.model.assignmentIsDurable(output.ref, this.#store.rowOnDisk(output.ref.taskId));
    }
    if (hosted === undefined) return;
    hosted.session.deliver(this.parts.tamper(sessionId, outputs, this));
    this.#flush(hosted);
  }

  /** Sessions that are open now; for the seams of {@link CoordinatorParts.tamper}. */
  sessionIds(): number[] {
    return [...this.#hosted.keys()];
  }

  /** Delivers to another session than the engine meant; see {@link CoordinatorParts.tamper}. */
  smuggle(sessionId: number, outputs: readonly SessionOutput[]): void {
    this.#hosted.get(sessionId)?.session.deliver(outputs);
  }

  #frame(hosted: Hosted, bytes: Uint8Array): void {
    const frame: ConnectRequest = fromBinary(ConnectRequestSchema, bytes);
    hosted.session.frame(this.process.monoMs, frame, bytes.byteLength);
    this.#pass(hosted);
    this.#markDirty(hosted);
  }

  #pass(hosted: Hosted): void {
    for (const { input, bytes } of hosted.session.takeInputs()) {
      // The simulated inbox is never full, so no stream is paused.
      if (!this.#engine.append(input, bytes)) throw new Error('the inbox is full');
    }
  }

  #markDirty(hosted: Hosted): void {
    this.#dirty.add(hosted);
    if (this.#flushDue) return;
    this.#flushDue = true;
    this.process.defer(() => {
      this.#flushDue = false;
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      for (const one of dirty) this.#flush(one);
    });
  }

  #flush(hosted: Hosted): void {
    if (hosted.over) return;
    const { session, stream } = hosted;
    this.#pass(hosted);
    while (stream.takesFromCoordinator) {
      const bytes = session.takeFrame(this.process.monoMs);
      if (bytes === undefined) break;
      this.parts.model.frameToWorker(stream.host, fromBinary(ConnectResponseSchema, bytes));
      stream.fromCoordinator(bytes);
    }
    if (session.state.t !== 'Ended') return;
    const { error } = session.state;
    hosted.over = true;
    this.#hosted.delete(session.sessionId);
    this.parts.trace.add('coordinator', `session ${session.sessionId} of ${stream.host} ends ${error?.reason ?? ''}`);
    stream.closeFromCoordinator(
      error === null
        ? { code: 'OK', reason: '', message: '' }
        : { code: Code[error.code], reason: error.reason, message: error.message },
    );
  }

  #tick(): void {
    this.process.after(TICK_MS, () => {
      this.#tick();
      this.process.defer(() => {
        const nowMs = this.process.monoMs;
        for (const hosted of this.#hosted.values()) {
          hosted.session.tick(nowMs);
          this.#pass(hosted);
          if (hosted.session.state.t === 'Ended' || hosted.session.ackIsDue(nowMs)) this.#flush(hosted);
        }
      });
    });
  }
}

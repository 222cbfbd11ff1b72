import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ConnectRequestSchema, ConnectResponseSchema } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import type { SessionEffect } from '../../worker/session-effects.js';
import { LOOP_PING_MS, LoopWatch } from '../../worker/loop-watch.js';
import { SessionMachine } from '../../worker/session-machine.js';
import type { SessionEvent } from '../../worker/session-messages.js';
import { SimProcess, type SimClock } from './clock.js';
import type { Model } from './model.js';
import type { SimNetwork, SimStream } from './network.js';
import type { HandlerPlan, SeatPlan } from './plan.js';
import type { Prng } from './random.js';
import { SimHandlers } from './sim-handlers.js';
import type { Trace } from './trace.js';

/** What a worker process needs, the same for all of a simulation. */
export interface WorkerParts {
  readonly clock: SimClock;
  readonly network: SimNetwork;
  readonly random: Prng;
  /** How far each process's monotonic clock may be off, as a share of the time. */
  readonly drift: number;
  readonly model: Model;
  readonly trace: Trace;
  readonly tempers: () => HandlerPlan;
  /** Slow handlers take up to so long, in milliseconds. */
  readonly slowMs: number;
  /** Sessions ask the main threads for signs of life, as they do; off, it is as if every answer came at once. */
  readonly watchesLoops: boolean;
}

/** From the session's thread to the handlers' and back, each way. */
const HOP_MS = 0.2;

/** One life of a worker process: the real session machine, hosted as `worker/session-host.ts` hosts it. */
export class SimWorker {
  readonly process: SimProcess;
  /** The process's main thread; the session has one of its own. */
  readonly #mainThread: SimProcess;
  readonly #machine: SessionMachine;
  readonly #handlers: SimHandlers;
  #stream: { readonly sessionNumber: number; readonly stream: SimStream } | undefined;
  readonly #loopWatch: LoopWatch;
  #forgetTimer: (() => void) | undefined;
  #flushDue = false;

  /**
   * @param name For the trace and the model: the worker_id and a number
   * @param onExit The process has ended by itself, with this code of {@link SessionExit}
   */
  constructor(
    private readonly parts: WorkerParts,
    readonly name: string,
    seat: SeatPlan,
    readonly incarnation: string,
    replaces: readonly string[],
    private readonly onExit: (code: number) => void,
  ) {
    const { clock, random, drift, model, tempers, slowMs } = parts;
    const clocks = { rate: 1 + random.between(-drift, drift) };
    this.process = new SimProcess(clock, clocks);
    this.#mainThread = new SimProcess(clock, clocks);
    const { namesTheDead: _, ...offer } = seat;
    const about = { version: 'sim', host: 'sim', pid: 1, address: 'sim' };
    const draw = random.fork();
    this.#machine = new SessionMachine({ ...offer, ...about, incarnation, replaces }, { random: () => draw.next() });
    const { process } = this;
    this.#loopWatch = new LoopWatch({
      ping: (number) => this.#mainThread.after(HOP_MS, () => this.#hear(() => this.#loopWatch.pong(number))),
      onChange: (what) => {
        if (what === 'asked') this.#machine.loopAsked(process.monoMs);
        else this.#machine.loopAnswered();
        this.#wake();
      },
      nowMs: () => process.monoMs,
    });
    this.#handlers = new SimHandlers({
      ...{ process: this.#mainThread, name, seat, random: random.fork(), model, tempers, slowMs },
      listener: {
        started: (key) => this.#hear(() => this.#machine.started(process.monoMs, key)),
        settled: (key, settlement, runMs) =>
          this.#hear(() => this.#machine.settled(process.monoMs, key, settlement, runMs)),
      },
    });
  }

  start(): void {
    this.parts.trace.add(this.name, 'starts');
    this.#machine.start(this.process.monoMs);
    this.#wake();
    if (this.parts.watchesLoops) this.#watchLoop();
  }

  /** SIGTERM. */
  leave(drainTimeoutMs: number): void {
    this.parts.trace.add(this.name, `is told to leave within ${drainTimeoutMs}`);
    this.#machine.leave(this.process.monoMs, drainTimeoutMs);
    this.#wake();
  }

  /** Nothing of the process runs for a while, as after SIGSTOP. */
  stall(forMs: number): void {
    if (this.process.stalled) return;
    this.parts.trace.add(this.name, `stands still for ${forMs.toFixed(0)}`);
    const { model } = this.parts;
    model.stalls(this.name);
    this.#mainThread.stall(forMs);
    this.process.stall(forMs, () => {
      model.wakes(this.name);
      this.#stream?.stream.workerReads();
    });
  }

  /** A handler blocks the main thread for a while; the session goes on. */
  block(forMs: number): void {
    this.parts.trace.add(this.name, `is blocked by a handler for ${forMs.toFixed(0)}`);
    this.parts.model.stalls(this.name);
    this.#mainThread.stall(forMs, () => this.parts.model.wakes(this.name));
  }

  /** The process vanishes; `silently`: with its machine, so that nobody is told. */
  kill(silently: boolean): void {
    if (!this.process.alive) return;
    this.parts.trace.add(this.name, silently ? 'dies with its machine' : 'dies');
    this.#die();
    this.#stream?.stream.closeFromWorker(silently);
    this.#stream = undefined;
  }

  #watchLoop(): void {
    this.process.after(LOOP_PING_MS, () => {
      this.#watchLoop();
      this.#loopWatch.ask();
    });
  }

  #die(): void {
    this.process.kill();
    this.#mainThread.kill();
    this.parts.model.vanished(this.name);
  }

  #hear(run: () => void): void {
    this.process.after(HOP_MS, () => {
      run();
      this.#wake();
    });
  }

  #wake(): void {
    if (this.#flushDue || !this.process.alive) return;
    this.#flushDue = true;
    this.process.defer(() => {
      this.#flushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    const machine = this.#machine;
    machine.tick(this.process.monoMs);
    for (let effects = machine.takeEffects(); effects.length > 0; effects = machine.takeEffects()) {
      for (const effect of effects) this.#do(effect);
    }
    while (this.process.alive && this.#stream?.stream.takesFromWorker === true) {
      const frame = machine.takeFrame(this.process.monoMs);
      if (frame === undefined) break;
      this.parts.model.frameToCoordinator(frame);
      this.#stream.stream.fromWorker(toBinary(ConnectRequestSchema, frame));
    }
    if (this.process.alive) this.#setTimer();
  }

  #setTimer(): void {
    this.#forgetTimer?.();
    const deadlineMs = this.#machine.deadlineMs();
    if (deadlineMs === Infinity) return;
    const waitMs = Math.max(1, Math.ceil(deadlineMs - this.process.monoMs));
    this.#forgetTimer = this.process.after(waitMs, () => this.#wake());
  }

  #do(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'dial':
        this.#dial(effect.sessionNumber);
        break;
      case 'hangUp':
        if (this.#stream?.sessionNumber !== effect.sessionNumber) break;
        this.#stream.stream.closeFromWorker();
        this.#stream = undefined;
        break;
      case 'run':
        for (const { assignment } of effect.tasks) this.#mainThread.after(HOP_MS, () => this.#handlers.run(assignment));
        break;
      case 'abort':
        this.parts.model.told(effect.key, effect.cause);
        this.#mainThread.after(HOP_MS, () => this.#handlers.abort(effect.key, effect.cause));
        break;
      case 'measure':
        this.#machine.load({ cpuMillis: 1, rssBytes: 1, handlerLoopLagMs: this.#loopWatch.takeLagMs() });
        break;
      case 'event':
        this.#note(effect.event);
        break;
      case 'exit':
        this.parts.trace.add(this.name, `exits with ${effect.exit.code}: ${effect.exit.message}`);
        this.#die();
        this.onExit(effect.exit.code);
        break;
      case 'draining':
        break;
    }
  }

  #note(event: SessionEvent): void {
    const details = 'taskId' in event ? ` ${event.taskId.slice(0, 8)}/${event.attempt}` : '';
    const message = 'message' in event ? ` ${event.message}` : '';
    this.parts.trace.add(this.name, `${event.name}${details}${message}`);
    if (event.name === 'refused-assignment') this.parts.model.refusedAssignment(this.name, event.message);
  }

  #dial(sessionNumber: number): void {
    const alive = (run: () => void): void => {
      this.process.arrive(() => {
        run();
        this.#wake();
      });
    };
    const stream = this.parts.network.dial(this.name, {
      reads: () => !this.process.stalled,
      onFrame: (bytes) =>
        alive(() => {
          this.#machine.frame(this.process.monoMs, sessionNumber, fromBinary(ConnectResponseSchema, bytes));
        }),
      onWritable: () => alive(() => undefined),
      onEnd: (end) =>
        alive(() => {
          if (this.#stream?.sessionNumber === sessionNumber) this.#stream = undefined;
          this.#machine.ended(this.process.monoMs, sessionNumber, end);
        }),
    });
    this.#stream = { sessionNumber, stream };
    this.#machine.opened(sessionNumber);
  }
}

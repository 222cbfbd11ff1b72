import { randomBytes } from 'node:crypto';
import { MAX_REPLACES } from '../proto/bounds.js';
import { RestartPolicy, type RestartLimit } from './restart-policy.js';
import { EXIT_RECYCLE, EXIT_REFUSED, EXIT_SUPERSEDED } from './session-effects.js';
import type { SessionPulse } from './session-pulse.js';
import { SilenceWatch } from './silence-watch.js';
import { endStatus, SupervisedChild, type ChildCommand, type ChildEnd, type ChildOutput } from './supervised-child.js';

/** What a supervisor needs. */
export interface SupervisorOptions {
  /** How many worker processes {@link Supervisor.start} starts, 0 to 1,000. */
  readonly processes: number;
  /** What to start as the process of this place. Called for each start. */
  readonly command: (index: number) => ChildCommand;
  /** Where the output of this place's process goes. Called for each start. */
  readonly output: (index: number) => ChildOutput;
  /** Told of everything that happens, also from within calls; it may call the supervisor. */
  readonly onEvent: (event: SupervisorEvent) => void;
  /** False: no process is started again after an end that nobody asked for. Default: true. */
  readonly autoRestart?: boolean;
  /** A place that fails again after so many restarts is given up. Default: none is. */
  readonly restartLimit?: RestartLimit;
  /**
   * True: each process leads a process group of its own, so that a terminal's Ctrl-C does not reach it, and whatever is left of
   * the group ends with it, by SIGKILL. Default: false.
   */
  readonly ownGroup?: boolean;
  /**
   * Asks the children's sessions for a sign of life each `pulseMs` milliseconds, from when they begin to dial on, and ends one that
   * has given none for `silenceMs` by SIGKILL, a failure like any other; undefined: it does not. Default: none is asked for.
   */
  readonly watch?: { readonly pulseMs: number; readonly silenceMs: number | undefined };
  /** Remembers incarnations beyond the life of this process. Default: nobody does. */
  readonly ledger?: IncarnationLedger;
  /** Evenly distributed in [0, 1). Default: Math.random. */
  readonly random?: () => number;
  /** A monotonic clock, in milliseconds. Default: performance.now, which counts from the start of the thread. */
  readonly nowMs?: () => number;
  readonly periods?: Partial<SupervisorPeriods>;
}

/** Where incarnations are written down that the coordinator may have to be told of by another supervisor. */
export interface IncarnationLedger {
  /** Incarnations of this place that are known to have ended, at most {@link MAX_REPLACES}. */
  ended(index: number): readonly string[];
  /** A process of this place has been started; `replaces` have ended, and the coordinator may not know of it yet. */
  started(index: number, incarnation: string, pid: number, replaces: readonly string[]): void;
}

/** The supervisor's periods, in milliseconds. */
export interface SupervisorPeriods {
  /** First and longest wait before a restart; the very first restart is at once. */
  readonly restartInitialMs: number;
  readonly restartMaxMs: number;
  /** A process that lived this long begins the back-off anew. */
  readonly stableMs: number;
  /** How long after a drain's deadline a process may still take to end before it is killed. */
  readonly killMarginMs: number;
}

const PERIODS: SupervisorPeriods = {
  restartInitialMs: 200,
  restartMaxMs: 30_000,
  stableMs: 60_000,
  // The grace of a stuck handler, the reports of a recycled process, teardown, and room to spare.
  killMarginMs: 40_000,
};

/**
 * Why a child ended, the first that holds: `drained`: the supervisor is at its end; `retired`: its place was; `final`: starting it
 * again would not help (status 2 or 78); `replaced`: it was asked to make room for a fresh one; `recycled`: a handler was stuck,
 * no failure; `given-up`: it failed, and is not to be started again; `failed`: it failed, and is.
 */
export type ChildEndKind = 'drained' | 'retired' | 'final' | 'replaced' | 'recycled' | 'given-up' | 'failed';

/** What happens to the children. `name` is stable. */
export type SupervisorEvent =
  | {
      readonly name: 'child-started';
      readonly index: number;
      readonly pid: number;
      readonly incarnation: string;
      /** How often this place's process has been started again. */
      readonly restarts: number;
    }
  | {
      readonly name: 'child-ready';
      readonly index: number;
      readonly pid: number | undefined;
      readonly incarnation: string;
    }
  /** A child's session has given a sign of life. Only with {@link SupervisorOptions.watch}. */
  | { readonly name: 'child-pulse'; readonly index: number; readonly pulse: SessionPulse }
  /** A child has given none for too long, and is ended by SIGKILL. */
  | {
      readonly name: 'child-silent';
      readonly index: number;
      readonly pid: number | undefined;
      readonly silenceMs: number;
    }
  | {
      readonly name: 'child-ended';
      readonly index: number;
      readonly incarnation: string;
      readonly restarts: number;
      readonly end: ChildEnd;
      readonly kind: ChildEndKind;
      /** When it is started again; undefined: never, and `place-freed` follows. */
      readonly restartInMs: number | undefined;
    }
  /** The place is no more, and its index is free for another: a child that ended for good was in it, or it waited for a restart. */
  | { readonly name: 'place-freed'; readonly index: number };

/** How a place is right now. */
export interface PlaceStatus {
  readonly index: number;
  /** Undefined: it waits for its restart, or its process could not be started. */
  readonly pid: number | undefined;
  readonly incarnation: string | undefined;
  /** When the process was started, by the supervisor's clock. */
  readonly startedMs: number | undefined;
  /** The process has been asked to leave: to retire, or to be replaced. */
  readonly leaving: boolean;
  /** How often this place's process has been started again, for whatever reason. */
  readonly restarts: number;
}

interface Running {
  readonly t: 'Running';
  readonly child: SupervisedChild;
  readonly incarnation: string;
  readonly startedMs: number;
  /** It has been welcomed. */
  ready: boolean;
  leaving: 'retire' | 'replace' | undefined;
  killAtMs: number;
  killTimer: NodeJS.Timeout | undefined;
}

interface Place {
  readonly index: number;
  readonly restartPolicy: RestartPolicy;
  /** Ended incarnations that the coordinator may not know of yet. */
  replaces: readonly string[];
  restarts: number;
  state: Running | { readonly t: 'Waiting'; readonly timer: NodeJS.Timeout | undefined };
}

/**
 * Keeps worker processes alive on this machine, each in a place with an index. It makes each one's incarnation, and names the
 * dead ones to the successor, so that the coordinator moves their tasks at once instead of after a lease.
 */
export class Supervisor {
  private readonly periods: SupervisorPeriods;
  private readonly nowMs: () => number;
  private readonly taken = new Map<number, Place>();
  private readonly silence: SilenceWatch | undefined;
  private draining = false;
  private resolveDone: () => void = () => undefined;

  /** Fulfilled when every child has ended after {@link drain} or {@link killAll}. */
  readonly done: Promise<void>;

  constructor(private readonly options: SupervisorOptions) {
    this.periods = { ...PERIODS, ...options.periods };
    this.nowMs = options.nowMs ?? (() => performance.now());
    this.done = new Promise((resolve) => {
      this.resolveDone = resolve;
    });
    this.silence = this.makeSilenceWatch();
  }

  /** Starts the first children. Once. */
  start(): void {
    for (let count = 0; count < this.options.processes; count += 1) this.add();
  }

  /**
   * Starts one more child, in the free place with the lowest index.
   *
   * @returns The index
   * @throws Error after {@link drain} or {@link killAll}
   */
  add(): number {
    if (this.draining) throw new Error('add() after drain() or killAll(): this supervisor starts nothing any more');
    let index = 0;
    while (this.taken.has(index)) index += 1;
    const place: Place = {
      index,
      restartPolicy: this.restartPolicy(),
      replaces: this.options.ledger?.ended(index) ?? [],
      restarts: 0,
      state: { t: 'Waiting', timer: undefined },
    };
    this.taken.set(index, place);
    this.startChild(place);
    return index;
  }

  /**
   * Asks a place's child to leave, and frees the place when it has ended; at once if the place waits for a restart. A repeat can
   * only bring the deadline forward.
   *
   * @param drainMs How long what runs may take to finish, 0 to 86,400,000
   * @returns False if there is no such place
   */
  retire(index: number, drainMs: number): boolean {
    const place = this.taken.get(index);
    if (place === undefined) return false;
    const { state } = place;
    if (state.t === 'Waiting') {
      clearTimeout(state.timer);
      this.free(place);
      return true;
    }
    state.leaving = 'retire';
    this.drainChild(state, drainMs);
    return true;
  }

  /**
   * Asks a place's child to leave, and starts a fresh one when it has ended. That is no failure, and counts as none.
   *
   * @param drainMs How long what runs may take to finish, 0 to 86,400,000
   * @returns False if the place has no process, or its process leaves already
   */
  replace(index: number, drainMs: number): boolean {
    const state = this.taken.get(index)?.state;
    if (state?.t !== 'Running' || state.leaving !== undefined || this.draining) return false;
    state.leaving = 'replace';
    this.drainChild(state, drainMs);
    return true;
  }

  /**
   * Ends a place's child now, by SIGKILL, which is a failure like any other, also while it leaves to be replaced. One that is to
   * retire is not started again.
   *
   * @returns False if the place has no process
   */
  kill(index: number): boolean {
    const state = this.taken.get(index)?.state;
    if (state?.t !== 'Running') return false;
    if (state.leaving === 'replace') state.leaving = undefined;
    state.child.kill();
    return true;
  }

  /**
   * Asks every child to leave and starts none again. A repeat can only bring the deadline forward.
   *
   * @param drainMs How long what runs may take to finish, 0 to 86,400,000
   */
  drain(drainMs: number): void {
    this.draining = true;
    for (const { index } of [...this.taken.values()]) this.retire(index, drainMs);
    this.settle();
  }

  /** Ends every child now, by SIGKILL, and starts none again. */
  killAll(): void {
    this.drain(0);
    for (const { state } of this.taken.values()) if (state.t === 'Running') state.child.kill();
  }

  /** All places there are, in no order. */
  places(): PlaceStatus[] {
    return [...this.taken.values()].map(({ index, restarts, state }) => {
      const running = state.t === 'Running' ? state : undefined;
      return {
        index,
        restarts,
        pid: running?.child.pid,
        incarnation: running?.incarnation,
        startedMs: running?.startedMs,
        leaving: running?.leaving !== undefined,
      };
    });
  }

  private restartPolicy(): RestartPolicy {
    const { restartInitialMs, restartMaxMs, stableMs } = this.periods;
    const { random = Math.random, restartLimit } = this.options;
    return new RestartPolicy({
      initialMs: restartInitialMs,
      maxMs: restartMaxMs,
      stableMs,
      limit: restartLimit,
      random,
    });
  }

  private makeSilenceWatch(): SilenceWatch | undefined {
    const { watch, onEvent } = this.options;
    if (watch?.silenceMs === undefined) return undefined;
    const { pulseMs, silenceMs } = watch;
    return new SilenceWatch({
      pulseMs,
      silenceMs,
      nowMs: this.nowMs,
      onSilence: (index) => {
        const state = this.taken.get(index)?.state;
        if (state?.t !== 'Running') return;
        onEvent({ name: 'child-silent', index, pid: state.child.pid, silenceMs });
        this.kill(index);
      },
    });
  }

  private startChild(place: Place): void {
    const { index, restarts } = place;
    const { command, output, ownGroup = false, onEvent, watch, ledger } = this.options;
    const incarnation = randomBytes(16).toString('hex');
    const child: SupervisedChild = new SupervisedChild(
      command(index),
      { incarnation, replaces: place.replaces, ownGroup, pulseMs: watch?.pulseMs, output: output(index) },
      {
        onReady: () => {
          // The coordinator has read the list.
          place.replaces = [];
          if (child.pid !== undefined) ledger?.started(index, incarnation, child.pid, []);
          if (place.state.t === 'Running') place.state.ready = true;
          onEvent({ name: 'child-ready', index, pid: child.pid, incarnation });
        },
        onPulse: (pulse) => {
          this.silence?.heard(index);
          onEvent({ name: 'child-pulse', index, pulse });
        },
        onEnd: (end) => this.onEnd(place, end),
      },
    );
    place.state = {
      t: 'Running',
      child,
      incarnation,
      startedMs: this.nowMs(),
      ready: false,
      leaving: undefined,
      killAtMs: Infinity,
      killTimer: undefined,
    };
    if (child.pid === undefined) return;
    ledger?.started(index, incarnation, child.pid, place.replaces);
    onEvent({ name: 'child-started', index, pid: child.pid, incarnation, restarts });
  }

  private startAgain(place: Place): void {
    place.restarts += 1;
    this.startChild(place);
  }

  private drainChild(running: Running, drainMs: number): void {
    running.child.drain(drainMs);
    const killInMs = drainMs + this.periods.killMarginMs;
    const killAtMs = this.nowMs() + killInMs;
    if (killAtMs >= running.killAtMs) return;
    clearTimeout(running.killTimer);
    running.killAtMs = killAtMs;
    running.killTimer = setTimeout(() => running.child.kill(), killInMs);
  }

  private onEnd(place: Place, end: ChildEnd): void {
    if (place.state.t !== 'Running') return;
    const { index, restarts } = place;
    const { incarnation, killTimer } = place.state;
    clearTimeout(killTimer);
    this.silence?.forget(index);
    if (end.pid !== undefined) place.replaces = [...place.replaces, incarnation].slice(-MAX_REPLACES);
    const { kind, restartInMs } = this.judge(place, end, place.state);
    const timer = restartInMs === undefined ? undefined : setTimeout(() => this.startAgain(place), restartInMs);
    place.state = { t: 'Waiting', timer };
    this.options.onEvent({ name: 'child-ended', index, incarnation, restarts, end, kind, restartInMs });
    if (restartInMs === undefined) this.free(place);
  }

  private judge(
    place: Place,
    end: ChildEnd,
    { startedMs, leaving, ready }: Running,
  ): { readonly kind: ChildEndKind; readonly restartInMs: number | undefined } {
    // Of a process that was ready the exit status may be a handler's: the worker itself says what it ends with.
    const status = ready ? (end.said?.code ?? null) : endStatus(end);
    const autoRestart = this.options.autoRestart ?? true;
    if (this.draining) return { kind: 'drained', restartInMs: undefined };
    if (leaving === 'retire') return { kind: 'retired', restartInMs: undefined };
    if (FINAL_STATUSES.has(status)) return { kind: 'final', restartInMs: undefined };
    if (leaving === 'replace') return { kind: 'replaced', restartInMs: 0 };
    if (status === EXIT_RECYCLE) return { kind: 'recycled', restartInMs: autoRestart ? 0 : undefined };
    const restartInMs = autoRestart ? place.restartPolicy.failed(this.nowMs(), startedMs) : undefined;
    return { kind: restartInMs === undefined ? 'given-up' : 'failed', restartInMs };
  }

  private free(place: Place): void {
    const { index } = place;
    // A listener of its end may have retired it.
    if (this.taken.get(index) !== place) return;
    this.taken.delete(index);
    this.options.onEvent({ name: 'place-freed', index });
    this.settle();
  }

  private settle(): void {
    if (!this.draining || this.taken.size > 0) return;
    this.silence?.stop();
    this.resolveDone();
  }
}

/** Starting it again would not help: another process has its id, or what it was told is refused. */
const FINAL_STATUSES: ReadonlySet<number | null> = new Set([EXIT_REFUSED, EXIT_SUPERSEDED]);

import { randomBytes } from 'node:crypto';
import { Backoff } from '../client/backoff.js';
import { MAX_REPLACES } from '../proto/bounds.js';
import { EXIT_RECYCLE, EXIT_REFUSED, EXIT_SUPERSEDED } from './session-effects.js';
import { CHILD_FD, SupervisedChild, type ChildCommand, type ChildEnd, type ChildOutput } from './supervised-child.js';
import { SUPERVISION_ENV } from './supervision.js';

/** What a supervisor needs. */
export interface SupervisorOptions {
  /** How many worker processes to keep alive, 1 to 1,000. */
  readonly processes: number;
  /** What to start as the process of this worker_id. Called for each start. */
  readonly command: (index: number) => ChildCommand;
  readonly output: ChildOutput;
  /** Told of everything that happens. */
  readonly onEvent: (event: SupervisorEvent) => void;
  /** Evenly distributed in [0, 1). Default: Math.random. */
  readonly random?: () => number;
  readonly periods?: Partial<SupervisorPeriods>;
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

/** What happens to the children. `name` is stable. */
export type SupervisorEvent =
  | { readonly name: 'child-started'; readonly index: number; readonly pid: number; readonly incarnation: string }
  | { readonly name: 'child-ready'; readonly index: number; readonly pid: number | undefined }
  | {
      readonly name: 'child-ended';
      readonly index: number;
      readonly end: ChildEnd;
      /** `recycled`: a stuck handler, no failure. `final`: it will not be started again. */
      readonly kind: 'drained' | 'recycled' | 'final' | 'failed';
      /** When it is started again; undefined: never. */
      readonly restartInMs: number | undefined;
    };

interface Place {
  readonly index: number;
  readonly backoff: Backoff;
  /** Ended incarnations that the coordinator may not know of yet. */
  replaces: string[];
  /** Failures in a row. */
  failures: number;
  state:
    | {
        readonly t: 'Running';
        readonly child: SupervisedChild;
        readonly incarnation: string;
        readonly startedMs: number;
      }
    | { readonly t: 'Waiting'; readonly timer: NodeJS.Timeout | undefined }
    | { readonly t: 'Ended'; readonly code: number };
}

/**
 * Keeps a number of worker processes alive on this machine. It makes each one's incarnation, and names the dead ones to the
 * successor, so that the coordinator moves their tasks at once instead of after a lease.
 */
export class Supervisor {
  private readonly periods: SupervisorPeriods;
  private readonly places: Place[];
  private draining = false;
  private killTimer: NodeJS.Timeout | undefined;
  private resolveDone: (code: number) => void = () => undefined;

  /**
   * Fulfilled when every child has ended for good: with 0 after a drain, otherwise with the children's own final status (2 or
   * 78).
   */
  readonly done: Promise<number>;

  constructor(private readonly options: SupervisorOptions) {
    this.periods = { ...PERIODS, ...options.periods };
    const { restartInitialMs, restartMaxMs } = this.periods;
    const random = options.random ?? Math.random;
    this.places = Array.from({ length: options.processes }, (_, index) => ({
      index,
      backoff: new Backoff({ minMs: restartInitialMs / 2, initialMs: restartInitialMs, maxMs: restartMaxMs, random }),
      replaces: [],
      failures: 0,
      state: { t: 'Waiting', timer: undefined },
    }));
    this.done = new Promise((resolve) => {
      this.resolveDone = resolve;
    });
  }

  /** Starts all children. Once. */
  start(): void {
    for (const place of this.places) this.startChild(place);
  }

  /** Asks every child to leave and starts none again. A repeat does nothing. */
  drain(drainTimeoutMs: number): void {
    if (this.draining) return;
    this.draining = true;
    for (const place of this.places) {
      if (place.state.t === 'Running') place.state.child.drain(drainTimeoutMs);
      if (place.state.t !== 'Waiting') continue;
      clearTimeout(place.state.timer);
      place.state = { t: 'Ended', code: 0 };
    }
    this.killTimer = setTimeout(() => this.kill(), drainTimeoutMs + this.periods.killMarginMs);
    this.settle();
  }

  /** Ends every child now, by SIGKILL, and starts none again. */
  kill(): void {
    this.drain(0);
    for (const { state } of this.places) if (state.t === 'Running') state.child.kill();
  }

  private startChild(place: Place): void {
    const { index } = place;
    const incarnation = randomBytes(16).toString('hex');
    const { command, args, env } = this.options.command(index);
    const supervision = {
      [SUPERVISION_ENV.incarnation]: incarnation,
      [SUPERVISION_ENV.replaces]: place.replaces.join(','),
      [SUPERVISION_ENV.supervisorFd]: String(CHILD_FD),
    };
    const child: SupervisedChild = new SupervisedChild(
      { command, args, env: { ...env, ...supervision } },
      this.options.output,
      {
        onReady: () => {
          // The coordinator has read the list.
          place.replaces = [];
          this.options.onEvent({ name: 'child-ready', index, pid: child.pid });
        },
        onEnd: (end) => this.onEnd(place, end),
      },
    );
    place.state = { t: 'Running', child, incarnation, startedMs: performance.now() };
    if (child.pid !== undefined) this.options.onEvent({ name: 'child-started', index, pid: child.pid, incarnation });
  }

  private onEnd(place: Place, end: ChildEnd): void {
    if (place.state.t !== 'Running') return;
    const { incarnation, startedMs } = place.state;
    if (end.pid !== undefined) place.replaces = [...place.replaces, incarnation].slice(-MAX_REPLACES);
    const kind = this.judge(end);
    const restartInMs = kind === 'drained' || kind === 'final' ? undefined : this.restartDelay(place, kind, startedMs);
    this.options.onEvent({ name: 'child-ended', index: place.index, end, kind, restartInMs });
    if (restartInMs === undefined) {
      place.state = { t: 'Ended', code: kind === 'final' ? finalCode(end) : 0 };
      this.settle();
      return;
    }
    const timer = setTimeout(() => this.startChild(place), restartInMs);
    place.state = { t: 'Waiting', timer };
  }

  private judge(end: ChildEnd): 'drained' | 'recycled' | 'final' | 'failed' {
    if (this.draining) return 'drained';
    if (end.said?.code === EXIT_RECYCLE) return 'recycled';
    return FINAL_CODES.has(finalCode(end)) ? 'final' : 'failed';
  }

  private restartDelay(place: Place, kind: 'recycled' | 'failed', startedMs: number): number {
    if (kind === 'recycled') return 0;
    if (performance.now() - startedMs >= this.periods.stableMs) {
      place.failures = 0;
      place.backoff.reset();
    }
    place.failures += 1;
    return place.failures === 1 ? 0 : place.backoff.nextMs();
  }

  private settle(): void {
    const codes = this.places.map(({ state }) => (state.t === 'Ended' ? state.code : undefined));
    if (codes.includes(undefined)) return;
    clearTimeout(this.killTimer);
    this.resolveDone(
      codes.includes(EXIT_REFUSED) ? EXIT_REFUSED : codes.includes(EXIT_SUPERSEDED) ? EXIT_SUPERSEDED : 0,
    );
  }
}

/** Starting it again would not help: another process has its id, or what it was told is refused. */
const FINAL_CODES = new Set([EXIT_REFUSED, EXIT_SUPERSEDED]);

/** A child that was killed while it ended may still have said how. */
function finalCode({ code, said }: ChildEnd): number {
  return said?.code ?? code ?? 1;
}

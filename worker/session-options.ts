/** What the session needs to know of its worker. Plain data: it may cross to a thread. */
export interface SessionOptions {
  /** Stable across restarts. */
  readonly workerId: string;
  /** 32 lower-case hexadecimal digits, new at each process start. */
  readonly incarnation: string;
  /** Incarnations of this worker_id that are known to have ended, at most 64. */
  readonly replaces: readonly string[];
  /** Version of the worker's program. */
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  /** What it handles. */
  readonly taskTypes: readonly OfferedType[];
  /** Labels that tasks may require. */
  readonly labels: Readonly<Record<string, string>>;
  /** How many handlers run at once, 1 to 1,000. */
  readonly slots: number;
  /** How many more attempts may wait here, 0 to 1,000. */
  readonly prefetch: number;
  /** What becomes of the process when a handler does not settle after its abort. */
  readonly onStuck: OnStuck;
  /** HOST:PORT or unix:PATH. */
  readonly address: string;
}

/** A task type that the worker handles. */
export interface OfferedType {
  readonly type: string;
  /** How many of it run at once; 0: as many as the worker has slots. */
  readonly slots: number;
  /** Upper bound of one attempt in milliseconds; undefined: the task's own time-out alone. */
  readonly timeoutMs: number | undefined;
}

/**
 * `exit`: the process is ended (by SIGKILL, since its loop may be blocked) so that a fresh one takes its place. `report`: an
 * event, and the slot stays in use until the handler settles.
 */
export type OnStuck = 'exit' | 'report';

/**
 * Where the session with the coordinator runs. `thread`: in a thread of its own, which handlers cannot block. `inline`: on the
 * handlers' own loop, which saves two hops between threads a task, and stands still while a handler blocks that loop.
 */
export type SessionMode = 'thread' | 'inline';

/** All of them, for option checks. */
export const SESSION_MODES: readonly SessionMode[] = ['thread', 'inline'];

/** The session machine's own periods, in milliseconds. Tests and the simulation shorten them. */
export interface SessionPeriods {
  /** From the dial to the welcome, before the stream is given up. Half a lease if that is shorter. */
  readonly welcomeTimeoutMs: number;
  /** Shortest and longest wait between dials. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** Wait between dials while the other end is no coordinator that would have us. */
  readonly deniedBackoffMs: number;
  /** A stream that was open for this long begins the back-off anew. */
  readonly stableMs: number;
  /** How long reports are offered to a coordinator that is not there, once the handlers have ended and the worker leaves. */
  readonly deliverMs: number;
  /** The same with a coordinator that is there but does not acknowledge. */
  readonly acknowledgeMs: number;
  /** How long reports may take to be acknowledged before a process with a stuck handler is ended. */
  readonly recycleMs: number;
  /** How long handlers may take to clean up after the worker was superseded. */
  readonly supersededMs: number;
}

/** Periods of production. */
export const SESSION_PERIODS = {
  welcomeTimeoutMs: 10_000,
  backoffMinMs: 100,
  backoffMaxMs: 1_000,
  deniedBackoffMs: 10_000,
  stableMs: 10_000,
  deliverMs: 10_000,
  acknowledgeMs: 60_000,
  recycleMs: 5_000,
  supersededMs: 5_000,
} as const satisfies SessionPeriods;

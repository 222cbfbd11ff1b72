/** What the core needs to know, all in milliseconds and counts. Bounds and defaults: `coordinator/config.ts`. */
export interface CoreConfig {
  /** Tasks that have not ended, at most; beyond it submits are refused. */
  readonly maxOpenTasks: number;
  /** How long an incarnation keeps its attempts without a sign of life. */
  readonly leaseMs: number;
  /** How long a handler may take to settle after its abort. */
  readonly stuckGraceMs: number;
  /** What one point of priority is worth against waiting. */
  readonly headStartMs: number;
  /** How the worker is chosen among those that can. */
  readonly balancing: 'least-loaded' | 'round-robin';
  /** Ended attempts kept with a task. */
  readonly maxHistory: number;
  /** Tasks handed out in one step, at most; the rest follows in the next. */
  readonly maxAssignmentsPerStep: number;
  /** Payload bytes handed out in one step; the task that passes it is the step's last. */
  readonly maxAssignedBytesPerStep: number;
  /** Workers known at a time. */
  readonly maxWorkers: number;
  /** Match classes remembered without a task, so that a lone task finds its class made. */
  readonly maxIdleClasses: number;
}

/** Defaults as design and operation want them; tests and simulation override single values. */
export const CORE_DEFAULTS = {
  maxOpenTasks: 1_000_000,
  leaseMs: 15_000,
  stuckGraceMs: 10_000,
  headStartMs: 10_000,
  balancing: 'least-loaded',
  maxHistory: 20,
  maxAssignmentsPerStep: 2_048,
  maxAssignedBytesPerStep: 8 * 1024 * 1024,
  maxWorkers: 10_000,
  maxIdleClasses: 10_000,
} as const satisfies CoreConfig;

/** Where the core gets its randomness from. */
export interface Random {
  /** 0 inclusive to 1 exclusive. */
  next(): number;
  /** 64 random bits as 16 lower-case hexadecimal digits; unguessable in production. */
  leaseId(): string;
}

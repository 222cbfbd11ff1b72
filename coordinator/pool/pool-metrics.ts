/** How a pool is doing, and why it is not doing well. */
export interface PoolHealth {
  /**
   * `unhealthy`: no worker takes tasks, or the store refuses them. `degraded`: fewer than `minWorkers` take tasks, a worker was
   * given up, or there was a zombie within the last minute.
   */
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  /** A sentence for each cause; empty when healthy. */
  readonly reasons: readonly string[];
}

/** Figures of a pool, all of one moment. */
export interface PoolMetrics {
  readonly pool: {
    /** How many workers there are to be: the target. */
    readonly size: number;
  };
  /** Workers, each counted once: the others add up to `total`. */
  readonly workers: {
    readonly total: number;
    /** Idle, and waiting for a task. */
    readonly ready: number;
    /** Running a task. */
    readonly busy: number;
    /** Not taking tasks yet, or again: the process starts, waits for its restart, or has lost touch with the coordinator. */
    readonly starting: number;
    /** Taking no new task: it leaves, or an operator has drained it. */
    readonly draining: number;
    /** Lost, and its process not ended yet. */
    readonly zombie: number;
  };
  readonly tasks: {
    /** Waiting, for a worker or out a back-off; now. */
    readonly queued: number;
    /** With a worker; now. */
    readonly running: number;
    /** Tasks that SUCCEEDED, since the pool started. */
    readonly completed: number;
    /** Attempts that failed, since the pool started. */
    readonly failed: number;
    /** Attempts after a task's first, since the pool started. */
    readonly retried: number;
    /** Tasks that became dead letters, since the pool started. */
    readonly deadLettered: number;
  };
  readonly performance: {
    /** Share, 0 to 1, of attempts that ran in a process which had already run one, since the pool started; 0 before the first. */
    readonly workerReuseRate: number;
    /** Mean run time of the newest 1,000 attempts that succeeded, in milliseconds; 0 before the first. */
    readonly avgTaskMs: number;
    /** From handing a task out to its handler's entry, of the newest 1,000 starts, in milliseconds; 0 before the first. */
    readonly p50StartMs: number;
    readonly p99StartMs: number;
    /** Tasks that SUCCEEDED within the last 10 s, by second. */
    readonly tasksPerSecond: number;
  };
  readonly health: PoolHealth;
}

/** One worker of a pool. */
export interface WorkerStatus {
  /** Its worker_id; stable across restarts. */
  readonly id: string;
  /** Undefined while it has no process. */
  readonly pid: number | undefined;
  /** As counted in {@link PoolMetrics.workers}. */
  readonly state: 'ready' | 'busy' | 'starting' | 'draining' | 'zombie';
  /** Ids of the tasks that it holds. */
  readonly currentTasks: readonly string[];
  /** Attempts that it has ended, in all its processes. */
  readonly tasksDone: number;
  /** How often its process was started again. */
  readonly restarts: number;
  /** Resident memory of the process at its newest heartbeat, in bytes; undefined before the first. */
  readonly rss: number | undefined;
  /** How long the process has lived, in milliseconds; 0 while there is none. */
  readonly uptime: number;
  /** When its newest frame arrived, in milliseconds since 1970; undefined before the first. */
  readonly lastHeartbeat: number | undefined;
}

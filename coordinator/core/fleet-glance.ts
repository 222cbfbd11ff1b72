import type { TaskCounts, Totals, WorkerState } from './outputs.js';
import type { SchedulerState } from './state.js';
import type { Now } from './inputs.js';
import { workerState, type WorkerRecord } from './worker.js';

/** One worker process in a {@link FleetGlance}: read it during the visit, and keep nothing of it. */
export interface WorkerGlance {
  readonly workerId: string;
  readonly incarnation: string;
  readonly state: WorkerState;
  /** Another process has its id; it may still hold attempts until its lease is over. */
  readonly superseded: boolean;
  /** Attempts that take its slots. */
  readonly holdCount: number;
  /** Their tasks, in the order of handing out. */
  readonly taskIds: Iterable<string>;
  /** Attempts that this process has reported. */
  readonly attemptsDone: number;
  /** When its newest frame arrived, in milliseconds since 1970; null before its first since the coordinator started. */
  readonly lastFrameWallMs: number | null;
  /** Resident memory at its newest heartbeat, in bytes; null before the first. */
  readonly rssBytes: number | null;
  /** Types that it handles, with the slots that each may take; empty before its hello. */
  readonly taskTypes: ReadonlyMap<string, number>;
}

/** The state of now, looked at where it is: no copy, so the figures go on changing with the next batch. */
export interface FleetGlance {
  readonly tasks: Readonly<TaskCounts>;
  readonly totals: Readonly<Totals>;
  /** Tasks are handed out. */
  readonly dispatches: boolean;
  /** Shows every known worker process, one after the other, in no order. The object is the same each time. */
  readonly eachWorker: (visit: (worker: WorkerGlance) => void) => void;
}

/** Looks at the state without asking for it, cheaply enough to do it after each batch. */
export function fleetGlance(state: SchedulerState, now: Now): FleetGlance {
  return {
    tasks: state.counts,
    totals: state.totals,
    dispatches: state.dispatches,
    eachWorker: (visit) => {
      const cursor = new WorkerCursor(now);
      for (const worker of state.incarnations.values()) visit(cursor.at(worker));
    },
  };
}

const NO_TYPES: ReadonlyMap<string, number> = new Map();

/** One for all workers: a thousand objects after each batch would cost more than the batch. */
class WorkerCursor implements WorkerGlance {
  #worker!: WorkerRecord;

  constructor(private readonly now: Now) {}

  at(worker: WorkerRecord): this {
    this.#worker = worker;
    return this;
  }

  get workerId(): string {
    return this.#worker.workerId;
  }

  get incarnation(): string {
    return this.#worker.incarnation;
  }

  get state(): WorkerState {
    return workerState(this.#worker);
  }

  get superseded(): boolean {
    return this.#worker.superseded;
  }

  get holdCount(): number {
    return this.#worker.holds.size;
  }

  get taskIds(): Iterable<string> {
    return this.#worker.holds.keys();
  }

  get attemptsDone(): number {
    return this.#worker.attemptsDone;
  }

  get lastFrameWallMs(): number | null {
    const { hello, lastFrameMonoMs } = this.#worker;
    return hello === null ? null : Math.round(this.now.wallMs + (lastFrameMonoMs - this.now.monoMs));
  }

  get rssBytes(): number | null {
    return this.#worker.load?.rssBytes ?? null;
  }

  get taskTypes(): ReadonlyMap<string, number> {
    return this.#worker.hello?.taskTypes ?? NO_TYPES;
  }
}

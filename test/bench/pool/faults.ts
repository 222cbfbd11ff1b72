import { once } from 'node:events';
import type { WorkerPool, WorkerStatus } from '../../../coordinator/pool/index.js';
import { isAlive, within } from '../../support/programs.js';
import { childrenOf } from './process-table.js';

/** Which workers are struck, while tasks run. */
export interface FaultPlan {
  /** How many get a SIGSTOP, and how many a SIGKILL after that. */
  readonly strikes: number;
  /** How many of them at once. */
  readonly wave: number;
  /** Tasks under way meanwhile, and how long each is busy, in milliseconds. */
  readonly inFlight: number;
  readonly runMs: number;
}

/** What is left when the pool has recovered from all of them. */
export interface Aftermath {
  /** Tasks that were submitted, and those of them that did not succeed. */
  readonly tasks: number;
  readonly lost: number;
  /** Child processes of the host that are stopped or not reaped, and struck ones that still exist. */
  readonly zombies: number;
  /** Child processes of the host beyond the pool's size. */
  readonly extra: number;
  /** Workers that take no tasks. */
  readonly missing: number;
  /** From each strike until a new process took tasks in the place, in milliseconds. */
  readonly stopRecoveryMs: readonly number[];
  readonly killRecoveryMs: readonly number[];
}

/** A lease, a restart's back-off and the start of a process, on a machine that has much else to do. */
const RECOVERY_MS = 60_000;

/** Stops and kills workers of a pool in the middle of their tasks, and looks what is left. */
export async function strikeWorkers(pool: WorkerPool, plan: FaultPlan): Promise<Aftermath> {
  const load = new SteadyLoad(pool, plan);
  const struck: number[] = [];
  const stopRecoveryMs = await strikeAll(pool, 'SIGSTOP', plan, struck);
  const killRecoveryMs = await strikeAll(pool, 'SIGKILL', plan, struck);
  const { tasks, lost } = await load.end();
  const { pool: target, workers } = pool.getPoolMetrics();
  const children = childrenOf(process.pid);
  const halted = children.filter(({ pid, state }) => /[TtZX]/.test(state) || struck.includes(pid));
  const escaped = struck.filter((pid) => isAlive(pid) && !children.some((child) => child.pid === pid));
  return {
    tasks,
    lost,
    zombies: halted.length + escaped.length,
    extra: Math.max(0, children.length - target.size),
    missing: target.size - workers.ready,
    stopRecoveryMs,
    killRecoveryMs,
  };
}

/** Keeps a pool busy until it is told to end. */
class SteadyLoad {
  #isOver = false;
  #tasks = 0;
  #good = 0;
  readonly #lanes: Promise<void>[];

  constructor(
    private readonly pool: WorkerPool,
    { inFlight, runMs }: FaultPlan,
  ) {
    this.#lanes = Array.from({ length: inFlight }, () => this.#runLane(runMs));
  }

  /** Fulfilled when all have ended. */
  async end(): Promise<{ tasks: number; lost: number }> {
    this.#isOver = true;
    await within(Promise.all(this.#lanes), RECOVERY_MS, () => `tasks had not ended after ${RECOVERY_MS} ms`);
    return { tasks: this.#tasks, lost: this.#tasks - this.#good };
  }

  async #runLane(runMs: number): Promise<void> {
    while (!this.#isOver) {
      this.#tasks += 1;
      try {
        await this.pool.submitTask({ type: 'timed', payload: runMs });
        this.#good += 1;
      } catch (error) {
        process.stderr.write(`a task was lost: ${String(error)}\n`);
      }
    }
  }
}

/** In waves: a pool that has not recovered from one is not struck again. */
async function strikeAll(
  pool: WorkerPool,
  signal: NodeJS.Signals,
  { strikes, wave }: FaultPlan,
  struck: number[],
): Promise<number[]> {
  const tookMs: number[] = [];
  for (let done = 0; done < strikes; done += wave) {
    const victims = await pickBusy(pool, Math.min(wave, strikes - done));
    struck.push(...victims.map(({ pid }) => pid));
    tookMs.push(...(await Promise.all(victims.map((victim) => strike(pool, signal, victim)))));
  }
  return tookMs;
}

/** Those that were started again least often: each place has its turn, before its back-off grows. */
async function pickBusy(pool: WorkerPool, count: number): Promise<(WorkerStatus & { pid: number })[]> {
  const isVictim = (status: WorkerStatus): status is WorkerStatus & { pid: number } =>
    status.state === 'busy' && status.pid !== undefined;
  for (;;) {
    const busy = pool.getAllWorkersStatus().filter(isVictim);
    if (busy.length >= count) return busy.sort((a, b) => a.restarts - b.restarts).slice(0, count);
    // With so much under way, every worker that takes tasks has one by the time some other task has ended.
    await once(pool, 'task-completed', { signal: AbortSignal.timeout(RECOVERY_MS) });
  }
}

async function strike(
  pool: WorkerPool,
  signal: NodeJS.Signals,
  { id, pid }: { readonly id: string; readonly pid: number },
): Promise<number> {
  const startMs = performance.now();
  const recovered = new Promise<void>((resolve) => {
    const look = ({ workerId }: { readonly workerId: string }): void => {
      if (workerId !== id) return;
      pool.off('worker-restarted', look);
      resolve();
    };
    pool.on('worker-restarted', look);
  });
  process.kill(pid, signal);
  await within(recovered, RECOVERY_MS, () => `${id} was not replaced within ${RECOVERY_MS} ms of a ${signal}`);
  return performance.now() - startMs;
}

import { sampleOf } from '../in-flight.js';
import { Peer } from '../peer.js';
import type { Result } from '../result.js';
import type { Aftermath, FaultPlan } from './faults.js';
import { aim, demand, type Finding } from './finding.js';
import { trendOf, type MemorySample } from './memory-track.js';
import { closePeer, poolArgs } from './pool-contenders.js';
import { HAS_PROCESS_TABLE } from './process-table.js';
import type { PoolArgs } from './pool-load.js';
import type { Reuse } from './reuse.js';

/** How much is done for a check. */
export interface CheckScale {
  readonly workers: number;
  /** Tasks at once in a fresh pool. */
  readonly concurrentTasks: number;
  /** Tasks one after another in a fresh pool. */
  readonly sequentialTasks: number;
  /** Workers that get a SIGSTOP, and as many a SIGKILL; so many at once. */
  readonly strikes: number;
  readonly wave: number;
  /** Tasks over which memory is watched. */
  readonly memoryTasks: number;
  /**
   * Flat: the last quarter's median is no more than this above the first one's, in percent. Null: there are too few tasks for
   * memory to settle, and it is only shown.
   */
  readonly growthMax: number | null;
}

/** What a check came to. */
export interface CheckResult {
  readonly findings: readonly Finding[];
  /** Resident memory over time, where that was looked at. */
  readonly memory?: readonly MemorySample[];
}

/** Something that is done once, and is right or not. */
export interface Check {
  /** What `--only` selects it by. */
  readonly name: string;
  run(scale: CheckScale, folder: string): Promise<CheckResult>;
}

export const FULL_SCALE: CheckScale = {
  workers: 20,
  concurrentTasks: 10_000,
  sequentialTasks: 100,
  strikes: 20,
  wave: 5,
  memoryTasks: 200_000,
  growthMax: 10,
};

export const QUICK_SCALE: CheckScale = {
  workers: 4,
  concurrentTasks: 500,
  sequentialTasks: 100,
  strikes: 2,
  wave: 2,
  memoryTasks: 4_000,
  growthMax: null,
};

/** The promise, as a share of attempts. */
const REUSE_MIN = 0.95;
/** Another promise, which is for an undisturbed machine. */
const START_P99_MAX_MS = 10;
/** A worker that is stopped is found out after three of these and a margin of a second, in milliseconds. */
const HEARTBEAT_MS = 250;
/** Every struck worker is started again: none is given up for being struck too often. */
const RESTARTS_MAX = 1_000;
/** How long a task is busy while workers are struck, in milliseconds, so that most strikes hit one. */
const STRUCK_TASK_MS = 20;
/** Tasks under way for each worker, so that none is idle. */
const LANES_PER_WORKER = 4;
const MEMORY_IN_FLIGHT = 256;
const MEMORY_SAMPLES = 200;
/** Above what any check takes by itself. */
const CHECK_MS = 600_000;

/** Share of attempts in a process that had run one before; each of the two in a fresh pool. */
const reuse: Check = {
  name: 'check/reuse',
  run: async ({ workers, concurrentTasks, sequentialTasks }, folder) => {
    const measure = (tasks: number, isConcurrent: boolean): Promise<Reuse> =>
      withPool({ workers, ...poolArgs(folder, 'memory:') }, (host) => {
        return host.ask('reuse', { tasks, isConcurrent }, CHECK_MS);
      });
    const sequential = await measure(sequentialTasks, false);
    const concurrent = await measure(concurrentTasks, true);
    const share = (how: string, tasks: number): string =>
      `share of attempts in a process that had run one: ${tasks} tasks ${how}, ${workers} workers`;
    const goal = { min: REUSE_MIN };
    return {
      findings: [
        demand('reuse/sequential', share('one by one', sequentialTasks), sequential.workerReuseRate, goal),
        demand('reuse/concurrent', share('at once', concurrentTasks), concurrent.workerReuseRate, goal),
        demand('reuse/lost', 'tasks that did not succeed', sequential.lost + concurrent.lost, { max: 0 }),
      ],
    };
  },
};

/** Workers that are stopped or killed in the middle of their tasks. */
const zombies: Check = {
  name: 'check/zombies',
  run: async ({ workers, strikes, wave }, folder) => {
    const plan: FaultPlan = { strikes, wave, inFlight: workers * LANES_PER_WORKER, runMs: STRUCK_TASK_MS };
    const options = { heartbeatInterval: HEARTBEAT_MS, maxRestartAttempts: RESTARTS_MAX };
    let left = NaN;
    const found = await withPool(
      { workers, ...poolArgs(folder, 'memory:'), ...options },
      (host) => host.ask<Aftermath>('strike', plan, CHECK_MS),
      (count) => (left = count),
    );
    const { tasks, lost, extra, missing, stopRecoveryMs, killRecoveryMs } = found;
    const median = (tookMs: readonly number[]): number => sampleOf([...tookMs], 1).p50Ms ?? NaN;
    const none = { max: 0 };
    return {
      findings: [
        demand('zombies/left', `processes left after ${strikes} SIGSTOPs and ${strikes} SIGKILLs`, found.zombies, none),
        demand('zombies/extra', `processes beyond the pool's ${workers}`, extra, none),
        demand('zombies/missing', 'workers that take no tasks', missing, none),
        demand('zombies/lost', `tasks that did not succeed, of ${tasks} meanwhile`, lost, none),
        demand('zombies/after-shutdown', 'processes left after shutdown()', left, none),
        aim('zombies/stop-p50', 'from a SIGSTOP to a new process that takes tasks', median(stopRecoveryMs), 'ms', null),
        aim('zombies/kill-p50', 'from a SIGKILL to a new process that takes tasks', median(killRecoveryMs), 'ms', null),
      ],
    };
  },
};

/** Resident memory of the host program and of its workers. */
const memory: Check = {
  name: 'check/memory',
  run: async ({ workers, memoryTasks, growthMax }, folder) => {
    const plan = { tasks: memoryTasks, samples: MEMORY_SAMPLES, inFlight: MEMORY_IN_FLIGHT };
    const track = await withPool({ workers, ...poolArgs(folder, 'memory:') }, (host) => {
      return host.ask<MemorySample[]>('memory', plan, CHECK_MS);
    });
    const findings = MEMORY_OF.map(({ name, what, of }) => {
      const { firstMib, lastMib } = trendOf(track, of);
      const text = `growth from the first to the last quarter of ${memoryTasks.toLocaleString('en')} tasks: ${what}`;
      return aim(
        `memory/${name}`,
        text,
        (lastMib / firstMib - 1) * 100,
        '%',
        growthMax === null ? null : { max: growthMax },
      );
    });
    return { findings, memory: track };
  },
};

/** Whose memory is looked at. */
export const MEMORY_OF: readonly { name: string; what: string; of: (sample: MemorySample) => number }[] = [
  { name: 'host', what: 'the host process, coordinator included', of: ({ hostMib }) => hostMib },
  { name: 'worker', what: 'a worker process, on average', of: ({ workerMib }) => workerMib },
  { name: 'worker-max', what: 'the largest worker process', of: ({ workerMaxMib }) => workerMaxMib },
];

/** What needs to see other processes is measured where that can be done. */
export const POOL_CHECKS: readonly Check[] = HAS_PROCESS_TABLE ? [reuse, zombies, memory] : [reuse];

/** How the promise about a warm worker's start stands: it depends on the machine. */
export function startFindings(results: readonly Result[]): Finding[] {
  return results
    .filter((result) => result.table === 'pool-start' && result.name.startsWith('pool-'))
    .map(({ name, p99Ms }) => {
      const what = "p99 from submit to the handler's entry, a slot is free";
      return aim(name, what, p99Ms?.median ?? NaN, 'ms', { max: START_P99_MAX_MS });
    });
}

/** @param onShutdown told how many child processes the host program has when its pool is shut down */
async function withPool<T>(
  args: PoolArgs,
  use: (host: Peer) => Promise<T>,
  onShutdown?: (children: number) => void,
): Promise<T> {
  const host = new Peer(new URL('./pool-load.js', import.meta.url));
  await host.ask('open', args);
  const result = await use(host);
  if (onShutdown === undefined) await closePeer(host);
  else {
    await host.ask('close');
    onShutdown(await host.ask('children'));
    await host[Symbol.asyncDispose]();
  }
  return result;
}

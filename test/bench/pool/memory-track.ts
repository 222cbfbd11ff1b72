import type { WorkerPool } from '../../../coordinator/pool/index.js';
import { PAYLOAD_TEXT } from '../payload.js';
import { residentMib } from './process-table.js';

/** Resident memory after so many tasks, in MiB. */
export interface MemorySample {
  readonly tasks: number;
  /** The host program's process: the coordinator is a thread of it. */
  readonly hostMib: number;
  /** The workers' processes: on average, and the largest. */
  readonly workerMib: number;
  readonly workerMaxMib: number;
}

/** How memory went over a run. */
export interface MemoryTrend {
  /** Medians of the first and of the last quarter of the samples, in MiB. */
  readonly firstMib: number;
  readonly lastMib: number;
  /** By least squares over all but the first quarter, in which things settle. */
  readonly mibPer100kTasks: number;
}

/** @param samples How often memory is looked at, evenly over the tasks */
export async function trackMemory(
  pool: WorkerPool,
  { tasks, samples, inFlight }: { tasks: number; samples: number; inFlight: number },
): Promise<MemorySample[]> {
  const every = tasks / samples;
  const track = [sampleMemory(pool, 0)];
  let submitted = 0;
  let completed = 0;
  const lane = async (): Promise<void> => {
    while (submitted < tasks) {
      submitted += 1;
      const result = await pool.submitTask({ type: 'echo', payload: PAYLOAD_TEXT });
      if (result !== PAYLOAD_TEXT) throw new Error('a result is not what the task was given');
      completed += 1;
      if (completed >= track.length * every) track.push(sampleMemory(pool, completed));
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return track;
}

/** @param of Which of the figures of a sample */
export function trendOf(track: readonly MemorySample[], of: (sample: MemorySample) => number): MemoryTrend {
  const quarter = Math.ceil(track.length / 4);
  return {
    firstMib: middle(track.slice(0, quarter).map(of)),
    lastMib: middle(track.slice(-quarter).map(of)),
    mibPer100kTasks: slope(track.slice(quarter).map((sample) => [sample.tasks, of(sample)])) * 100_000,
  };
}

function sampleMemory(pool: WorkerPool, tasks: number): MemorySample {
  const pids = pool.getAllWorkersStatus().flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  const sizes = pids.map(residentMib).filter((mib) => mib !== null);
  return {
    tasks,
    hostMib: residentMib(process.pid) ?? NaN,
    workerMib: sizes.reduce((sum, mib) => sum + mib, 0) / sizes.length,
    workerMaxMib: Math.max(...sizes),
  };
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanX = mean(points.map(([x]) => x));
  const meanY = mean(points.map(([, y]) => y));
  const over = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return over / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}

/** What people see of the figures of a pool. Pure. */
import type { PlaceFigures, PoolFigures } from './pool-figures.js';
import type { PoolHealth, PoolMetrics, WorkerStatus } from './pool-metrics.js';

/** In the rate's span. */
const RATE_SECONDS = 10;

/** The figures as `getPoolMetrics()` and GET /metrics/worker-pool give them. */
export function poolMetrics(figures: PoolFigures): PoolMetrics {
  const workers = { total: 0, ready: 0, busy: 0, starting: 0, draining: 0, zombie: 0 };
  for (const { state } of figures.places) {
    workers.total += 1;
    workers[state] += 1;
  }
  const { size, queued, running, completed, failed, retried, deadLettered } = figures;
  const starts = figures.starts.toSorted();
  return {
    pool: { size },
    workers,
    tasks: { queued, running, completed, failed, retried, deadLettered },
    performance: {
      workerReuseRate: figures.attemptsStarted === 0 ? 0 : figures.attemptsReused / figures.attemptsStarted,
      avgTaskMs: mean(figures.runs),
      p50StartMs: percentile(starts, 0.5),
      p99StartMs: percentile(starts, 0.99),
      tasksPerSecond: figures.completedRecently / RATE_SECONDS,
    },
    health: poolHealth(figures),
  };
}

/** How the pool is doing; the rule is {@link PoolHealth.status}'s. */
export function poolHealth(figures: HealthFigures & Pick<PoolFigures, 'places'>): PoolHealth {
  const { minWorkers, givenUp, zombieRecent, storeRefusing } = figures;
  const working = figures.places.filter(({ state }) => state === 'ready' || state === 'busy').length;
  const severe: string[] = [];
  if (working === 0) severe.push('no worker takes tasks');
  if (storeRefusing > 0) severe.push('the store takes no new tasks; the log says why');
  const mild: string[] = [];
  if (working > 0 && working < minWorkers) {
    mild.push(`${working} of at least ${minWorkers} workers (minWorkers) take tasks`);
  }
  if (givenUp > 0) {
    mild.push(`${givenUp} ${givenUp === 1 ? 'worker was' : 'workers were'} given up: scaleUp() tries anew`);
  }
  if (zombieRecent > 0) mild.push('a worker was a zombie within the last minute');
  const status = severe.length > 0 ? 'unhealthy' : mild.length > 0 ? 'degraded' : 'healthy';
  return { status, reasons: [...severe, ...mild] };
}

/** What decides on a pool's health beside the states of its workers. */
export type HealthFigures = Pick<PoolFigures, 'minWorkers' | 'givenUp' | 'zombieRecent' | 'storeRefusing'>;

/**
 * One worker as `getAllWorkersStatus()` gives it.
 *
 * @param nowMs on the clock of `startMs`
 */
export function workerStatus(place: PlaceFigures, prefix: string, nowMs: number): WorkerStatus {
  const { index, pid, state, taskIds, tasksDone, restarts, rss, startMs, lastFrameWallMs } = place;
  return {
    id: `${prefix}/${index}`,
    pid,
    state,
    currentTasks: taskIds,
    tasksDone,
    restarts,
    rss,
    uptime: pid === undefined ? 0 : Math.max(0, Math.round(nowMs - startMs)),
    lastHeartbeat: lastFrameWallMs,
  };
}

function mean(values: Float64Array): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The smallest value that so large a share of the values does not exceed (nearest rank); 0 of none. */
function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

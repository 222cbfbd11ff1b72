import type { WorkerPool } from '../../../coordinator/pool/index.js';
import { PAYLOAD_TEXT } from '../payload.js';

/** What became of a number of tasks in a fresh pool. */
export interface Reuse {
  /** As the pool's own metrics say. */
  readonly workerReuseRate: number;
  /** Tasks that did not give back what they were given. */
  readonly lost: number;
}

/** @param isConcurrent All are submitted at once; otherwise each when the one before has ended */
export async function measureReuse(
  pool: WorkerPool,
  { tasks, isConcurrent }: { tasks: number; isConcurrent: boolean },
): Promise<Reuse> {
  const run = () => pool.submitTask({ type: 'echo', payload: PAYLOAD_TEXT });
  let good = 0;
  if (isConcurrent) {
    const ends = await Promise.allSettled(Array.from({ length: tasks }, run));
    good = ends.filter((end) => end.status === 'fulfilled' && end.value === PAYLOAD_TEXT).length;
  } else {
    for (let number = 0; number < tasks; number += 1) if ((await run()) === PAYLOAD_TEXT) good += 1;
  }
  return { workerReuseRate: pool.getPoolMetrics().performance.workerReuseRate, lost: tasks - good };
}

import type { RetryPolicy } from './task.js';

/** Crashes that a task may cost before it is a dead letter with reason POISON. */
export const CRASH_BUDGET = 3;

/** Back-off of the second free end in a row and of later ones. */
export const RELEASE_BACKOFF = { initialMs: 200, maxMs: 30_000 } as const;

/** `initial * 2^(count - 1)`, at most `max`; `count` from 1. */
export function backoffMs(count: number, initialMs: number, maxMs: number): number {
  // 2^52 already exceeds every bound; beyond it the product would lose precision, later become Infinity.
  return Math.min(maxMs, initialMs * 2 ** Math.min(count - 1, 52));
}

/**
 * How long a task waits after its `count`-th charged end: drawn evenly from 0 to the back-off ("full jitter", AWS
 * Architecture Blog, Exponential Backoff And Jitter), so that tasks that failed together do not come back together.
 *
 * @param random Evenly distributed, 0 inclusive to 1 exclusive.
 */
export function retryDelayMs(policy: RetryPolicy, count: number, random: number): number {
  return Math.floor(random * backoffMs(count, policy.initialBackoffMs, policy.maxBackoffMs));
}

/** How long a task waits after its `streak`-th free end in a row: the first goes back at once, later ones back off. */
export function releaseDelayMs(streak: number): number {
  return streak <= 1 ? 0 : backoffMs(streak - 1, RELEASE_BACKOFF.initialMs, RELEASE_BACKOFF.maxMs);
}

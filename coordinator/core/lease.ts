import type { AttemptRef } from './task.js';

/** What the coordinator adds to the lease before it judges: the larger of 1 s and 10 %, so that the worker stops first. */
export function leaseMarginMs(leaseMs: number): number {
  return Math.max(1_000, Math.ceil(leaseMs / 10));
}

/** True if all three parts of the fence fit. */
export function sameFence(
  a: { readonly taskId: string; readonly attempt: number; readonly leaseId: string },
  b: AttemptRef,
): boolean {
  return a.taskId === b.taskId && a.attempt === b.attempt && a.leaseId === b.leaseId;
}

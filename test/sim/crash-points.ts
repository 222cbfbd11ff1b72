/** Where a coordinator's process may die, besides at any time: between two steps, and in the middle of one. */
export const CRASH_POINTS = [
  /** A frame has arrived, and nothing of it is applied. */
  'frame',
  /** The tasks that a batch names are read. */
  'read',
  /** A transaction is about to be made durable. */
  'beforeApply',
  /** It is durable, and the engine does not know. */
  'afterApply',
  /** Some sessions have been given their share of a batch, others not. */
  'output',
  /** Some callers have their answer, others not. */
  'reply',
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

/** Kills a process when it reaches a point for the n-th time. */
export class CrashTrap {
  #armed: { readonly point: CrashPoint; passes: number; readonly crash: () => void } | null = null;

  /** @param passes How often the process gets past it before */
  arm(point: CrashPoint, passes: number, crash: () => void): void {
    this.#armed = { point, passes, crash };
  }

  /** The process is at this point. True if it dies there. */
  reach(point: CrashPoint): boolean {
    const armed = this.#armed;
    if (armed?.point !== point) return false;
    armed.passes -= 1;
    if (armed.passes >= 0) return false;
    this.#armed = null;
    armed.crash();
    return true;
  }
}

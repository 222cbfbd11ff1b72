/** A change of size under way: each of its workers counts once it is where it was to go. */
interface Change {
  readonly kind: 'up' | 'down';
  /** Workers that are not there yet, by index. */
  readonly waiting: Set<number>;
  count: number;
  readonly onDone: (count: number) => void;
}

/** Changes of size of a pool: how much is asked for, how much may be, and when it has come about. Pure. */
export class Scaling {
  #target: number;
  readonly #changes = new Set<Change>();

  constructor(
    size: number,
    private readonly bounds: { readonly minWorkers: number; readonly maxWorkers: number },
  ) {
    this.#target = size;
  }

  /** How many workers there are to be. */
  get target(): number {
    return this.#target;
  }

  /**
   * How many of so many more there may be.
   *
   * @param living workers that are there, also those that leave: they need their memory until they are gone
   */
  roomAbove(asked: number, living: number): number {
    const { maxWorkers } = this.bounds;
    return Math.max(0, Math.min(asked, maxWorkers - this.#target, maxWorkers - living));
  }

  /** How many of so many may go. */
  roomBelow(asked: number): number {
    return Math.max(0, Math.min(asked, this.#target - this.bounds.minWorkers));
  }

  /** These workers were begun, or asked to leave. `onDone` is told how many of them have really come, or gone. */
  begin(kind: Change['kind'], indexes: readonly number[], onDone: Change['onDone']): void {
    this.#target += kind === 'up' ? indexes.length : -indexes.length;
    const change: Change = { kind, waiting: new Set(indexes), count: 0, onDone };
    this.#changes.add(change);
    this.#settle(change);
  }

  /** A worker takes tasks for the first time. */
  came(index: number): void {
    this.#arrived('up', index, true);
  }

  /** A worker that was asked to leave has gone. */
  went(index: number): void {
    // One that was to come and was asked to leave before it did has not come, and so has not gone.
    const hadNotCome = this.#arrived('up', index, false);
    this.#arrived('down', index, !hadNotCome);
  }

  /** A worker is not started again: the pool is smaller by it. */
  gaveUp(index: number): void {
    this.#target -= 1;
    this.#arrived('up', index, false);
  }

  /** The pool ends: what has not come about will not. */
  stop(): void {
    this.#target = 0;
    for (const change of this.#changes) {
      change.waiting.clear();
      this.#settle(change);
    }
  }

  /** True if a change waited for it. */
  #arrived(kind: Change['kind'], index: number, counts: boolean): boolean {
    for (const change of this.#changes) {
      if (change.kind !== kind || !change.waiting.delete(index)) continue;
      if (counts) change.count += 1;
      this.#settle(change);
      return true;
    }
    return false;
  }

  #settle(change: Change): void {
    if (change.waiting.size > 0) return;
    this.#changes.delete(change);
    change.onDone(change.count);
  }
}

/** Counts what is under way, so that its end can be waited for. */
export class UnderWay {
  readonly #waits = new Set<() => void>();
  #count = 0;

  /** Counts work until it has settled. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count += 1;
    try {
      return await work();
    } finally {
      this.#ended();
    }
  }

  /** Counts an iteration from its first step until it is over or left. */
  async *along<T>(items: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    this.#count += 1;
    try {
      yield* items;
    } finally {
      this.#ended();
    }
  }

  /** Resolves when nothing is under way, after `timeoutMs`, or at {@link UnderWay.stopWaiting}. */
  idle(timeoutMs: number): Promise<void> {
    if (this.#count === 0 || timeoutMs === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waits.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#waits.add(done);
    });
  }

  /** Nothing is waited for any more. */
  stopWaiting(): void {
    for (const done of [...this.#waits]) done();
  }

  #ended(): void {
    this.#count -= 1;
    if (this.#count === 0) this.stopWaiting();
  }
}

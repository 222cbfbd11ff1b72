import type { Runtime } from './runtime.js';
import { StoreError } from './store/store.js';

export interface RepeatedCallsOptions {
  readonly runtime: Runtime;
  /** False: what is refused now is not asked again, as when the coordinator stops. */
  readonly mayRepeat: () => boolean;
  /** The store refuses what it may take later, as the message says; null: it takes everything again. */
  readonly onTrouble: (message: string | null) => void;
}

const REPEAT_MS = 100;
const REPEAT_LIMIT_MS = 30_000;

/** Calls to the store, each repeated for a while when the store refuses it for now (BUSY, FULL). */
export class RepeatedCalls {
  readonly #options: RepeatedCallsOptions;
  /** Those that are refused at the moment, with what the store says. */
  readonly #refused = new Map<object, string>();

  constructor(options: RepeatedCallsOptions) {
    this.#options = options;
  }

  /** What the store says to a call that it refuses at the moment; null: it refuses none. */
  get refusal(): string | null {
    for (const message of this.#refused.values()) return message;
    return null;
  }

  /**
   * Makes the call until it succeeds, every 100 ms.
   *
   * @throws What the call throws: a StoreError that does not pass, or one that has not passed after 30 s
   */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const { runtime, mayRepeat } = this.#options;
    const startMs = runtime.now().monoMs;
    for (;;) {
      try {
        const result = await call();
        this.#tell(call, null);
        return result;
      } catch (error) {
        const givenUp = runtime.now().monoMs - startMs >= REPEAT_LIMIT_MS || !mayRepeat();
        if (!(error instanceof StoreError) || !error.retryable || givenUp) throw error;
        this.#tell(call, error.message);
        await new Promise<void>((resolve) => runtime.after(REPEAT_MS, resolve));
      }
    }
  }

  /** The trouble is over when no call is refused any more: one that succeeds says nothing of another. */
  #tell(call: object, message: string | null): void {
    const before = this.#refused.size;
    if (message === null) this.#refused.delete(call);
    else this.#refused.set(call, message);
    if ((before === 0) !== (this.#refused.size === 0)) this.#options.onTrouble(message);
  }
}

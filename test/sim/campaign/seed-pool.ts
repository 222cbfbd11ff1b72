import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { type SimReport } from '../simulation.js';
import type { SeedRun } from './seed-thread.js';

export interface SeedPoolOptions {
  /** Threads; each runs one seed at a time. */
  readonly jobs: number;
  /** A run that takes longer than this, in real milliseconds, is ended and counts as a failure. */
  readonly limitMs: number;
  /** The compiled `seed-thread.js` to run. Default: the one beside this file. */
  readonly threadPath?: string;
}

/** Broken by a run that loops for ever, or whose thread dies; the simulation cannot say so itself. */
export const NO_END_RULE = 'a run comes to an end';

/** A few times what the largest run takes: a run without bounds must not take the machine's memory. */
const THREAD_HEAP_MIB = 1_024;

/** Threads that run seeds. A thread that is stuck is ended, and another takes its place. */
export class SeedPool {
  readonly jobs: number;
  readonly #pool: Piscina<SeedRun, SimReport>;
  readonly #limitMs: number;
  readonly #closing = new AbortController();

  constructor({ jobs, limitMs, threadPath }: SeedPoolOptions) {
    this.jobs = jobs;
    this.#limitMs = limitMs;
    this.#pool = new Piscina({
      filename: threadPath ?? fileURLToPath(new URL('./seed-thread.js', import.meta.url)),
      minThreads: jobs,
      maxThreads: jobs,
      // Blocking the thread between two runs would gain nothing here.
      atomics: 'disabled',
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB },
    });
  }

  /**
   * Makes one run. What goes wrong with the thread is a violation of {@link NO_END_RULE}. Do not ask for more than `jobs` at
   * once: the limit counts from here.
   *
   * @throws the pool's AbortError once it is closed
   */
  async run(run: SeedRun): Promise<SimReport> {
    const limit = AbortSignal.timeout(this.#limitMs);
    try {
      return await this.#pool.run(run, { signal: AbortSignal.any([limit, this.#closing.signal]) });
    } catch (error) {
      this.#closing.signal.throwIfAborted();
      if (limit.aborted) return endless(run, `still not over after ${this.#limitMs / 1_000} s of real time`);
      return endless(run, error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }

  /** Ends all threads, in the middle of their runs, too. Idempotent. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#pool.destroy();
  }
}

function endless({ seed }: SeedRun, details: string): SimReport {
  return {
    ...{ seed, violation: { rule: NO_END_RULE, details }, hash: '', newest: [] },
    ...{ simulatedMs: 0, events: 0, ends: {}, attempts: 0, faults: {}, tasks: 0 },
  };
}

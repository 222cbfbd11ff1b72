import { Worker } from 'node:worker_threads';
import type { SimReport } from '../simulation.js';
import type { SeedRun } from './seed-run.js';

export interface SeedPoolOptions {
  /** Threads at most; each runs one seed at a time. */
  readonly jobs: number;
  /** A run that takes longer than this, in real milliseconds, is ended and counts as a failure. */
  readonly limitMs: number;
  /** The compiled `seed-thread.js` to run. Default: the one beside this file. */
  readonly threadPath?: string | URL;
}

/** Broken by a run that loops for ever, or whose thread dies; the simulation cannot say so itself. */
export const NO_END_RULE = 'a run comes to an end';

/** A few times what the largest run takes: a run without bounds must not take the machine's memory. */
const THREAD_HEAP_MIB = 1_024;

/**
 * Threads that run seeds. One that is stuck is ended, and the next run starts another.
 *
 * Not piscina, which is there for the benchmarks: a thread that it has ended because of a signal and that is gone only after
 * `destroy()` starts one more, which nobody ends (5.3.2).
 */
export class SeedPool {
  readonly jobs: number;
  readonly #limitMs: number;
  readonly #threadPath: string | URL;
  #idle: Worker[] = [];
  /** All that have not exited, each with its exit. */
  readonly #threads = new Map<Worker, Promise<void>>();
  readonly #closing = new AbortController();

  constructor({ jobs, limitMs, threadPath }: SeedPoolOptions) {
    this.jobs = jobs;
    this.#limitMs = limitMs;
    this.#threadPath = threadPath ?? new URL('./seed-thread.js', import.meta.url);
  }

  /**
   * Makes one run. What goes wrong with the thread is a violation of {@link NO_END_RULE}. To be asked for no more than `jobs` at
   * once.
   *
   * @throws AbortError once the pool is closed
   */
  run(run: SeedRun): Promise<SimReport> {
    const { signal } = this.#closing;
    signal.throwIfAborted();
    const thread = this.#idle.pop() ?? this.#start();
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(limit);
        signal.removeEventListener('abort', onClose);
        thread.off('message', onReport).off('error', onError);
      };
      const fail = (details: string): void => {
        done();
        void thread.terminate();
        resolve(endless(run, details));
      };
      const onReport = (report: SimReport): void => {
        done();
        this.#idle.push(thread);
        resolve(report);
      };
      const onError = (error: Error): void => fail(error.stack ?? error.message);
      const onClose = (): void => {
        done();
        reject(signal.reason as Error);
      };
      const limit = setTimeout(() => fail(`not over after ${this.#limitMs / 1_000} s of real time`), this.#limitMs);
      signal.addEventListener('abort', onClose);
      thread.on('message', onReport).on('error', onError);
      thread.postMessage(run);
    });
  }

  #start(): Worker {
    const thread = new Worker(this.#threadPath, { resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB } });
    const forget = (): void => {
      this.#idle = this.#idle.filter((other) => other !== thread);
    };
    // A mutant may leave something behind that fails after its run.
    thread.on('error', forget);
    const gone = new Promise<void>((resolve) => {
      thread.once('exit', () => {
        forget();
        this.#threads.delete(thread);
        resolve();
      });
    });
    this.#threads.set(thread, gone);
    return thread;
  }

  /** Ends all threads, in the middle of their runs, too. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const thread of this.#threads.keys()) void thread.terminate();
    await Promise.all(this.#threads.values());
  }
}

function endless({ seed }: SeedRun, details: string): SimReport {
  return {
    ...{ seed, violation: { rule: NO_END_RULE, details }, hash: '', newest: [] },
    ...{ simulatedMs: 0, events: 0, ends: {}, attempts: 0, faults: {}, tasks: 0 },
  };
}

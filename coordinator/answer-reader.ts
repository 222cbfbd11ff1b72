import { Fifo } from '../proto/fifo.js';
import type { Reply } from './core/outputs.js';
import type { ReplyToken } from './core/task.js';
import type { EngineReply } from './engine.js';
import type { StoredTask } from './store/store.js';

type TaskReply = Extract<Reply, { kind: 'task' }>;

export interface AnswerReaderOptions {
  /** The tasks of these ids, with payloads and results. */
  readonly read: (taskIds: readonly string[]) => Promise<readonly (StoredTask | undefined)[]>;
  /** False once nobody listens: then nothing is read for it. */
  readonly isWanted: (token: ReplyToken) => boolean;
  readonly answer: (token: ReplyToken, reply: EngineReply) => void;
  /** The store has failed for good. */
  readonly onError: (error: unknown) => void;
}

interface Waiting {
  readonly token: ReplyToken;
  readonly reply: TaskReply;
}

/** Tasks with payload and result that are in memory at once for answers: 2 MiB each at the worst, by default. */
const TASKS_AT_ONCE = 16;

/**
 * Adds to answers what only the store has, in slices, so that memory does not grow with the number of askers. Runs beside the
 * engine's turns: what an answer tells was durable before it got here, and nobody else has to wait for it.
 */
export class AnswerReader {
  readonly #options: AnswerReaderOptions;
  readonly #queue = new Fifo<Waiting>();
  #reading: Promise<void> | null = null;

  constructor(options: AnswerReaderOptions) {
    this.#options = options;
  }

  /** Answers that wait for their turn. */
  get size(): number {
    return this.#queue.size;
  }

  add(token: ReplyToken, reply: TaskReply): void {
    this.#queue.push({ token, reply });
    this.#reading ??= this.#readAll();
  }

  /** Fulfilled when nothing waits. */
  async idle(): Promise<void> {
    while (this.#reading !== null) await this.#reading;
  }

  async #readAll(): Promise<void> {
    try {
      // All answers of a turn are added before the first is read; and the caller must have our promise before it is over.
      await Promise.resolve();
      for (let slice = this.#takeSlice(); slice.length > 0; slice = this.#takeSlice()) await this.#answerSlice(slice);
    } catch (error) {
      this.#queue.remove(() => true);
      this.#options.onError(error);
    } finally {
      // At once: what is added from now on begins anew.
      this.#reading = null;
    }
  }

  /** The next that somebody still listens for; empty: nothing waits any more. */
  #takeSlice(): Waiting[] {
    const slice: Waiting[] = [];
    while (slice.length < TASKS_AT_ONCE) {
      const waiting = this.#queue.shift();
      if (waiting === undefined) break;
      if (this.#options.isWanted(waiting.token)) slice.push(waiting);
    }
    return slice;
  }

  async #answerSlice(slice: readonly Waiting[]): Promise<void> {
    const tasks = await this.#options.read(slice.map(({ reply }) => reply.taskId));
    for (const [index, { token, reply }] of slice.entries()) {
      const task = tasks[index];
      const { taskId, waiting, progress } = reply;
      this.#options.answer(
        token,
        task === undefined ? { kind: 'taskNotFound', taskId } : { kind: 'task', task, waiting, progress },
      );
    }
  }
}

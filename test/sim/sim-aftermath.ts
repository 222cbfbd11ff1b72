import type { Input } from '../../coordinator/core/inputs.js';
import type { ReplyToken } from '../../coordinator/core/task.js';
import type { EngineReply } from '../../coordinator/engine.js';
import type { SimClock } from './clock.js';
import type { Model, SeenTask } from './model.js';
import type { Prng } from './random.js';
import { ANSWER_TIMEOUT_MS, type SimCaller } from './sim-caller.js';

type Change = Extract<EngineReply, { kind: 'tasksChanged' }>['results'][number];

/** What a person does with a task that has ended: puts a dead letter back in the queue, deletes it. Asks until there is an answer. */
export class SimAftermath {
  #requeuesLeft: number;
  #deletes: boolean;
  #busy = false;

  constructor(
    private readonly parts: {
      readonly clock: SimClock;
      readonly random: Prng;
      readonly model: Model;
      readonly caller: SimCaller;
      readonly seen: SeenTask;
      /** The task is open again. */
      readonly onReopened: () => void;
    },
  ) {
    const { requeues, deletes } = parts.seen.plan;
    this.#requeuesLeft = requeues;
    this.#deletes = deletes;
  }

  /** True while it does something about the task. */
  get isBusy(): boolean {
    return this.#busy;
  }

  /** The task has ended in this state. */
  begin(state: string): void {
    if (this.#busy) return;
    if (state === 'DEAD_LETTERED' && this.#requeuesLeft > 0) {
      this.#requeuesLeft -= 1;
      this.#soon(() => this.#requeue());
    } else if (this.#deletes) {
      this.#deletes = false;
      this.#soon(() => this.remove(true));
    }
  }

  /** Deletes the task, though it may not have ended: then nothing must change. */
  remove(hasEnded: boolean): void {
    const { seen, model } = this.parts;
    const { taskId } = seen.plan;
    seen.deleteAsked = true;
    this.#change(
      (token) => ({ kind: 'delete', token, taskIds: [taskId] }),
      ({ refusal }) => {
        if (refusal === null || refusal.reason === 'NOT_FOUND') seen.deleted = true;
        else if (hasEnded) model.fail('a task that has ended can be deleted', `${taskId} ${refusal.reason}`);
      },
    );
  }

  #requeue(): void {
    const { seen, model, onReopened } = this.parts;
    const { taskId } = seen.plan;
    this.#change(
      (token) => {
        // Each time: it may be done, and its answer be lost.
        seen.requeuesAsked += 1;
        return { kind: 'requeue', token, taskIds: [taskId] };
      },
      ({ refusal }) => {
        if (refusal === null || refusal.reason === 'NOT_DEAD_LETTERED') {
          // Until it is read again, nobody knows how it is.
          seen.end = null;
          onReopened();
        } else if (refusal.reason !== 'DEADLINE_PASSED' && !(refusal.reason === 'NOT_FOUND' && seen.deleteAsked)) {
          model.fail('a dead letter can be requeued', `${taskId} ${refusal.reason}`);
        }
      },
    );
  }

  #change(make: (token: ReplyToken) => Input, onChange: (change: Change) => void): void {
    this.#busy = true;
    this.parts.caller.call(make, ANSWER_TIMEOUT_MS, (reply) => {
      const change = reply?.kind === 'tasksChanged' ? reply.results[0] : undefined;
      if (change === undefined) {
        this.#soon(() => this.#change(make, onChange));
      } else {
        this.#busy = false;
        onChange(change);
      }
      return true;
    });
  }

  #soon(run: () => void): void {
    this.#busy = true;
    this.parts.clock.after(this.parts.random.between(100, 4_000), run);
  }
}

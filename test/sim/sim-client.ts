import type { Input } from '../../coordinator/core/inputs.js';
import type { Want } from '../../coordinator/core/waiters.js';
import { hasEnded } from '../../coordinator/core/task.js';
import type { ReplyToken } from '../../coordinator/core/task.js';
import type { EngineReply } from '../../coordinator/engine.js';
import type { SimClock } from './clock.js';
import type { Model, SeenTask } from './model.js';
import type { TaskPlan } from './plan.js';
import type { Prng } from './random.js';
import type { SimCoordinator } from './sim-coordinator.js';
import type { Trace } from './trace.js';

/** What clients need. */
export interface ClientParts {
  readonly clock: SimClock;
  readonly random: Prng;
  readonly model: Model;
  readonly trace: Trace;
  /** Who answers now. */
  readonly coordinator: () => SimCoordinator;
  readonly latencyMs: number;
  /** How often a client looks after its task at the least, in milliseconds. */
  readonly pollMs: number;
  /** Share of requests and of answers that get lost now. */
  readonly lost: () => number;
}

interface Call {
  /** Nobody listens any more; with `cancel` the coordinator is told that the caller hung up. */
  hangUp(cancel: boolean): void;
}

const ANSWER_TIMEOUT_MS = 4_000;

/** Submits one task, and sees it through: repeats what was not answered, as a client that means it does. */
export class SimClient {
  readonly #seen: SeenTask;
  #waiting: Call | null = null;
  #gaveUp = false;
  #absent = false;

  constructor(
    private readonly parts: ClientParts,
    private readonly plan: TaskPlan,
  ) {
    parts.model.plan(plan);
    this.#seen = parts.model.tasks.get(plan.taskId) as SeenTask;
    const { clock } = parts;
    clock.after(plan.submitAtMs, () => this.#submit());
    if (plan.cancelAtMs !== null) clock.after(plan.cancelAtMs, () => this.#cancel());
    if (plan.abandonAtMs !== null) clock.after(plan.abandonAtMs, () => this.#abandon());
  }

  /** True if nothing more is to be expected of the task. */
  get done(): boolean {
    return this.#seen.end !== null || this.#absent;
  }

  /** Reads the task, whatever is known of it; the model judges. */
  read(): void {
    this.#call(
      (token) => ({ kind: 'getTask', token, taskId: this.plan.taskId }),
      ANSWER_TIMEOUT_MS,
      (reply) => {
        if (reply?.kind === 'task') this.#learn(reply);
        if (reply?.kind === 'taskNotFound') {
          this.parts.model.read(this.plan.taskId, null);
          // It was never taken, and nobody will submit it again.
          if (this.plan.careless || this.#gaveUp) this.#absent = true;
        }
        return true;
      },
    );
  }

  #submit(): void {
    if (this.plan.mode === 'run') this.#run();
    else this.#submitAndPoll();
  }

  #submitAndPoll(): void {
    this.#call(
      (token) => this.#submitInput(token, null),
      ANSWER_TIMEOUT_MS,
      (reply) => {
        if (reply?.kind === 'submitted') {
          this.#acknowledged();
          this.#pollLater();
        } else if (reply?.kind === 'idTaken') {
          this.parts.model.fail('a repeated submit is the same task', this.plan.taskId);
        } else if (reply?.kind === 'deadlinePassed') {
          this.#tooLate();
        } else if (!this.plan.careless) {
          this.#later(2_000, () => this.#submitAndPoll());
        }
        return true;
      },
    );
  }

  #run(): void {
    if (this.#gaveUp) return;
    this.#waiting = this.#call(
      (token) => this.#submitInput(token, 'task'),
      this.parts.pollMs * 2.5,
      (reply) => {
        // The call's answer is the end.
        if (reply?.kind === 'submitted') return false;
        this.#waiting = null;
        if (reply?.kind === 'task') {
          this.#seen.acknowledged = true;
          this.#learn(reply);
        } else if (reply?.kind === 'deadlinePassed') {
          this.#tooLate();
        } else {
          this.#later(2_000, () => this.#run());
        }
        return true;
      },
    );
  }

  #submitInput(token: ReplyToken, want: Want | null): Extract<Input, { kind: 'submit' }> {
    const { taskId, spec, body, digest } = this.plan;
    return { kind: 'submit', token, taskId, spec, body, digest, want };
  }

  /** No submit before this one got through in time, so there is no such task; one that was acknowledged would be lost. */
  #tooLate(): void {
    this.parts.model.read(this.plan.taskId, null);
    this.#absent = true;
  }

  #acknowledged(): void {
    this.#seen.acknowledged = true;
    this.parts.trace.add('client', `${this.plan.taskId.slice(0, 8)} is acknowledged`);
    if (!this.plan.contradicts) return;
    const other = (token: ReplyToken): Input => ({ ...this.#submitInput(token, null), digest: 'another' });
    this.#call(other, ANSWER_TIMEOUT_MS, (reply) => {
      if (reply?.kind === 'submitted') this.parts.model.fail('an id means one task', this.plan.taskId);
      return true;
    });
  }

  #pollLater(): void {
    this.#later(this.parts.pollMs, () => {
      if (this.done) return;
      this.read();
      this.#pollLater();
    });
  }

  #learn({ task }: Extract<EngineReply, { kind: 'task' }>): void {
    const { model, trace } = this.parts;
    if (this.#seen.end === null && hasEnded(task.row.state)) {
      trace.add(
        'client',
        `${task.row.taskId.slice(0, 8)} has ended: ${task.row.state} ${task.row.failure?.reason ?? ''}`,
      );
    }
    model.read(task.row.taskId, task);
  }

  #cancel(): void {
    if (this.done) return;
    this.#seen.cancelAsked = true;
    this.#call(
      (token) => ({ kind: 'cancel', token, taskId: this.plan.taskId }),
      ANSWER_TIMEOUT_MS,
      (reply) => {
        if (reply?.kind === 'cancelled' && !hasEnded(reply.state)) this.#seen.cancelAcknowledged = true;
        return true;
      },
    );
  }

  #abandon(): void {
    if (this.#waiting === null) return;
    if (this.plan.cancelsOnAbandon) this.#seen.cancelAsked = true;
    this.#gaveUp = true;
    this.#waiting.hangUp(this.plan.cancelsOnAbandon);
    this.#waiting = null;
  }

  #later(mostMs: number, run: () => void): void {
    this.parts.clock.after(this.parts.random.between(100, mostMs), run);
  }

  /**
   * One call over a network that loses some.
   *
   * @param onReply Gets each reply, or undefined once there will be none; returns true if it was the last it wants.
   */
  #call(
    make: (token: ReplyToken) => Input,
    timeoutMs: number,
    onReply: (reply: EngineReply | undefined) => boolean,
  ): Call {
    const { clock, random, coordinator, latencyMs, lost } = this.parts;
    let over = false;
    let token: ReplyToken | string = 'NOT_SENT';
    let server: SimCoordinator | undefined;
    const finish = (reply: EngineReply | undefined): void => {
      if (over) return;
      over = onReply(reply) || reply === undefined;
      if (over) forgetTimeout();
    };
    const forgetTimeout = clock.after(timeoutMs, () => finish(undefined));
    const answerLost = random.chance(lost());
    if (!random.chance(lost())) {
      clock.after(
        latencyMs,
        () => {
          const asked = coordinator();
          const refused = (): void => void clock.after(latencyMs, () => finish(undefined));
          server = asked;
          asked.arrive(() => {
            token = asked.ask(make, (reply) => clock.after(latencyMs, () => !answerLost && finish(reply)));
            if (typeof token === 'string') refused();
          }, refused);
        },
        true,
      );
    }
    const hangUp = (cancel: boolean): void => {
      over = true;
      forgetTimeout();
      clock.after(
        latencyMs,
        () => {
          const asked = server;
          asked?.arrive(() => typeof token === 'number' && asked.abandon(token, this.plan.taskId, cancel));
        },
        true,
      );
    };
    return { hangUp };
  }
}

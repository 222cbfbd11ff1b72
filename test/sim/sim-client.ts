import type { Input } from '../../coordinator/core/inputs.js';
import type { Want } from '../../coordinator/core/waiters.js';
import { hasEnded } from '../../coordinator/core/task.js';
import type { ReplyToken } from '../../coordinator/core/task.js';
import type { EngineReply } from '../../coordinator/engine.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import type { StreamResult } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { payloadContent } from '../../proto/payload.js';
import type { Model, SeenTask } from './model.js';
import type { TaskPlan } from './plan.js';
import { SimAftermath } from './sim-aftermath.js';
import { ANSWER_TIMEOUT_MS, SimCaller, type Call, type CallerParts } from './sim-caller.js';
import type { SimStreamClient } from './sim-stream-client.js';
import type { Trace } from './trace.js';

/** What clients need. */
export interface ClientParts extends CallerParts {
  readonly model: Model;
  readonly trace: Trace;
  /** Of those that share one. */
  readonly stream: SimStreamClient;
  /** How often a client looks after its task at the least, in milliseconds. */
  readonly pollMs: number;
}

/** Submits one task, and sees it through: repeats what was not answered, as a client that means it does. */
export class SimClient {
  readonly #seen: SeenTask;
  readonly #caller: SimCaller;
  readonly #aftermath: SimAftermath;
  #waiting: Call | null = null;
  #streamCall: number | null = null;
  #gaveUp = false;
  #absent = false;

  constructor(
    private readonly parts: ClientParts,
    private readonly plan: TaskPlan,
  ) {
    parts.model.plan(plan);
    this.#seen = parts.model.tasks.get(plan.taskId) as SeenTask;
    this.#caller = new SimCaller(parts, plan.taskId);
    this.#aftermath = new SimAftermath({
      ...parts,
      caller: this.#caller,
      seen: this.#seen,
      onReopened: () => this.#pollLater(),
    });
    const { clock } = parts;
    clock.after(plan.submitAtMs, () => this.#submit());
    if (plan.cancelAtMs !== null) clock.after(plan.cancelAtMs, () => this.#cancel());
    if (plan.abandonAtMs !== null) clock.after(plan.abandonAtMs, () => this.#abandon());
  }

  /** True if nothing more is to be expected of the task. */
  get done(): boolean {
    return (this.#seen.end !== null || this.#absent) && !this.#aftermath.isBusy;
  }

  /** Reads the task, whatever is known of it; the model judges. */
  read(): void {
    const { model } = this.parts;
    const { taskId } = this.plan;
    const { deleted: wasDeleted, toldMs: toldBefore, acknowledged: wasAcknowledged } = this.#seen;
    this.#caller.call(
      (token) => ({ kind: 'getTask', token, taskId: this.plan.taskId }),
      ANSWER_TIMEOUT_MS,
      (reply) => {
        if (reply?.kind === 'task') {
          // A stream may have told the end before this older answer came.
          const isOld = toldBefore !== this.#seen.toldMs && !hasEnded(reply.task.row.state);
          if (wasDeleted) this.#comesBack();
          else if (!isOld) this.#learn(reply);
        }
        if (reply?.kind === 'taskNotFound') {
          // A stream may have told that it was taken before this older answer came.
          if (wasAcknowledged || !this.#seen.acknowledged) model.read(taskId, null);
          // It was never taken, and nobody will submit it again; or it is deleted.
          if (this.plan.careless || this.#gaveUp || this.#seen.deleteAsked) this.#absent = true;
        }
        return true;
      },
    );
  }

  /** After it was deleted. A repeat of its submit, held up on a stream that was given up, makes another task of its id. */
  #comesBack(): void {
    const { model } = this.parts;
    if (this.plan.mode === 'stream') this.#absent = true;
    else model.fail('a task that was deleted is gone', this.plan.taskId);
  }

  #submit(): void {
    if (this.plan.mode === 'run') this.#run();
    else if (this.plan.mode === 'stream') this.#stream();
    else this.#submitAndPoll();
  }

  #stream(): void {
    if (this.#gaveUp) return;
    const { model, stream, trace } = this.parts;
    const { taskId } = this.plan;
    model.submits(this.plan);
    this.#streamCall = stream.call('run', taskId, {
      accepted: () => {
        model.acknowledged(taskId);
        trace.add('client', `${taskId.slice(0, 8)} is accepted`);
        // Somebody else wants to hear of it too.
        if (this.plan.contradicts) this.#later(10_000, () => this.#awaitToo());
      },
      ended: (result) => this.#told(result),
      failed: ({ reason, message }) => {
        if (reason === 'INVALID_TASK' && message.includes('deadline')) this.#tooLate();
        else if (!this.#seen.deleteAsked) model.fail('a stream serves its callers', `${taskId}: ${reason} ${message}`);
      },
      cancel: () => this.#askToCancel(),
    });
  }

  #awaitToo(): void {
    const { model, stream } = this.parts;
    const { taskId } = this.plan;
    stream.call('result', taskId, {
      accepted: () => undefined,
      ended: (result) => this.#told(result),
      failed: ({ reason, message }) => {
        if (!this.#seen.deleteAsked) model.fail('what is awaited is told', `${taskId}: ${reason} ${message}`);
      },
      cancel: () => undefined,
    });
  }

  /** The end, as the stream tells it; what a read says of it must be the same. */
  #told({ state, result }: StreamResult): void {
    const { model, trace } = this.parts;
    const { taskId } = this.plan;
    model.acknowledged(taskId);
    trace.add('client', `${taskId.slice(0, 8)} is told to have ended: ${TaskState[state]}`);
    const text = result === undefined ? null : Buffer.from(payloadContent(result).data).toString();
    model.toldEnd(taskId, TaskState[state], text);
    this.#aftermath.begin(TaskState[state]);
  }

  #submitAndPoll(): void {
    if (this.#seen.deleteAsked) return;
    this.parts.model.submits(this.plan);
    this.#caller.call(
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
    if (this.#gaveUp || this.#seen.deleteAsked) return;
    this.parts.model.submits(this.plan);
    this.#waiting = this.#caller.call(
      (token) => this.#submitInput(token, 'task'),
      this.parts.pollMs * 2.5,
      (reply) => {
        // The call's answer is the end.
        if (reply?.kind === 'submitted') {
          this.parts.model.acknowledged(this.plan.taskId);
          return false;
        }
        this.#waiting = null;
        if (reply?.kind === 'task') {
          this.parts.model.acknowledged(this.plan.taskId);
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
    this.parts.trace.add('client', `${this.plan.taskId.slice(0, 8)} is too late`);
    this.parts.model.read(this.plan.taskId, null);
    this.#absent = true;
  }

  #acknowledged(): void {
    this.parts.model.acknowledged(this.plan.taskId);
    this.parts.trace.add('client', `${this.plan.taskId.slice(0, 8)} is acknowledged`);
    if (this.plan.deletesEarly) this.#later(10_000, () => this.#aftermath.remove(false));
    if (!this.plan.contradicts) return;
    const other = (token: ReplyToken): Input => ({ ...this.#submitInput(token, null), digest: 'another' });
    this.#caller.call(other, ANSWER_TIMEOUT_MS, (reply) => {
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
    // A stream that was not told of the end may submit it again.
    if (this.#seen.end !== null && (this.plan.mode !== 'stream' || this.#seen.toldMs !== null))
      this.#aftermath.begin(this.#seen.end.state);
  }

  #cancel(): void {
    if (!this.done) this.#askToCancel();
  }

  #askToCancel(): void {
    this.#seen.cancelAsked = true;
    this.#caller.call(
      (token) => ({ kind: 'cancel', token, taskId: this.plan.taskId }),
      ANSWER_TIMEOUT_MS,
      (reply) => {
        if (reply?.kind === 'cancelled' && !hasEnded(reply.state)) this.#seen.cancelAcknowledged = true;
        return true;
      },
    );
  }

  #abandon(): void {
    if (this.#streamCall !== null) this.#abandonStreamCall(this.#streamCall);
    if (this.#waiting === null) return;
    if (this.plan.cancelsOnAbandon) this.#seen.cancelAsked = true;
    this.#gaveUp = true;
    this.#waiting.hangUp(this.plan.cancelsOnAbandon);
    this.#waiting = null;
  }

  #abandonStreamCall(callId: number): void {
    if (this.plan.cancelsOnAbandon) this.#seen.cancelAsked = true;
    const stage = this.parts.stream.abandon(callId, this.plan.cancelsOnAbandon ? 'cancel' : 'keep');
    this.#streamCall = null;
    if (stage !== undefined) this.#gaveUp = true;
  }

  #later(mostMs: number, run: () => void): void {
    this.parts.clock.after(this.parts.random.between(100, mostMs), run);
  }
}

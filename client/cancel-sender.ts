import { status as Code } from '@grpc/grpc-js';
import { Fifo } from '../proto/fifo.js';
import { FleetError } from '../proto/fleet-error.js';
import { TaskService } from '../proto/gen/remuda/v1/task_service_pb.js';
import type { UnaryCalls } from './unary-calls.js';

/** Under way at a time: enough to keep one connection busy. */
const AT_ONCE_MAX = 64;
/** In line; what is more is reported as failed. */
const WAITING_MAX = 65_536;

/** Cancels tasks whose callers have gone away, in the background: nobody waits for the answer. */
export class CancelSender {
  readonly #waiting = new Fifo<string>();
  readonly #whenIdle: (() => void)[] = [];
  #underWay = 0;

  constructor(
    private readonly calls: UnaryCalls,
    private readonly onFailed: (taskId: string, error: FleetError) => void,
  ) {}

  /** Cancels a task as soon as the coordinator can be asked. That it has ended, or never existed, is no failure. */
  send(taskId: string): void {
    if (this.#waiting.size >= WAITING_MAX) {
      const message = `task ${taskId} is not cancelled: ${WAITING_MAX} cancels wait for the coordinator already; cancel it later`;
      this.onFailed(taskId, new FleetError(Code.RESOURCE_EXHAUSTED, 'TOO_MANY_CANCELS', message));
      return;
    }
    this.#waiting.push(taskId);
    this.#next();
  }

  /** Resolves when all that was sent is answered. */
  idle(): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #next(): void {
    while (this.#underWay < AT_ONCE_MAX) {
      const taskId = this.#waiting.shift();
      if (taskId === undefined) break;
      this.#underWay += 1;
      void this.#cancel(taskId);
    }
    if (this.#underWay === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  async #cancel(taskId: string): Promise<void> {
    try {
      await this.calls.call(TaskService.method.cancelTask, { taskId }, { patient: true });
    } catch (error) {
      const failure = FleetError.from(error);
      if (failure.code !== Code.NOT_FOUND && failure.reason !== 'TASK_ENDED') this.onFailed(taskId, failure);
    } finally {
      this.#underWay -= 1;
      this.#next();
    }
  }
}

import type { Input } from '../../coordinator/core/inputs.js';
import type { ReplyToken } from '../../coordinator/core/task.js';
import type { EngineReply } from '../../coordinator/engine.js';
import type { SimClock } from './clock.js';
import type { Prng } from './random.js';
import type { SimCoordinator } from './sim-coordinator.js';

/** How long most answers are waited for. */
export const ANSWER_TIMEOUT_MS = 4_000;

/** What callers need. */
export interface CallerParts {
  readonly clock: SimClock;
  readonly random: Prng;
  /** Who answers now. */
  readonly coordinator: () => SimCoordinator;
  readonly latencyMs: number;
  /** Share of requests and of answers that get lost now. */
  readonly lost: () => number;
}

/** A call under way. */
export interface Call {
  /** Nobody listens any more; with `cancel` the coordinator is told that the caller hung up. */
  hangUp(cancel: boolean): void;
}

/** Calls about one task, over a network that loses some. */
export class SimCaller {
  constructor(
    private readonly parts: CallerParts,
    private readonly taskId: string,
  ) {}

  /**
   * Asks the coordinator that lives when the call arrives.
   *
   * @param onReply Gets each reply, or undefined once there will be none; returns true if it was the last it wants.
   */
  call(
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
          asked?.arrive(() => typeof token === 'number' && asked.abandon(token, this.taskId, cancel));
        },
        true,
      );
    };
    return { hangUp };
  }
}

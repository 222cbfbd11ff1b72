import type { Assignment } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import { attemptKey } from '../../worker/attempt-book.js';
import type { AbortCause } from '../../worker/task-handler.js';
import type { Settlement } from '../../worker/session-messages.js';
import { failureInfo } from '../../worker/thrown.js';
import type { SimProcess } from './clock.js';
import type { Model } from './model.js';
import type { HandlerPlan, SeatPlan } from './plan.js';
import type { Prng } from './random.js';

/** What a handler's process tells its session. */
export interface HandlerListener {
  started(key: string): void;
  settled(key: string, settlement: Settlement, runMs: number): void;
}

interface Running {
  readonly enteredMs: number;
  readonly assignment: Assignment;
  /** What the handler does once its signal aborts; null: it goes on. */
  readonly onAbort: ((cause: AbortCause) => void) | null;
}

/** The handlers of one worker process: made-up work of every temper. */
export class SimHandlers {
  readonly #running = new Map<string, Running>();

  constructor(
    private readonly parts: {
      readonly process: SimProcess;
      readonly name: string;
      readonly seat: SeatPlan;
      readonly random: Prng;
      readonly model: Model;
      /** Asked at each entry: tempers change when the faults end. */
      readonly tempers: () => HandlerPlan;
      /** Slow ones take up to so long, in milliseconds. */
      readonly slowMs: number;
      readonly listener: HandlerListener;
    },
  ) {}

  run(assignment: Assignment): void {
    const { attempt: ref } = assignment;
    if (ref === undefined) return;
    const key = attemptKey(ref);
    const { process, name, seat, model, listener } = this.parts;
    listener.started(key);
    model.entered(name, seat, assignment);
    const onAbort = this.#begin(key, assignment);
    this.#running.set(key, { enteredMs: process.monoMs, assignment, onAbort });
  }

  abort(key: string, cause: AbortCause): void {
    const running = this.#running.get(key);
    if (running === undefined) return;
    this.parts.model.aborted(key, cause);
    running.onAbort?.(cause);
  }

  /** Draws what the handler does. Returns what it does once aborted. */
  #begin(key: string, { timeoutMs }: Assignment): Running['onAbort'] {
    const { random, seat, slowMs } = this.parts;
    const { slow, fails, failsForGood, hangs, ignoresAbort, neverSettles } = this.parts.tempers();
    const settle = (afterMs: number, how: () => Settlement): void => {
      this.parts.process.after(afterMs, () => this.#settle(key, how()));
    };
    const obeys = (): void => {
      if (random.chance(0.2)) settle(random.between(0, 100), () => this.#returns(key));
      else settle(random.between(0, 100), () => threw('ABORTED_IN_HANDLER', false));
    };
    const durationMs = random.chance(slow) ? random.between(200, slowMs) : random.between(0, 200);
    if (random.chance(hangs)) return obeys;
    if (random.chance(neverSettles) && seat.onStuck === 'exit') return null;
    if (random.chance(ignoresAbort)) {
      settle(timeoutMs * random.between(0.5, 2) + random.between(0, 15_000), () => this.#returns(key));
      return null;
    }
    if (random.chance(failsForGood)) settle(durationMs, () => threw('FATAL', true));
    else if (random.chance(fails))
      settle(durationMs, () => threw(random.pick(['HANDLER_ERROR', 'SOMETIMES_FATAL']), false));
    else settle(durationMs, () => this.#returns(key));
    return obeys;
  }

  #returns(key: string): Settlement {
    // No two executions return the same, so that a result tells where it comes from.
    const text = JSON.stringify(`${key} in ${this.parts.name}`);
    return { kind: 'returned', contentType: 'application/json', data: Buffer.from(text) };
  }

  #settle(key: string, settlement: Settlement): void {
    const running = this.#running.get(key);
    if (running === undefined) return;
    this.#running.delete(key);
    const { process, model, listener } = this.parts;
    model.settled(key, settlement);
    listener.settled(key, settlement, Math.round(process.monoMs - running.enteredMs));
  }
}

function threw(reason: string, nonRetryable: boolean): Settlement {
  return { kind: 'threw', failure: failureInfo(reason, 'the simulated handler threw', nonRetryable) };
}

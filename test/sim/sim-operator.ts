import type { Input } from '../../coordinator/core/inputs.js';
import type { ReplyToken } from '../../coordinator/core/task.js';
import type { EngineReply } from '../../coordinator/engine.js';
import type { SimClock } from './clock.js';
import type { Model } from './model.js';
import type { Prng } from './random.js';
import type { SimCoordinator } from './sim-coordinator.js';
import type { Trace } from './trace.js';

/** What an operator needs. */
export interface OperatorParts {
  readonly clock: SimClock;
  readonly random: Prng;
  readonly model: Model;
  readonly trace: Trace;
  readonly coordinator: () => SimCoordinator;
  /** Workers there are. */
  readonly workerIds: readonly string[];
}

/** How often he looks whether the coordinator that he asked is still there. */
const LOOK_MS = 3_000;

/** Drains workers, waits until they are idle or does not, and resumes them; one after the other. */
export class SimOperator {
  /** The drain that is held, or being asked for; null: none is. */
  #pattern: string | null = null;
  #resuming = false;
  #drains = 0;

  constructor(private readonly parts: OperatorParts) {}

  /** True once everything that was drained is resumed. */
  get isDone(): boolean {
    return this.#pattern === null;
  }

  /** Drains some workers, and resumes them after a while. */
  drain(): void {
    const { random, clock, trace, workerIds } = this.parts;
    if (this.#pattern !== null) return;
    const pattern = random.pick([random.pick(workerIds), random.pick(workerIds), 'w/*', '*']);
    this.#pattern = pattern;
    this.#drains += 1;
    const number = this.#drains;
    // Given up while it was asked for, or while it waited.
    const isOver = (): boolean => this.#resuming || this.#drains !== number || this.#pattern === null;
    const whenIdle = random.chance(0.5);
    trace.add('operator', `drains ${pattern} ${whenIdle ? 'and waits until it is idle' : ''}`);
    this.#ask(
      (token) => ({ kind: 'drain', token, patterns: [pattern], whenIdle }),
      (reply) => {
        this.#check(reply, whenIdle);
        if (!isOver()) this.parts.model.drains(pattern);
      },
      isOver,
    );
    clock.after(random.between(500, 30_000), () => this.resume());
  }

  /** Resumes what is drained, now. */
  resume(): void {
    const pattern = this.#pattern;
    if (pattern === null || this.#resuming) return;
    const { model, trace } = this.parts;
    this.#resuming = true;
    trace.add('operator', `resumes ${pattern}`);
    model.resumes();
    this.#ask(
      (token) => ({ kind: 'resume', token, patterns: [pattern] }),
      () => {
        // Answered, or told that no such drain is held: either way it is none any more.
        this.#pattern = null;
        this.#resuming = false;
      },
      () => false,
    );
  }

  #check(reply: EngineReply, waited: boolean): void {
    const { model } = this.parts;
    if (reply.kind !== 'drained') {
      model.fail('a drain is answered', reply.kind);
      return;
    }
    const busy = reply.workers.find(({ attempts }) => attempts > 0);
    if (waited && busy !== undefined) model.fail('a drain that waits is answered when nobody is busy', busy.workerId);
  }

  /** Until it is answered: again whenever the coordinator that was asked is gone, or refuses. */
  #ask(make: (token: ReplyToken) => Input, onReply: (reply: EngineReply) => void, isOver: () => boolean): void {
    const { clock, coordinator } = this.parts;
    if (isOver()) return;
    const server = coordinator();
    let state: 'asked' | 'refused' | 'answered' = 'asked';
    server.arrive(
      () => {
        if (isOver()) return;
        const token = server.ask(make, (reply) => {
          if (state === 'answered') return;
          state = reply.kind === 'stopped' ? 'refused' : 'answered';
          if (reply.kind !== 'stopped') onReply(reply);
        });
        if (typeof token === 'string') state = 'refused';
      },
      () => (state = 'refused'),
    );
    const look = (): void => {
      if (state === 'answered') return;
      if (state === 'refused' || coordinator() !== server || !server.process.alive) this.#ask(make, onReply, isOver);
      else clock.after(LOOK_MS, look, true);
    };
    clock.after(LOOK_MS, look, true);
  }
}

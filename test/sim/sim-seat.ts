import type { SeatPlan } from './plan.js';
import { oneOf, type Prng } from './random.js';
import type { ProcessEnd } from '../../coordinator/core/inputs.js';
import { SimWorker, type WorkerParts } from './sim-worker.js';
import { EXIT_REFUSED } from '../../worker/session-effects.js';

/** As many as a hello may name. */
const MAX_REPLACES = 64;

/** A place for a worker, with the supervisor that keeps one there. */
export class SimSeat {
  readonly #random: Prng;
  #alive: SimWorker[] = [];
  readonly #dead: string[] = [];
  #spawned = 0;

  constructor(
    private readonly parts: WorkerParts,
    readonly plan: SeatPlan,
    /** Tells the coordinator, if one listens, faster than any stream can. */
    private readonly tellOfEnd: (incarnation: string, how: ProcessEnd) => void,
  ) {
    this.#random = parts.random.fork();
    this.spawn();
  }

  /** Processes that live, oldest first. More than one after a takeover, until the loser has noticed. */
  get alive(): readonly SimWorker[] {
    return this.#alive;
  }

  /** Starts one more process under this worker_id. */
  spawn(): void {
    // Some supervisors know of no dead process, and some forget what they knew.
    const replaces = this.plan.namesTheDead && this.#random.chance(0.8) ? this.#dead.slice(-MAX_REPLACES) : [];
    this.#start(this.#random.hex(32), replaces);
  }

  /** One of its processes dies; `silently`: with its machine, so that nobody hears of it. */
  crash(silently: boolean): void {
    const worker = oneOf(this.#random, this.#alive);
    if (worker === undefined) return;
    worker.kill(silently);
    this.#gone(worker);
    if (!silently) this.tellOfEnd(worker.incarnation, this.#spawned % 2 === 0 ? 'killed' : 'died');
  }

  /** One of its processes dies, and whoever starts it again gives the new one the same incarnation. */
  crashAndKeepIncarnation(silently: boolean): void {
    const worker = oneOf(this.#random, this.#alive);
    if (worker === undefined || this.#alive.length > 1) return;
    worker.kill(silently);
    this.#forget(worker);
    this.parts.clock.after(this.#random.pick([10, this.#random.between(10, 8_000)]), () => {
      if (this.#alive.length > 0) return;
      const heir = this.#start(worker.incarnation, []);
      for (const { name } of [worker, heir]) this.parts.model.repeatsIncarnation(name);
    });
  }

  /** A copy of one of its processes appears, incarnation and all, as of a machine's image; one of the two is gone after a while. */
  clone(forMs: number): void {
    const worker = oneOf(this.#random, this.#alive);
    if (worker === undefined || this.#alive.length > 1) return;
    this.parts.trace.add('FAULT', `a copy of ${worker.name} appears`);
    const copy = this.#start(worker.incarnation, []);
    for (const { name } of [worker, copy]) this.parts.model.isCloned(name);
    this.parts.clock.after(forMs, () => {
      const one = this.#random.pick([worker, copy]);
      if (![worker, copy].every((process) => this.#alive.includes(process))) return;
      one.kill(this.#random.chance(0.3));
      this.#forget(one);
    });
  }

  #start(incarnation: string, replaces: readonly string[]): SimWorker {
    this.#spawned += 1;
    const name = `${this.plan.workerId}~${this.#spawned}`;
    const worker: SimWorker = new SimWorker(this.parts, name, this.plan, incarnation, replaces, (code) => {
      if (code === EXIT_REFUSED) this.parts.model.fail('a worker is never refused', name);
      this.#gone(worker);
      this.tellOfEnd(incarnation, 'died');
    });
    this.#alive.push(worker);
    worker.start();
    return worker;
  }

  #gone(worker: SimWorker): void {
    this.#forget(worker);
    this.#dead.push(worker.incarnation);
    this.parts.clock.after(this.#random.chance(0.5) ? 10 : this.#random.between(10, 8_000), () => {
      if (this.#alive.length === 0) this.spawn();
    });
  }

  #forget(worker: SimWorker): void {
    this.#alive = this.#alive.filter((other) => other !== worker);
  }
}

import type { TaskRow } from '../../coordinator/core/task.js';
import type { TaskPlan } from './plan.js';

interface Place {
  readonly plan: TaskPlan;
  readonly sentMs: number;
  acknowledgedMs: number | null;
}

/**
 * The order within a domain, as clients see it: of two tasks of one type, labels and priority, the one that was acknowledged before
 * the other was submitted is handed out first. Whoever can take one of them can take the other. True only of first attempts and
 * without run_time: a task that comes back from a back-off has a new place.
 */
export class Order {
  readonly #domains = new Map<string, Place[]>();
  readonly #places = new Map<string, Place>();

  /** A client submits the task for the first time, or again. */
  submits(plan: TaskPlan, nowMs: number): void {
    const known = this.#places.get(plan.taskId);
    if (known !== undefined || plan.spec.runTimeWallMs !== null) return;
    const place: Place = { plan, sentMs: nowMs, acknowledgedMs: null };
    this.#places.set(plan.taskId, place);
    const { type, priority, requiredLabels } = plan.spec;
    const domain = JSON.stringify([type, priority, requiredLabels]);
    const places = this.#domains.get(domain) ?? [];
    this.#domains.set(domain, places);
    places.push(place);
  }

  /** A client has its answer. */
  acknowledged(taskId: string, nowMs: number): void {
    const place = this.#places.get(taskId);
    if (place !== undefined) place.acknowledgedMs ??= nowMs;
  }

  /**
   * A task is handed out for the first time.
   *
   * @param rowOf What the disk has of a task, now that this is on it
   * @returns A task that should have been first; undefined: none
   */
  overtaken(taskId: string, rowOf: (taskId: string) => TaskRow | undefined): string | undefined {
    const place = this.#places.get(taskId);
    if (place === undefined) return undefined;
    const { type, priority, requiredLabels } = place.plan.spec;
    const rivals = this.#domains.get(JSON.stringify([type, priority, requiredLabels])) ?? [];
    return rivals.find(({ plan, acknowledgedMs }) => {
      if ((acknowledgedMs ?? Infinity) > place.sentMs) return false;
      const row = rowOf(plan.taskId);
      return row?.state === 'QUEUED' && row.attempt === 0;
    })?.plan.taskId;
  }
}

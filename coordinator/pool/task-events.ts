import type { CoreEvent } from '../core/outputs.js';
import type { EventPost } from './event-post.js';
import { plainError } from './host-events.js';
import type { FiguresWriter } from './pool-figures.js';

type AttemptEnded = Extract<CoreEvent, { name: 'attempt-ended' }>;

/** What the core says of tasks, as the pool's figures and events. */
export class TaskEvents {
  /** Attempts that failed. */
  #failed = 0;
  /** Tasks whose end was told with an attempt's, until the core tells of it too, in the same step. */
  readonly #told = new Set<string>();

  constructor(
    private readonly figures: FiguresWriter,
    private readonly events: EventPost,
    private readonly nowMs: () => number,
  ) {}

  /** Attempts that failed, since the start. */
  get failed(): number {
    return this.#failed;
  }

  on(event: CoreEvent): void {
    if (event.name === 'attempt-ended') this.#attemptEnded(event);
    else if (event.name === 'task-ended') this.#taskEnded(event);
    else if (event.name === 'attempt-started' && event.startMs !== null) this.figures.started(event.startMs);
  }

  /** The step is over. */
  settled(): void {
    this.#told.clear();
  }

  #attemptEnded(event: AttemptEnded): void {
    const { taskId, type, attempt, workerId, outcome, charge, taskState, reason, message, stack, runMs } = event;
    const attemptEvent = { taskId, type, attempt, workerId };
    if (outcome === 'SUCCEEDED') {
      this.figures.completed(runMs, this.nowMs());
      this.events.add('task-completed', { ...attemptEvent, durationMs: runMs });
      return;
    }
    const givenUp = taskState === 'DEAD_LETTERED' || taskState === 'EXPIRED';
    // What a drain, a restart or a cancel ended has not failed.
    if (!givenUp && charge !== 'FAILURE' && charge !== 'CRASH') return;
    this.#failed += 1;
    const error = plainError(reason, message, { task_id: taskId, attempt: String(attempt) }, stack);
    this.events.add('task-failed', { ...attemptEvent, error, retried: !givenUp });
    if (!givenUp) return;
    this.#told.add(taskId);
    if (taskState === 'DEAD_LETTERED') this.events.add('task-dead-lettered', { taskId, type, error });
  }

  /** A deadline can pass before any attempt, or between two. */
  #taskEnded({ taskId, type, taskState, reason, message }: Extract<CoreEvent, { name: 'task-ended' }>): void {
    if (taskState !== 'EXPIRED' || this.#told.has(taskId)) return;
    const error = plainError(reason, message, { task_id: taskId });
    this.events.add('task-failed', { taskId, type, attempt: 0, workerId: '', error, retried: false });
  }
}

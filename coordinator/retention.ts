/**
 * Which ended tasks may go, and when:
 *
 * | an ended task that is | goes |
 * | --- | --- |
 * | acknowledged by its submitter | 10 minutes later, or when 100,000 newer ones are; the oldest earlier, while the store is nearly full |
 * | only read | 1 hour after the newest reading |
 * | neither | 24 hours after its end |
 * | a dead letter | 30 days after its end, or the oldest beyond 100,000: never because somebody has seen it |
 *
 * The marks of who has seen what are in memory only: a write for each would cost as much as the task. So after a restart, as
 * when marks are forgotten at their bound, a task counts as unseen and is kept for longer, never for less.
 */
import { Fifo } from '../proto/fifo.js';
import type { Now } from './core/inputs.js';
import type { EndedTask, Write } from './core/outputs.js';
import { uuidV7Ms } from './core/task-id.js';
import type { StoreStats, WriteResult } from './store/store.js';

/** How a task's end has been seen. */
export type Sight = 'acknowledged' | 'read';

export interface RetentionOptions {
  /** How long a task is kept after its acknowledgement, in milliseconds. */
  readonly acknowledgedMs: number;
  /** Acknowledged tasks kept, at most. */
  readonly maxAcknowledged: number;
  /** How long a task that was only read is kept after that, in milliseconds. */
  readonly readMs: number;
  /** How long a task that nobody has seen is kept after its end, in milliseconds. */
  readonly unseenMs: number;
  /** How long a dead letter is kept after its end, in milliseconds. */
  readonly deadLetterMs: number;
  /** Dead letters kept, at most. */
  readonly maxDeadLetters: number;
  /** Share of the store's bound, 0 to 1, from which on acknowledged tasks go whatever their time. */
  readonly pressureShare: number;
  /** Tasks removed in one step, at most. */
  readonly maxRows: number;
  /** Marks kept, at most, of each kind; the oldest beyond are forgotten. */
  readonly maxMarks: number;
  /** How often the store is asked for what has become old, in milliseconds. */
  readonly oldEveryMs: number;
}

const HOUR_MS = 3_600_000;

export const RETENTION_DEFAULTS = {
  acknowledgedMs: 600_000,
  maxAcknowledged: 100_000,
  readMs: HOUR_MS,
  unseenMs: 24 * HOUR_MS,
  deadLetterMs: 30 * 24 * HOUR_MS,
  maxDeadLetters: 100_000,
  pressureShare: 0.9,
  maxRows: 1_000,
  maxMarks: 200_000,
  oldEveryMs: 60_000,
} as const satisfies RetentionOptions;

/** What a commit has purged. */
export interface Purged {
  /** Tasks removed, dead letters included. */
  readonly count: number;
  readonly deadLetters: number;
}

interface Mark {
  readonly taskId: string;
  readonly sight: Sight;
  endWallMs: number;
  seenMonoMs: number;
  /** When it was put at the end of its queue: one seen again since goes there again before it is judged. */
  queuedMonoMs: number;
}

/** Keeps the marks and writes the purges; the time is passed in. Marks count on the monotonic clock, ends on the wall's. */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #marks = new Map<string, Mark>();
  /** In the order in which they become due. A mark that has left for the other queue stays until its turn. */
  readonly #queues: Readonly<Record<Sight, Fifo<Mark>>> = { acknowledged: new Fifo(), read: new Fifo() };
  #acknowledged = 0;
  /** At once, after a start. */
  #nextOldMonoMs = -Infinity;
  #purgedIdMs = 0;

  constructor(options: Partial<RetentionOptions> = {}) {
    this.#options = { ...RETENTION_DEFAULTS, ...options };
  }

  /** @param purgedIdMs As the store told when it was opened. */
  opened(purgedIdMs: number): void {
    this.#purgedIdMs = purgedIdMs;
  }

  /** True if an id that the store does not know may be that of a purged task: see `OpenedStore.purgedIdMs`. */
  wasPurged(taskId: string): boolean {
    const idMs = uuidV7Ms(taskId);
    return idMs !== null && idMs <= this.#purgedIdMs;
  }

  /** Notes that a task's end was seen. An acknowledged one stays so, and is not kept for longer by another look. */
  seen({ taskId, endWallMs }: EndedTask, sight: Sight, monoMs: number): void {
    const mark = this.#marks.get(taskId);
    const isKnown = mark?.endWallMs === endWallMs;
    if (isKnown && mark.sight === 'acknowledged') return;
    if (mark?.sight === sight) {
      mark.endWallMs = endWallMs;
      mark.seenMonoMs = monoMs;
      return;
    }
    // The old one stays in its queue until its turn, and is passed over.
    this.#forget(mark);
    this.#push({ taskId, sight, endWallMs, seenMonoMs: monoMs, queuedMonoMs: monoMs });
  }

  /** True if {@link take} would have something to write. */
  isDue(monoMs: number, stats: StoreStats): boolean {
    if (monoMs >= this.#nextOldMonoMs) return true;
    if (this.#acknowledged > 0 && this.#mustGo(stats) > 0) return true;
    const { acknowledgedMs, readMs } = this.#options;
    return this.#headIsDue('acknowledged', monoMs - acknowledgedMs) || this.#headIsDue('read', monoMs - readMs);
  }

  /** The purges that are due, for one commit, and given once: if it fails, so does the process. */
  take({ monoMs, wallMs }: Now, stats: StoreStats): readonly Write[] {
    const { acknowledgedMs, readMs, unseenMs, deadLetterMs, maxDeadLetters, maxRows, oldEveryMs } = this.#options;
    const tasks: EndedTask[] = [];
    this.#takeMarks('acknowledged', monoMs - acknowledgedMs, this.#mustGo(stats), tasks);
    this.#takeMarks('read', monoMs - readMs, 0, tasks);
    const writes: Write[] = tasks.length === 0 ? [] : [{ kind: 'purge', tasks }];
    const limit = maxRows - tasks.length;
    if (monoMs >= this.#nextOldMonoMs && limit > 0) {
      this.#nextOldMonoMs = monoMs + oldEveryMs;
      const endedBeforeWallMs = wallMs - unseenMs;
      const deadBeforeWallMs = wallMs - deadLetterMs;
      writes.push({ kind: 'purgeOld', endedBeforeWallMs, deadBeforeWallMs, maxDeadLetters, limit });
    }
    return writes;
  }

  /** Learns what became of the purges of a commit. */
  settle(writes: readonly Write[], results: readonly WriteResult[]): Purged {
    let [count, deadLetters] = [0, 0];
    for (const [index, result] of results.entries()) {
      if (result.kind !== 'purged') continue;
      const write = writes[index];
      count += result.count;
      deadLetters += result.deadLetters;
      this.#purgedIdMs = result.purgedIdMs;
      // There may be more.
      if (write?.kind === 'purgeOld' && result.count >= write.limit) this.#nextOldMonoMs = -Infinity;
    }
    return { count, deadLetters };
  }

  #push(mark: Mark): void {
    const queue = this.#queues[mark.sight];
    this.#marks.set(mark.taskId, mark);
    if (mark.sight === 'acknowledged') this.#acknowledged += 1;
    queue.push(mark);
    if (queue.size > this.#options.maxMarks) this.#forget(queue.shift());
  }

  #forget(mark: Mark | undefined): void {
    if (mark === undefined || this.#marks.get(mark.taskId) !== mark) return;
    this.#marks.delete(mark.taskId);
    if (mark.sight === 'acknowledged') this.#acknowledged -= 1;
  }

  /** How many acknowledged tasks go whatever their time, by number or for room. */
  #mustGo({ usedBytes, limitBytes, openTasks, endedTasks }: StoreStats): number {
    const { maxAcknowledged, pressureShare } = this.#options;
    const excessBytes = usedBytes - pressureShare * limitBytes;
    // As many as it takes if they are of average size; the next step sees what it was worth.
    const rows = excessBytes < 0 ? 0 : Math.max(1, Math.ceil((excessBytes * (openTasks + endedTasks)) / usedBytes));
    return Math.max(this.#acknowledged - maxAcknowledged, rows);
  }

  #headIsDue(sight: Sight, seenBeforeMonoMs: number): boolean {
    const mark = this.#queues[sight].peek();
    return mark !== undefined && mark.queuedMonoMs <= seenBeforeMonoMs;
  }

  /** Moves to `tasks` those seen before, and the oldest `mustGo` in any case, as far as the step's bound lets. */
  #takeMarks(sight: Sight, seenBeforeMonoMs: number, mustGo: number, tasks: EndedTask[]): void {
    const queue = this.#queues[sight];
    for (let taken = 0; tasks.length < this.#options.maxRows;) {
      if (taken >= mustGo && !this.#headIsDue(sight, seenBeforeMonoMs)) return;
      const mark = queue.shift();
      if (mark === undefined) return;
      if (this.#marks.get(mark.taskId) !== mark) continue;
      if (mark.seenMonoMs > mark.queuedMonoMs) {
        mark.queuedMonoMs = mark.seenMonoMs;
        queue.push(mark);
        continue;
      }
      this.#forget(mark);
      tasks.push({ taskId: mark.taskId, endWallMs: mark.endWallMs });
      taken += 1;
    }
  }
}

// @ts-check

/**
 * What the worker gives a handler beside the payload.
 *
 * @typedef {object} TaskContext
 * @property {string} taskId a UUID; the same for every attempt of the task
 * @property {number} attempt from 1; higher when an earlier attempt failed, was released or was lost with its worker
 * @property {Readonly<Record<string, string>>} metadata what the submitter attached to the task
 * @property {AbortSignal} signal aborted on cancel, time-out, lost lease, and when a drain's deadline has passed
 * @property {boolean} draining the worker takes no new work; a long handler may come to an early end
 * @property {(value: unknown) => void} progress sends a JSON value to whoever watches the task
 * @property {Logger} logger carries the task's ids already
 */

/**
 * @typedef {object} Logger
 * @property {(fields: object, message: string) => void} info
 * @property {(fields: object, message: string) => void} warn
 * @property {(fields: object, message: string) => void} error
 */

/**
 * Does one attempt of a task. It returns (a promise of) a JSON value; `undefined` becomes null. Throwing makes the attempt
 * FAILED.
 *
 * @typedef {(payload: unknown, ctx: TaskContext) => unknown} Handler
 */

/**
 * A monotonic clock, in milliseconds.
 *
 * @typedef {() => number} MonotonicClock
 */

/** A report is a message to every watcher; more than ten a second help nobody. */
const PROGRESS_INTERVAL_MS = 100;

/**
 * Counts bytes and reports `{ bytes, total }` at most every 100 ms, and once at the end. It looks at the clock between
 * chunks and needs no timer, so there is nothing to clear when the handler fails.
 *
 * @param {{ ctx: TaskContext, total: number, nowMs: MonotonicClock }} options
 */
export function createProgress({ ctx, total, nowMs }) {
  let bytes = 0;
  let dueMs = nowMs() + PROGRESS_INTERVAL_MS;
  // A file may grow while it is read: never report more than everything.
  const report = () => ctx.progress({ bytes, total: Math.max(total, bytes) });
  return {
    /** @param {number} count */
    add(count) {
      bytes += count;
      const now = nowMs();
      if (now < dueMs) return;
      dueMs = now + PROGRESS_INTERVAL_MS;
      report();
    },
    /** Reports the end and returns the number of bytes. */
    finish() {
      report();
      return bytes;
    },
  };
}

import type { ReplyToken } from './task.js';

/**
 * What a caller wants to hear of a task:
 * - `task`: its end, with all that the store has of it;
 * - `end`: its end, with what is at hand: the row and the result;
 * - `change`: that something has changed, each time. A watcher does not count as waiting: it keeps no task from being
 *   cancelled.
 */
export type Want = 'task' | 'end' | 'change';

/** A caller that hears of a task. */
export interface Waiter {
  readonly token: ReplyToken;
  readonly want: Want;
}

import { hasEnded, type TaskRow } from '../../coordinator/core/task.js';
import type { StoredTask } from '../../coordinator/store/store.js';
import { MAX_DRIFT } from './clock.js';
import type { SeenTask, Violation } from './model.js';

/**
 * What is wrong with a task as a client reads it, judged by what was seen of it; remembers its end.
 *
 * @param wallMs The latest that the coordinator's wall clock has shown since the submit
 */
export function checkEnded(task: SeenTask, { row, result }: StoredTask, wallMs: number): Violation[] {
  const found: Violation[] = [];
  const must = (holds: boolean, rule: string, details: string): void => {
    if (!holds) found.push({ rule, details });
  };
  const { plan, attempts } = task;
  const text = result === null ? null : Buffer.from(result.data).toString();
  const { end } = task;
  must(end === null || end.state === row.state, 'a task ends once', `${end?.state} then ${row.state}`);
  must(end === null || end.result === text, 'a result never changes', `${end?.result} then ${text}`);

  const { maxAttempts } = plan.spec.retry;
  const failed = attempts.filter(
    ({ threw, abortedMs, abortCause, enteredMs, endedMs, timeoutMs }) =>
      (threw && abortedMs === null) ||
      abortCause === 'TIMED_OUT' ||
      ((endedMs ?? Infinity) - enteredMs) * (1 + 2 * MAX_DRIFT) >= timeoutMs,
  ).length;
  must(row.failureCount <= failed, 'only a failure costs a chance', `${row.failureCount} counted, ${failed} seen`);
  must(row.failureCount <= maxAttempts, 'failures respect max_attempts', `${row.failureCount} of ${maxAttempts}`);
  if (!hasEnded(row.state)) return found;
  task.end ??= { state: row.state, result: text };
  checkEnd(task, row, text, wallMs, must);
  return found;
}

type Must = (holds: boolean, rule: string, details: string) => void;

function checkEnd(task: SeenTask, row: TaskRow, result: string | null, wallMs: number, must: Must): void {
  const { plan, attempts, acceptedSuccess } = task;
  if (row.state !== 'SUCCEEDED') {
    must(result === null, 'only SUCCEEDED has a result', `${row.state} has ${result}`);
    must(acceptedSuccess.size === 0, 'an accepted success ends its task so', `${row.state} after it`);
  }
  // Only now: while it is open, more may have happened than the client's answer knows.
  const silent = attempts.filter(({ accepted }) => !accepted).length;
  must(row.crashCount <= silent, 'only a crash is counted as one', `${row.crashCount} counted, ${silent} seen`);
  must(row.attempt >= task.newestAttempt, 'an attempt that left is on record', `${row.attempt}, ${task.newestAttempt}`);
  const deadlineMs = plan.spec.deadlineWallMs ?? Infinity;
  switch (row.state) {
    case 'SUCCEEDED': {
      const counted = row.history.at(-1);
      const seen = attempts.find(({ ref }) => ref.attempt === counted?.attempt && ref.leaseId === counted.leaseId);
      must(seen?.returned != null, 'a success is what a handler returned', `attempt ${counted?.attempt}`);
      must(seen?.returned === result, 'a result is of the attempt that counted', `${seen?.returned}, ${result}`);
      for (const attempt of acceptedSuccess) {
        must(attempt === counted?.attempt, 'an accepted success is the one that counts', `${attempt}`);
      }
      break;
    }
    case 'CANCELLED':
      must(task.cancelAsked, 'CANCELLED only if asked for', '');
      break;
    case 'EXPIRED':
      must(wallMs >= deadlineMs, 'EXPIRED only if its deadline has passed', `${deadlineMs}`);
      break;
    case 'DEAD_LETTERED':
      checkDeadLetter(task, row, must);
      break;
    default:
      break;
  }
}

function checkDeadLetter({ plan }: SeenTask, row: TaskRow, must: Must): void {
  const { maxAttempts, nonRetryableReasons } = plan.spec.retry;
  const reason = row.failure?.reason ?? '';
  if (reason === 'POISON') {
    must(row.crashCount >= 3, 'POISON only after three crashes', `${row.crashCount}`);
  } else if (reason === 'MAYBE_STARTED') {
    must(maxAttempts === 1, 'MAYBE_STARTED only if one start was asked for', `${maxAttempts}`);
  } else {
    const final = row.failure?.nonRetryable === true || nonRetryableReasons.includes(reason);
    must(
      final || row.failureCount >= maxAttempts,
      'a dead letter has used its chances',
      `${row.failureCount} ${reason}`,
    );
  }
}

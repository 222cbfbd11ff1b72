import { hasEnded, type TaskRow } from '../../coordinator/core/task.js';
import type { StoredTask } from '../../coordinator/store/store.js';
import { MAX_DRIFT } from './clock.js';
import type { SeenTask, Violation } from './model.js';

/** What else is known about a task's time. */
export interface Circumstances {
  /** The latest that the coordinator's wall clock has shown since the submit. */
  readonly latestWallMs: number;
  /** Attempts that their process entered late or never, because it stood still: the coordinator may count them as started. */
  readonly blocked: number;
  /** True of processes that are gone. */
  readonly hasEnded: (process: string) => boolean;
  /** Some of its processes had an incarnation that was another's too. */
  readonly isUnclear: boolean;
}

/**
 * What is wrong with a task as a client reads it, judged by what was seen of it; remembers its end.
 */
export function checkEnded(task: SeenTask, { row, result }: StoredTask, around: Circumstances): Violation[] {
  const found: Violation[] = [];
  const must = (holds: boolean, rule: string, details: string): void => {
    if (!holds) found.push({ rule, details });
  };
  const { plan } = task;
  if (row.requeuedAttempt > task.requeuedAttempt) {
    must(task.requeuesAsked > 0, 'requeued only if asked for', `${row.requeuedAttempt}`);
    must(
      task.end === null || task.end.state === 'DEAD_LETTERED',
      'only a dead letter is requeued',
      `${task.end?.state}`,
    );
    task.requeuedAttempt = row.requeuedAttempt;
    task.end = null;
  }
  must(row.requeuedAttempt === task.requeuedAttempt, 'a requeue is never undone', `${row.requeuedAttempt}`);
  // Counters begin anew with a requeue.
  const attempts = task.attempts.filter(({ ref }) => ref.attempt > row.requeuedAttempt);
  const text = result === null ? null : Buffer.from(result.data).toString();
  const { end } = task;
  must(end === null || end.state === row.state, 'a task ends once', `${end?.state} then ${row.state}`);
  must(end === null || end.result === text, 'a result never changes', `${end?.result} then ${text}`);

  const { maxAttempts } = plan.spec.retry;
  const failed =
    attempts.filter(
      ({ threw, abortedMs, toldCause, enteredMs, endedMs, timeoutMs }) =>
        (threw && abortedMs === null) ||
        toldCause === 'TIMED_OUT' ||
        ((endedMs ?? Infinity) - enteredMs) * (1 + 2 * MAX_DRIFT) >= timeoutMs,
    ).length + around.blocked;
  must(row.failureCount <= failed, 'only a failure costs a chance', `${row.failureCount} counted, ${failed} seen`);
  must(row.failureCount <= maxAttempts, 'failures respect max_attempts', `${row.failureCount} of ${maxAttempts}`);
  if (!hasEnded(row.state)) return found;
  task.end ??= { state: row.state, result: text };
  checkEnd(task, { row, result: text, around }, must);
  return found;
}

type Must = (holds: boolean, rule: string, details: string) => void;

interface Seen {
  readonly row: TaskRow;
  readonly result: string | null;
  readonly around: Circumstances;
}

function checkEnd(task: SeenTask, { row, result, around }: Seen, must: Must): void {
  const { plan, attempts, acceptedSuccess } = task;
  if (row.state !== 'SUCCEEDED') {
    must(result === null, 'only SUCCEEDED has a result', `${row.state} has ${result}`);
    must(acceptedSuccess.size === 0, 'an accepted success ends its task so', `${row.state} after it`);
  }
  checkCounters(task, row, around, must);
  // A dead letter that somebody wants back may have been read before it was.
  const isOpenAgain = task.requeuesAsked > 0 && row.state === 'DEAD_LETTERED';
  must(
    isOpenAgain || row.attempt >= task.newestAttempt,
    'an attempt that left is on record',
    `${row.attempt}, ${task.newestAttempt}`,
  );
  const fits = row.state === 'SUCCEEDED' || row.state === 'CANCELLED' || isOpenAgain;
  must(fits || !task.cancelAcknowledged, 'an acknowledged cancel is the end, or a success is', row.state);
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
      must(around.latestWallMs >= deadlineMs, 'EXPIRED only if its deadline has passed', `${deadlineMs}`);
      break;
    case 'DEAD_LETTERED':
      checkDeadLetter(task, row, must);
      break;
    default:
      break;
  }
}

/** Only at the end: while it is open, more may have happened than the client's answer knows. */
function checkCounters(task: SeenTask, row: TaskRow, around: Circumstances, must: Must): void {
  const { plan, attempts, acceptedFailures, cancelAsked } = task;
  const silent = attempts.filter(({ accepted, ref }) => !accepted && ref.attempt > row.requeuedAttempt);
  const died = silent.filter(({ process }) => around.hasEnded(process)).length;
  // The first silence is free: it may have been the network's.
  const crashes = died + Math.max(0, silent.length - died - 1) + around.blocked;
  must(
    around.isUnclear || row.crashCount <= crashes,
    'only a crash is counted as one',
    `${row.crashCount} counted, ${crashes} seen`,
  );
  // What ends a task that is cancelled, or late, is no failure.
  if (cancelAsked || plan.spec.deadlineWallMs !== null) return;
  const failures = [...acceptedFailures].filter(
    (attempt) => attempt > row.requeuedAttempt && attempt <= row.attempt,
  ).length;
  must(row.failureCount >= failures, 'every failure is counted', `${row.failureCount} counted, ${failures} accepted`);
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

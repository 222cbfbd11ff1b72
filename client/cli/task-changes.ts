import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { equals } from '@bufbuild/protobuf';
import { PayloadSchema } from '../../proto/gen/remuda/v1/payload_pb.js';
import { AttemptOutcome, TaskState, type Attempt, type Task } from '../../proto/gen/remuda/v1/task_pb.js';
import { enumName } from './enum-name.js';
import { attemptEndText, failureText, hasEnded, shortPayload, time } from './task-text.js';
import { printable } from './terminal.js';

/** Something that happened to a task. */
export interface TaskChange {
  /** When, by the coordinator's clock; undefined if it does not say. */
  readonly time: Timestamp | undefined;
  /** The state that it came to, or what an attempt came to, or PROGRESS. */
  readonly what: string;
  readonly text: string;
}

/** What has happened to a task between two looks at it, in order. `before` is undefined at the first look. */
export function taskChanges(before: Task | undefined, now: Task): readonly TaskChange[] {
  const changes: TaskChange[] = before === undefined ? [submitted(now)] : [];
  for (const attempt of now.attempts) {
    const known = before?.attempts.find((other) => other.attempt === attempt.attempt);
    changes.push(...attemptChanges(known, attempt));
  }
  if (isWaiting(now) && (before?.state !== now.state || before.waiting?.message !== now.waiting?.message)) {
    changes.push(waitingChange(now));
  }
  if (hasEnded(now.state)) return [...changes, endChange(now)];
  if (now.cancelRequested && before?.cancelRequested !== true) {
    changes.push({ time: undefined, what: 'CANCELLING', text: 'a cancel was asked for; the handler has been told' });
  }
  const { progress } = now;
  if (progress !== undefined && (before?.progress === undefined || !equals(PayloadSchema, before.progress, progress))) {
    changes.push({ time: undefined, what: 'PROGRESS', text: shortPayload(progress) });
  }
  return changes;
}

function submitted({ createTime, type, options }: Task): TaskChange {
  const priority = options?.priority === undefined ? '' : `, priority ${options.priority}`;
  return { time: createTime, what: 'SUBMITTED', text: `${printable(type)}${priority}` };
}

function attemptChanges(known: Attempt | undefined, attempt: Attempt): TaskChange[] {
  const { outcome, assignTime, endTime, workerId } = attempt;
  const changes: TaskChange[] = [];
  if (known === undefined) {
    const text = `attempt ${attempt.attempt} on ${printable(workerId)}`;
    changes.push({ time: assignTime, what: 'RUNNING', text });
  }
  // The task's own end says it with the result.
  const isNews = outcome !== AttemptOutcome.UNSPECIFIED && outcome !== AttemptOutcome.SUCCEEDED;
  if (isNews && known?.outcome !== outcome) {
    changes.push({ time: endTime, what: enumName(AttemptOutcome, outcome), text: attemptEndText(attempt) });
  }
  return changes;
}

function isWaiting({ state }: Task): boolean {
  return state === TaskState.SCHEDULED || state === TaskState.QUEUED;
}

function waitingChange({ state, dueTime, createTime, waiting, attempt }: Task): TaskChange {
  const due = state === TaskState.SCHEDULED && dueTime !== undefined ? `until ${time(dueTime)}` : '';
  const text = [due, printable(waiting?.message ?? '')].filter((part) => part !== '').join(': ');
  return { time: attempt === 0 ? createTime : undefined, what: enumName(TaskState, state), text };
}

function endChange({ state, endTime, result, failure, attempts, attempt }: Task): TaskChange {
  const last = attempts.at(-1);
  const by = last === undefined ? '' : `attempt ${attempt} on ${printable(last.workerId)}: `;
  const text =
    state === TaskState.SUCCEEDED ? by + shortPayload(result) : failure === undefined ? '' : failureText(failure);
  return { time: endTime, what: enumName(TaskState, state), text };
}

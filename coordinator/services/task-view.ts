import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs, type Timestamp } from '@bufbuild/protobuf/wkt';
import { FailureSchema, type Failure, type PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import {
  AttemptCharge,
  AttemptOutcome,
  AttemptSchema,
  RetryPolicySchema,
  TaskOptionsSchema,
  TaskSchema,
  TaskState,
  WaitingReason,
  WaitingSchema,
  type Attempt,
  type Task,
  type TaskOptions,
} from '../../proto/gen/remuda/v1/task_pb.js';
import { payloadView } from '../../proto/payload.js';
import type * as core from '../core/task.js';
import type { EngineReply } from '../engine.js';

/** A task as the contract shows it. */
export function taskView({ task, waiting, progress }: Extract<EngineReply, { kind: 'task' }>, view: PayloadView): Task {
  const { row, body, result } = task;
  const message = create(TaskSchema, {
    taskId: row.taskId,
    type: row.type,
    state: TaskState[row.state],
    options: optionsView(row, body),
    createTime: timestampFromMs(row.createWallMs),
    attempt: row.attempt,
    failureCount: row.failureCount,
    crashCount: row.crashCount,
    releaseCount: row.releaseCount,
    cancelRequested: row.cancelRequested,
    attempts: attemptsView(row),
  });
  setTimes(message, row);
  if (row.failure !== null) message.failure = failureView(row.failure);
  // The row may be newer than the answer: what runs or has ended by now waits for nothing.
  if (waiting !== null && (row.state === 'QUEUED' || row.state === 'SCHEDULED')) {
    const { reason, message: text } = waiting;
    message.waiting = create(WaitingSchema, { reason: WaitingReason[reason], message: text });
  }
  setPayloads(message, { payload: body?.payload, result: result ?? undefined, progress: progress?.data }, view);
  return message;
}

function setTimes(message: Task, { endWallMs, dueWallMs }: core.TaskRow): void {
  if (endWallMs !== null) message.endTime = timestampFromMs(endWallMs);
  if (dueWallMs !== null) message.dueTime = timestampFromMs(dueWallMs);
}

function setPayloads(
  message: Task,
  contents: Readonly<Record<'payload' | 'result' | 'progress', core.Content | undefined>>,
  view: PayloadView,
): void {
  for (const field of ['payload', 'result', 'progress'] as const) {
    const content = contents[field];
    const payload = content === undefined ? undefined : payloadView(content, view);
    if (payload !== undefined) message[field] = payload;
  }
}

function optionsView(row: core.TaskRow, body: core.TaskBody | null): TaskOptions {
  const { retry } = row;
  const options = create(TaskOptionsSchema, {
    priority: row.priority,
    requiredLabels: { ...row.requiredLabels },
    timeout: durationFromMs(row.timeoutMs),
    retryPolicy: create(RetryPolicySchema, {
      maxAttempts: retry.maxAttempts,
      initialBackoff: durationFromMs(retry.initialBackoffMs),
      maxBackoff: durationFromMs(retry.maxBackoffMs),
      nonRetryableReasons: [...retry.nonRetryableReasons],
    }),
    metadata: { ...body?.metadata },
    traceparent: body?.traceparent ?? '',
  });
  if (row.deadlineWallMs !== null) options.deadline = timestampFromMs(row.deadlineWallMs);
  if (row.runTimeWallMs !== null) options.runTime = timestampFromMs(row.runTimeWallMs);
  return options;
}

function attemptsView(row: core.TaskRow): Attempt[] {
  const attempts = row.history.map((entry) => {
    const attempt = create(AttemptSchema, {
      attempt: entry.attempt,
      workerId: entry.workerId,
      incarnation: entry.incarnation,
      assignTime: timestampFromMs(entry.assignWallMs),
      endTime: timestampFromMs(entry.endWallMs),
      outcome: AttemptOutcome[entry.outcome],
      charge: CHARGES[entry.charge],
      runMs: Math.min(2 ** 31 - 1, Math.round(entry.runMs)),
    });
    if (entry.failure !== null) attempt.failure = failureView(entry.failure);
    return attempt;
  });
  if (row.state === 'RUNNING') {
    const { attempt, workerId, incarnation, assignWallMs } = row;
    attempts.push(create(AttemptSchema, { attempt, workerId, incarnation, assignTime: timestampFromMs(assignWallMs) }));
  }
  return attempts;
}

const CHARGES: Readonly<Record<core.Charge, AttemptCharge>> = {
  NONE: AttemptCharge.UNSPECIFIED,
  FAILURE: AttemptCharge.FAILURE,
  CRASH: AttemptCharge.CRASH,
  FREE: AttemptCharge.FREE,
};

function failureView({ reason, message, nonRetryable, stack }: core.Failure): Failure {
  return create(FailureSchema, { reason, message, nonRetryable, stack });
}

/** A wall-clock time that may not have come yet; 0: there is none. */
export function timeView(wallMs: number): Timestamp | undefined {
  return wallMs === 0 ? undefined : timestampFromMs(wallMs);
}

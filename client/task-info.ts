import { durationMs, timestampDate, type Timestamp } from '@bufbuild/protobuf/wkt';
import type { Failure } from '../proto/gen/remuda/v1/payload_pb.js';
import {
  AttemptCharge,
  AttemptOutcome,
  TaskState,
  WaitingReason,
  type Attempt,
  type Task,
  type TaskOptions,
} from '../proto/gen/remuda/v1/task_pb.js';
import { payloadValue } from './payload-value.js';

/** An enum of the contract by the names of its values; UNKNOWN for those of a newer coordinator. */
type NameOf<E> = Exclude<keyof E, 'UNSPECIFIED'> | 'UNKNOWN';

/** Where a task stands. Take UNKNOWN for not ended. */
export type TaskStateName = NameOf<typeof TaskState>;
/** How an attempt ended. */
export type AttemptOutcomeName = NameOf<typeof AttemptOutcome>;
/** What an attempt was charged as. */
export type AttemptChargeName = NameOf<typeof AttemptCharge>;
/** Why a task is not running. */
export type WaitingReasonName = NameOf<typeof WaitingReason>;

/** Why an attempt or a task did not succeed. */
export interface FailureInfo {
  /** UPPER_SNAKE_CASE: HANDLER_ERROR, TIMED_OUT, POISON, or what the handler said. */
  readonly reason: string;
  readonly message: string;
  /** No other attempt could help. */
  readonly nonRetryable: boolean;
  /** The handler's stack trace; empty if there is none. */
  readonly stack: string;
}

/** One handing-out of a task to a worker. */
export interface AttemptInfo {
  /** From 1. */
  readonly attempt: number;
  readonly workerId: string;
  /** Which process of that worker. */
  readonly incarnation: string;
  /** When it was handed out; the coordinator's clock. */
  readonly assignTime: Date | undefined;
  /** When it ended; undefined while it runs. */
  readonly endTime: Date | undefined;
  /** Undefined while it runs. */
  readonly outcome: AttemptOutcomeName | undefined;
  /** Undefined if there was nothing to charge. */
  readonly charge: AttemptChargeName | undefined;
  readonly failure: FailureInfo | undefined;
  /** How long its handler ran, in milliseconds; 0 if the worker did not say. */
  readonly runMs: number;
}

/** How a task is run, defaults filled in. */
export interface TaskOptionsInfo {
  readonly priority: number;
  readonly requiredLabels: Readonly<Record<string, string>>;
  /** Of one attempt, in milliseconds. */
  readonly timeoutMs: number;
  readonly deadline: Date | undefined;
  readonly runAt: Date | undefined;
  readonly retry: {
    readonly maxAttempts: number;
    readonly initialBackoffMs: number;
    readonly maxBackoffMs: number;
    readonly nonRetryableReasons: readonly string[];
  };
  readonly metadata: Readonly<Record<string, string>>;
  readonly traceparent: string;
}

/** A task as the coordinator has it. Times are the coordinator's. */
export interface TaskInfo {
  readonly taskId: string;
  readonly type: string;
  readonly state: TaskStateName;
  readonly options: TaskOptionsInfo;
  /** When the submit became durable. */
  readonly createTime: Date | undefined;
  /** Undefined before its end. */
  readonly endTime: Date | undefined;
  /** While SCHEDULED: when it becomes QUEUED. */
  readonly dueTime: Date | undefined;
  /** Number of the newest attempt; 0 before the first. */
  readonly attempt: number;
  readonly failureCount: number;
  readonly crashCount: number;
  /** How often it was given back at no charge. */
  readonly releaseCount: number;
  readonly cancelRequested: boolean;
  /** JSON parsed; anything else as `{ contentType, data }`. Undefined where payloads were not asked for. */
  readonly payload: unknown;
  /** As `payload`. Only when SUCCEEDED. */
  readonly result: unknown;
  /** Only when it ended otherwise than SUCCEEDED. */
  readonly failure: FailureInfo | undefined;
  /** The newest, oldest first, at most 20. */
  readonly attempts: readonly AttemptInfo[];
  /** Why it is not running. Only when SCHEDULED or QUEUED. */
  readonly waiting: { readonly reason: WaitingReasonName; readonly message: string } | undefined;
  /** The newest that the running attempt has told. */
  readonly progress: unknown;
}

/** States in which a task stays. */
const ENDED: ReadonlySet<TaskStateName> = new Set(['SUCCEEDED', 'CANCELLED', 'EXPIRED', 'DEAD_LETTERED']);

/** True for a state in which a task stays. */
export function hasEnded(state: TaskStateName): boolean {
  return ENDED.has(state);
}

/** A state by its name. */
export function stateName(state: TaskState): TaskStateName {
  return nameOf(TaskState, state) ?? 'UNKNOWN';
}

/** A task of the contract as a plain object. */
export function taskInfo(task: Task): TaskInfo {
  const { payload, result, progress, failure, waiting } = task;
  return {
    taskId: task.taskId,
    type: task.type,
    state: stateName(task.state),
    options: optionsInfo(task.options),
    createTime: dateOf(task.createTime),
    endTime: dateOf(task.endTime),
    dueTime: dateOf(task.dueTime),
    attempt: task.attempt,
    failureCount: task.failureCount,
    crashCount: task.crashCount,
    releaseCount: task.releaseCount,
    cancelRequested: task.cancelRequested,
    payload: payload === undefined ? undefined : payloadValue(payload),
    result: result === undefined ? undefined : payloadValue(result),
    failure: failure === undefined ? undefined : failureInfo(failure),
    attempts: task.attempts.map(attemptInfo),
    waiting:
      waiting === undefined
        ? undefined
        : { reason: nameOf(WaitingReason, waiting.reason) ?? 'UNKNOWN', message: waiting.message },
    progress: progress === undefined ? undefined : payloadValue(progress),
  };
}

function attemptInfo(attempt: Attempt): AttemptInfo {
  const { failure } = attempt;
  return {
    attempt: attempt.attempt,
    workerId: attempt.workerId,
    incarnation: attempt.incarnation,
    assignTime: dateOf(attempt.assignTime),
    endTime: dateOf(attempt.endTime),
    outcome: nameOf(AttemptOutcome, attempt.outcome),
    charge: nameOf(AttemptCharge, attempt.charge),
    failure: failure === undefined ? undefined : failureInfo(failure),
    runMs: attempt.runMs,
  };
}

function failureInfo({ reason, message, nonRetryable, stack }: Failure): FailureInfo {
  return { reason, message, nonRetryable, stack };
}

function optionsInfo(options: TaskOptions | undefined): TaskOptionsInfo {
  const retry = options?.retryPolicy;
  return {
    priority: options?.priority ?? 0,
    requiredLabels: options?.requiredLabels ?? {},
    timeoutMs: options?.timeout === undefined ? 0 : durationMs(options.timeout),
    deadline: dateOf(options?.deadline),
    runAt: dateOf(options?.runTime),
    retry: {
      maxAttempts: retry?.maxAttempts ?? 0,
      initialBackoffMs: retry?.initialBackoff === undefined ? 0 : durationMs(retry.initialBackoff),
      maxBackoffMs: retry?.maxBackoff === undefined ? 0 : durationMs(retry.maxBackoff),
      nonRetryableReasons: retry?.nonRetryableReasons ?? [],
    },
    metadata: options?.metadata ?? {},
    traceparent: options?.traceparent ?? '',
  };
}

function dateOf(time: Timestamp | undefined): Date | undefined {
  return time === undefined ? undefined : timestampDate(time);
}

/** Undefined for UNSPECIFIED. */
function nameOf<E extends Readonly<Record<string, string | number>>>(names: E, value: number): NameOf<E> | undefined {
  if (value === 0) return undefined;
  return (names[String(value)] ?? 'UNKNOWN') as NameOf<E>;
}

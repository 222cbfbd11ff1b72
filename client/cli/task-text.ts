import { timestampDate, timestampMs, type Timestamp } from '@bufbuild/protobuf/wkt';
import ms from 'ms';
import {
  AttemptCharge,
  AttemptOutcome,
  TaskState,
  type Attempt,
  type Task,
} from '../../proto/gen/remuda/v1/task_pb.js';
import type { Failure, Payload } from '../../proto/gen/remuda/v1/payload_pb.js';
import { isJson } from '../../proto/payload-content.js';
import { payloadContent } from '../../proto/payload.js';
import { enumName } from './enum-name.js';
import { renderFields } from './table.js';
import { printable, type Style } from './terminal.js';

/** A payload or result as bytes to print: JSON text and other text end with a line feed, other bytes are as they are. */
export function payloadBytes(payload: Payload | undefined): Uint8Array {
  const { contentType, data } = payloadContent(payload);
  if (!isJson(contentType) && !contentType.startsWith('text/')) return data;
  return data.at(-1) === 0x0a ? data : Buffer.concat([data, Buffer.from('\n')]);
}

/** A task for a person to read; ends with a line feed. */
export function taskText(task: Task): string {
  const { options, attempts, waiting, failure, state } = task;
  const fields: [string, string][] = [
    ['id', task.taskId],
    ['type', task.type],
    ['state', enumName(TaskState, state) + (task.cancelRequested && !hasEnded(state) ? ' (cancel requested)' : '')],
  ];
  if (options?.priority !== undefined) fields.push(['priority', String(options.priority)]);
  fields.push(['created', time(task.createTime)]);
  if (task.dueTime !== undefined) fields.push(['due', time(task.dueTime)]);
  if (task.endTime !== undefined) fields.push(['ended', time(task.endTime)]);
  if (waiting !== undefined) fields.push(['waiting', printable(waiting.message)]);
  const { failureCount, crashCount, releaseCount } = task;
  fields.push(['charged', `failures ${failureCount}, crashes ${crashCount}, free ${releaseCount}`]);
  if (task.payload !== undefined) fields.push(['payload', shortPayload(task.payload)]);
  if (task.progress !== undefined) fields.push(['progress', shortPayload(task.progress)]);
  if (state === TaskState.SUCCEEDED) fields.push(['result', shortPayload(task.result)]);
  if (failure !== undefined) fields.push(['failure', failureText(failure)]);
  return `${renderFields(fields)}${attemptsText(attempts, task.attempt)}`;
}

/** Why a task did not succeed: state, reason, and every attempt. No line feed at the end. */
export function failedTaskText(task: Task): string {
  const { taskId, type, state, failure, attempts } = task;
  const why = failure === undefined ? 'no reason given' : failureText(failure);
  return `task ${taskId} (${type}) ended ${enumName(TaskState, state)}: ${why}\n${attemptsText(attempts, task.attempt)}`.trimEnd();
}

/** A time of whole milliseconds, never rounded: `90s`, `1.5s`, `5m`. */
export function exactTime(valueMs: number): string {
  for (const [unit, unitMs] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
  ] as const) {
    if (valueMs >= unitMs && valueMs % unitMs === 0) return `${valueMs / unitMs}${unit}`;
  }
  return valueMs < 1_000 ? `${valueMs}ms` : `${valueMs / 1_000}s`;
}

/** True once a task's state can change no more. */
export function hasEnded(state: TaskState): boolean {
  return state >= TaskState.SUCCEEDED && state <= TaskState.DEAD_LETTERED;
}

function attemptsText(attempts: readonly Attempt[], newest: number): string {
  if (attempts.length === 0) return newest === 0 ? '' : `attempts: ${newest}\n`;
  const left = newest - attempts.length;
  const head = left > 0 ? `attempts (the newest ${attempts.length} of ${newest}):\n` : 'attempts:\n';
  return head + attempts.map((attempt) => `  ${attemptText(attempt)}\n`).join('');
}

function attemptText({ attempt, workerId, outcome, charge, failure, runMs, assignTime }: Attempt): string {
  const how = outcome === AttemptOutcome.UNSPECIFIED ? 'running' : enumName(AttemptOutcome, outcome);
  const after =
    runMs > 0 ? ` after ${ms(runMs)}` : outcome === AttemptOutcome.UNSPECIFIED ? ` since ${time(assignTime)}` : '';
  return `${attempt}  ${how} on ${printable(workerId)}${after}${chargeText(charge)}${whyText(failure)}`;
}

/** The end of an attempt, without its outcome: who, after how long, charged as what, and why. */
export function attemptEndText({ attempt, workerId, charge, failure, runMs }: Attempt): string {
  const after = runMs > 0 ? ` after ${ms(runMs)}` : '';
  return `attempt ${attempt} on ${printable(workerId)}${after}${chargeText(charge)}${whyText(failure)}`;
}

function chargeText(charge: AttemptCharge): string {
  return charge === AttemptCharge.UNSPECIFIED ? '' : ` (${CHARGED[charge] ?? 'charged'})`;
}

function whyText(failure: Failure | undefined): string {
  return failure === undefined ? '' : `: ${failureText(failure)}`;
}

const CHARGED: Readonly<Record<number, string>> = {
  [AttemptCharge.FAILURE]: 'a failure',
  [AttemptCharge.CRASH]: 'a crash',
  [AttemptCharge.FREE]: 'free',
};

/** Reason and message of a failure, for a person. */
export function failureText({ reason, message, nonRetryable }: Failure): string {
  const text = printable(message).trim();
  return `${printable(reason)}${text === '' ? '' : `: ${text}`}${nonRetryable ? ' (not retryable)' : ''}`;
}

const SHORT_CHARS_MAX = 1_000;

/** A payload or result for a person: its text, cut after 1,000 characters; of other bytes what they are. */
export function shortPayload(payload: Payload | undefined): string {
  const { contentType, data } = payloadContent(payload);
  if (!isJson(contentType) && !contentType.startsWith('text/')) return `${data.byteLength} bytes of ${contentType}`;
  // A cut within a character shows as a replacement character; --json has it all.
  const text = new TextDecoder().decode(data.subarray(0, SHORT_CHARS_MAX * 4));
  if (text.length <= SHORT_CHARS_MAX) return printable(text.trim());
  return `${printable(text.slice(0, SHORT_CHARS_MAX))}… (${data.byteLength} bytes; --json shows all)`;
}

/** A moment as ISO text; `-` if there is none. */
export function time(timestamp: Timestamp | undefined): string {
  return timestamp === undefined ? '-' : timestampDate(timestamp).toISOString();
}

/** How long ago, by two clocks that may differ: never negative. `-` if there is no such moment. */
export function age(since: Timestamp | undefined, nowMs: number): string {
  return since === undefined ? '-' : ms(Math.max(0, nowMs - timestampMs(since)));
}

/** How a task's state stands out. */
export function styleOfState(state: string): Style | undefined {
  return STATE_STYLES[state];
}

const STATE_STYLES: Readonly<Record<string, Style>> = {
  RUNNING: 'cyan',
  SUCCEEDED: 'green',
  CANCELLED: 'yellow',
  EXPIRED: 'yellow',
  DEAD_LETTERED: 'red',
};

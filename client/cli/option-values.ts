/** Readers of option values, for commander's `argParser`. Their errors come out as usage errors. */
import { InvalidArgumentError } from 'commander';
import ms from 'ms';
import { parseTimeMs } from '../../proto/program-options.js';
import {
  DAY_MS,
  KEY_PATTERN,
  MAX_LABEL_VALUE_CHARS,
  MAX_REQUIRED_LABELS,
  TASK_TYPE_PATTERN,
  UUID_PATTERN,
} from '../../proto/bounds.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { enumName } from './enum-name.js';

/** A time with its unit, in whole milliseconds. A bare number is refused: nobody could tell seconds from milliseconds. */
export function durationReader(minMs: number, maxMs: number): (text: string) => number {
  return (text) => {
    const valueMs = parseTimeMs(text);
    if (valueMs >= minMs && valueMs <= maxMs) return Math.ceil(valueMs);
    throw new InvalidArgumentError(
      `It must be a time with its unit from ${ms(minMs)} to ${ms(maxMs)}, for instance 500ms, 30s or 5m.`,
    );
  };
}

/** A whole number within bounds, both included. */
export function integerReader(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** Adds one KEY=VALUE to those before. */
export function readLabel(
  text: string,
  before: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be KEY=VALUE, for instance disk=ssd.');
  const key = text.slice(0, at);
  const value = text.slice(at + 1);
  if (!KEY_PATTERN.test(key)) {
    throw new InvalidArgumentError('Its key must be 1 to 63 characters of A-Z a-z 0-9 . _ / -, other than __proto__.');
  }
  if (value.length > MAX_LABEL_VALUE_CHARS) {
    throw new InvalidArgumentError(`Its value must have at most ${MAX_LABEL_VALUE_CHARS} characters.`);
  }
  const labels = before ?? {};
  if (Object.hasOwn(labels, key)) throw new InvalidArgumentError(`"${key}" is named twice.`);
  if (Object.keys(labels).length >= MAX_REQUIRED_LABELS) {
    throw new InvalidArgumentError(`A task may require at most ${MAX_REQUIRED_LABELS} labels.`);
  }
  return { ...labels, [key]: value };
}

/** A task's id, in lower case. */
export function readTaskId(text: string): string {
  if (UUID_PATTERN.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError(
    'A task id is a whole UUID, as `remuda submit` prints it, for instance 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60.',
  );
}

/** Adds one task's id to those before; a repeat adds nothing. */
export function readTaskIds(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...new Set([...(before ?? []), readTaskId(text)])];
}

/** A task's type. */
export function readTaskType(text: string): string {
  if (TASK_TYPE_PATTERN.test(text)) return text;
  throw new InvalidArgumentError(
    'A task type is 1 to 127 characters of A-Z a-z 0-9 . _ : / -, beginning with a letter or digit, for instance file.checksum.',
  );
}

/** Adds one state, by its name in either case, to those before. */
export function readTaskState(text: string, before: readonly TaskState[] | undefined): readonly TaskState[] {
  const state = STATES.get(text.toUpperCase().replaceAll('-', '_'));
  if (state !== undefined) return [...new Set([...(before ?? []), state])];
  throw new InvalidArgumentError(`It must be one of ${TASK_STATE_NAMES.join(', ')}.`);
}

const STATES: ReadonlyMap<string, TaskState> = new Map(
  [
    TaskState.SCHEDULED,
    TaskState.QUEUED,
    TaskState.RUNNING,
    TaskState.SUCCEEDED,
    TaskState.CANCELLED,
    TaskState.EXPIRED,
    TaskState.DEAD_LETTERED,
  ].map((state) => [enumName(TaskState, state), state]),
);

/** What a task's state is called on a command line. */
export const TASK_STATE_NAMES: readonly string[] = [...STATES.keys()].map((name) => name.toLowerCase());

/** A moment: an ISO time with its zone, or a span from now with its unit. In milliseconds since 1970. */
export function momentReader(wallMs: () => number): (text: string) => number {
  return (text) => {
    const spanMs = parseTimeMs(text);
    if (spanMs <= SPAN_MS_MAX) return Math.ceil(wallMs() + spanMs);
    const momentMs = ISO_PATTERN.test(text) && isOfCalendar(text) ? Date.parse(text) : NaN;
    if (momentMs >= 0) return momentMs;
    throw new InvalidArgumentError(
      'It must be an ISO time with its zone, such as 2030-01-31T08:00:00Z or 2030-01-31T09:00+01:00, or a span from now, ' +
        'such as 90s, 10m or 2h, of at most 10 years.',
    );
  };
}

const SPAN_MS_MAX = 10 * 365 * DAY_MS;
const ISO_PATTERN = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;

/** Date.parse takes the 31st of February for the 3rd of March. */
function isOfCalendar(isoText: string): boolean {
  const day = isoText.slice(0, 10);
  const parsedMs = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(parsedMs) && new Date(parsedMs).toISOString().startsWith(day);
}

/** Adds one worker_id, or a pattern of it, to those before. */
export function readWorkerPattern(text: string, before: readonly string[] | undefined): readonly string[] {
  const patterns = before ?? [];
  if (!WORKER_PATTERN.test(text)) {
    throw new InvalidArgumentError(
      'It must be a worker_id or a pattern of it, of A-Z a-z 0-9 . _ : / @ - and *, which stands for any characters; in a ' +
        "shell, put it in quotes: 'host-1/*'.",
    );
  }
  if (patterns.length >= WORKER_PATTERNS_MAX && !patterns.includes(text)) {
    throw new InvalidArgumentError(`It is one too many: at most ${WORKER_PATTERNS_MAX} go in one call.`);
  }
  return [...new Set([...patterns, text])];
}

const WORKER_PATTERN = /^[A-Za-z0-9*][A-Za-z0-9._:/@*-]{0,126}$/;
/** The contract's bound of one DrainWorkers or ResumeWorkers. */
const WORKER_PATTERNS_MAX = 100;

/** A UUID, in lower case. */
export function readUuid(text: string): string {
  if (UUID_PATTERN.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('It must be a UUID, for instance 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60.');
}

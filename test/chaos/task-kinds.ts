/** The tasks of a chaos run: what each is given, what it must answer, and how it may end. */
import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type { RunOptions } from '../../client/index.js';
import type { Prng } from '../sim/random.js';

/** What a task does to its handler, or its submitter to it. */
export type TaskKind =
  /** Milliseconds of work. */
  | 'quick'
  /** Up to some seconds of work. */
  | 'slow'
  /** More work than a lease takes to end: whoever is cut off must stop in the midst of it. */
  | 'long'
  /** Throws so often as it is told to, and then returns. */
  | 'flaky'
  /** Throws what no other attempt could help. */
  | 'fatal'
  /** Ignores its abort, and returns. */
  | 'deaf'
  /** Ignores its abort, and never settles: its process is replaced. */
  | 'stuck'
  /** Does not let its loop turn. */
  | 'block'
  /** Kills its own process. */
  | 'poison'
  /** max_attempts 1: at most one start. */
  | 'once'
  /** Its submitter cancels it. */
  | 'cancelled'
  /** It has a deadline that may come first. */
  | 'deadline'
  /** Takes and gives hundreds of kilobytes. */
  | 'big';

/** How it is submitted. */
export type TaskVia =
  /** submit() and result() of the client's stream. */
  | 'submit'
  /** run() of the client. */
  | 'run'
  /** RunTask, a plain call; cut, it lets the task go on. */
  | 'call-keep'
  /** RunTask; cut, it cancels the task. */
  | 'call-cancel';

/** One task, all that is needed to submit it again as the same. */
export interface TaskSpec {
  readonly taskId: string;
  readonly kind: TaskKind;
  readonly via: TaskVia;
  /** How long its handler works, in milliseconds. */
  readonly workMs: number;
  /** How often it throws first. */
  readonly failures: number;
  /** Of payload and result, each. */
  readonly bytes: number;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly timeoutMs: number;
  /** After its acknowledgement; null: nobody cancels it. */
  readonly cancelAfterMs: number | null;
  /** ISO 8601; null: none. */
  readonly deadline: string | null;
}

/** What a handler is given. */
export interface ChaosPayload {
  readonly workMs: number;
  readonly failures: number;
  readonly filler: string;
}

/** What a handler must return. */
export interface ChaosResult {
  readonly answer: string;
  readonly filler: string;
}

/** Reasons of failures that handlers give. */
export const FLAKY_REASON = 'CHAOS_FLAKY';
export const FATAL_REASON = 'CHAOS_FATAL';

/** Nothing is stopped or cut for so long, so none but the stuck ones reach it. */
const TIMEOUT_MS = 120_000;
const STUCK_TIMEOUT_MS = 700;

/** Of a thousand tasks. A stuck one costs a process, a poisonous one three or four. */
const KINDS = [
  ['quick', 450],
  ['slow', 150],
  ['long', 40],
  ['flaky', 70],
  ['fatal', 30],
  ['deaf', 50],
  ['block', 40],
  ['once', 80],
  ['cancelled', 50],
  ['deadline', 35],
  ['big', 10],
  ['stuck', 3],
  ['poison', 2],
] as const satisfies readonly (readonly [TaskKind, number])[];

const KINDS_TOTAL = KINDS.reduce((sum, [, weight]) => sum + weight, 0);

/** All kinds. */
export const TASK_KINDS: readonly TaskKind[] = KINDS.map(([kind]) => kind);

/** Milliseconds of work, from and to; those that are not here work as quick ones do. */
const WORK_MS: Partial<Record<TaskKind, readonly [number, number]>> = {
  slow: [300, 4_000],
  long: [5_000, 12_000],
  deaf: [300, 3_000],
  block: [50, 1_500],
  once: [0, 1_500],
  cancelled: [500, 4_000],
  deadline: [100, 3_000],
};

/**
 * Draws a task.
 *
 * @param vias What its submitter can do
 * @param nowMs The wall clock, for deadlines
 */
export function drawTask(prng: Prng, vias: readonly TaskVia[], nowMs: number): TaskSpec {
  const kind = drawKind(prng);
  const [fromMs, toMs] = WORK_MS[kind] ?? [0, 60];
  return {
    taskId: uuidv7(),
    kind,
    // A plain call cannot both wait and cancel.
    via: kind === 'cancelled' ? (vias[0] ?? 'submit') : prng.pick(vias),
    workMs: prng.int(fromMs, toMs),
    failures: kind === 'flaky' ? prng.int(1, 3) : 0,
    bytes: kind === 'big' ? prng.int(100_000, 900_000) : prng.int(0, 200),
    priority: prng.pick([5, 10, 10, 10, 20]),
    maxAttempts: kind === 'once' ? 1 : kind === 'stuck' ? 2 : 3,
    timeoutMs: kind === 'stuck' ? STUCK_TIMEOUT_MS : TIMEOUT_MS,
    cancelAfterMs: kind === 'cancelled' ? prng.int(0, 3_000) : null,
    deadline: kind === 'deadline' ? new Date(nowMs + prng.int(500, 5_000)).toISOString() : null,
  };
}

/** The type of such a task. */
export function typeOf({ kind }: Pick<TaskSpec, 'kind'>): string {
  return `chaos.${kind}`;
}

/** The same for every submit of it. */
export function payloadOf({ taskId, workMs, failures, bytes }: TaskSpec): ChaosPayload {
  return { workMs, failures, filler: fillerOf(taskId, bytes) };
}

/** The options of `submit` and `run`. */
export function optionsOf(spec: TaskSpec): RunOptions {
  const { taskId, priority, maxAttempts, timeoutMs, deadline } = spec;
  const retry = { maxAttempts, maxBackoffMs: 1_000 };
  return { taskId, priority, timeoutMs, retry, ...(deadline === null ? {} : { deadline: new Date(deadline) }) };
}

/** What a handler makes of what it is given. */
export function resultFor(taskId: string, { filler }: ChaosPayload): ChaosResult {
  return { answer: createHash('sha256').update(taskId).update(filler).digest('hex'), filler };
}

/** Of a result, whoever computed it. */
export function digestOf(result: unknown): string {
  return createHash('sha256').update(JSON.stringify(result)).digest('hex').slice(0, 32);
}

/** The digest that a task's result must have. */
export function expectedDigest(spec: TaskSpec): string {
  return digestOf(resultFor(spec.taskId, payloadOf(spec)));
}

function drawKind(prng: Prng): TaskKind {
  let left = prng.next() * KINDS_TOTAL;
  for (const [kind, weight] of KINDS) {
    left -= weight;
    if (left < 0) return kind;
  }
  return 'quick';
}

/** So many letters that belong to this task alone: parts of another one would be seen. */
function fillerOf(taskId: string, bytes: number): string {
  const part = createHash('sha256').update(`filler ${taskId}`).digest('hex');
  return part.repeat(Math.ceil(bytes / part.length)).slice(0, bytes);
}

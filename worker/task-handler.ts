import type { Logger } from 'pino';
import { DAY_MS, MAX_SLOTS, TASK_TYPE_PATTERN } from '../proto/bounds.js';

/** Why a handler's signal was aborted. */
export type AbortCause =
  /** Somebody cancelled the task. */
  | 'CANCELLED'
  /** The task's deadline has passed. */
  | 'DEADLINE_PASSED'
  /** The attempt ran longer than its time-out. */
  | 'TIMED_OUT'
  /** The coordinator has not heard this worker for a lease, or it must be assumed: the task may already run elsewhere. */
  | 'LEASE_LOST'
  /** The coordinator says that the attempt is not this worker's any more. */
  | 'FENCED'
  /** The drain's deadline has passed. */
  | 'DRAINED'
  /** The process is being replaced because another handler is stuck. */
  | 'RECYCLED'
  /** Another process has taken over this worker's id. */
  | 'SUPERSEDED'
  /** The worker cannot go on. */
  | 'WORKER_FAILED';

/** `signal.reason` of an aborted handler. */
export class TaskAbortedError extends Error {
  override readonly name = 'TaskAbortedError';
  /** Machine-readable. */
  readonly abortCause: AbortCause;

  constructor(abortCause: AbortCause, message: string) {
    super(message);
    this.abortCause = abortCause;
  }
}

/** What a handler is given beside the payload. */
export interface TaskContext {
  /** UUID; the same for every attempt of the task. The key for making a repeat harmless. */
  readonly taskId: string;
  /** The task's type. */
  readonly type: string;
  /** From 1; higher when an earlier attempt failed, was given back or was lost with its worker. */
  readonly attempt: number;
  /** How many earlier attempts failed or timed out. */
  readonly failureCount: number;
  /** What the submitter attached to the task. */
  readonly metadata: Readonly<Record<string, string>>;
  /** W3C trace context of the submitter; empty if it sent none. */
  readonly traceparent: string;
  /** Media type of the payload as it came. */
  readonly contentType: string;
  /**
   * Aborted on cancel, time-out, lost lease, and when a drain's deadline has passed. A handler that then throws has the
   * abort's outcome; one that returns all the same has succeeded. `signal.reason` is a {@link TaskAbortedError}.
   */
  readonly signal: AbortSignal;
  /** True once the worker is leaving: it takes nothing new, and a long handler may come to an early end. */
  readonly draining: boolean;
  /**
   * Tells whoever watches the task how it is going: any JSON value of at most 64 KiB. Only the newest counts; calls within
   * one turn of the event loop become one message.
   *
   * @throws TypeError if the value has no JSON form; RangeError if it is over the bound
   */
  progress(value: unknown): void;
  /** A pino child that carries `task_id`, `attempt` and `type` already. */
  readonly logger: Logger;
}

/**
 * Does one attempt of a task. A JSON payload arrives parsed, any other content type as a `Uint8Array`. Returns (a promise
 * of) a JSON value, or a `Uint8Array` for bytes (`application/octet-stream`); `undefined` becomes null. Throwing makes the
 * attempt FAILED: `error.reason` (UPPER_SNAKE_CASE) becomes its reason, `error.retryable === false` makes it the last.
 */
export type TaskHandler<P = unknown> = (payload: P, ctx: TaskContext) => unknown;

/** A handler that says more about itself. */
export interface TaskHandlerOptions<P = unknown> {
  /** The handler. */
  readonly run: TaskHandler<P>;
  /** Upper bound of one attempt in milliseconds, 1 to 86,400,000; the task's own time-out holds if it is shorter. */
  readonly timeout?: number;
  /** How many tasks of this type may run at once, 1 to 1,000; never more than the worker's slots, which is the default. */
  readonly slots?: number;
}

/** A handler in a file: an unannotated payload is `unknown`, an annotated one is believed. */
type FileHandler = {
  // Written as a method, because those may ask for more than `unknown` of what they are given.
  run(payload: unknown, ctx: TaskContext): unknown;
}['run'];

/** A handler in a file, with limits of its own; see {@link TaskHandlerOptions}. */
type FileHandlerOptions = Omit<TaskHandlerOptions, 'run'> & { readonly run: FileHandler };

/**
 * What a handlers file exports by default: handlers by task type, and what runs once per process, before and after all of
 * them.
 *
 * ```ts
 * import type { Handlers } from 'remuda/worker';
 *
 * export default {
 *   'image.resize': async ({ path, width }: { path: string; width: number }, ctx) => resize(path, width, ctx.signal),
 *   'image.classify': { run: classify, timeout: 120_000, slots: 1 },
 * } satisfies Handlers;
 * ```
 */
export type Handlers = Readonly<Record<string, FileHandler | FileHandlerOptions>> & {
  /** Runs before the worker says hello: opens what is slow to open. */
  readonly setup?: () => unknown;
  /** Runs after the drain: closes it again. */
  readonly teardown?: () => unknown;
};

/** A handler as it was registered, validated. */
export interface RegisteredHandler {
  readonly type: string;
  readonly run: TaskHandler<never>;
  /** Undefined: the task's own time-out alone. */
  readonly timeoutMs: number | undefined;
  /** 0: as many as the worker has slots. */
  readonly slots: number;
}

/** What is wrong with a task type; undefined if nothing. */
export function typeFault(type: unknown): string | undefined {
  if (typeof type === 'string' && TASK_TYPE_PATTERN.test(type)) return undefined;
  const given = typeof type === 'string' ? JSON.stringify(type.slice(0, 200)) : `a ${typeof type}`;
  return `${given} is no task type: 1 to 127 characters of A-Z a-z 0-9 . _ : / -, beginning with a letter or digit`;
}

/** Checks a handler of a type. `faults` gets a sentence for each thing that is wrong; undefined if there is any. */
export function parseHandler(type: unknown, handler: unknown, faults: string[]): RegisteredHandler | undefined {
  const before = faults.length;
  const wrongType = typeFault(type);
  if (wrongType !== undefined) faults.push(wrongType);
  if (typeof handler === 'function') {
    const registered = { type: String(type), run: handler as TaskHandler<never>, timeoutMs: undefined, slots: 0 };
    return faults.length === before ? registered : undefined;
  }
  const name = JSON.stringify(type);
  if (typeof handler !== 'object' || handler === null) {
    faults.push(`the handler of ${name} is ${kindOf(handler)}; it must be a function or { run, timeout, slots }`);
    return undefined;
  }
  const { run, timeout, slots } = handler as Record<string, unknown>;
  if (typeof run !== 'function') {
    faults.push(`the handler of ${name} is an object whose "run" is ${kindOf(run)}; "run" must be a function`);
  }
  for (const key of Object.keys(handler)) {
    if (key === 'run' || key === 'timeout' || key === 'slots') continue;
    faults.push(`the handler of ${name} has an unknown key ${JSON.stringify(key)}; known are run, timeout and slots`);
  }
  checkInteger(`timeout of ${name}`, timeout, DAY_MS, 'milliseconds', faults);
  checkInteger(`slots of ${name}`, slots, MAX_SLOTS, 'tasks at once', faults);
  if (faults.length > before) return undefined;
  return {
    type: String(type),
    // `this` is the object, so that a class instance with a run() method works as a handler.
    run: (run as TaskHandler<never>).bind(handler),
    timeoutMs: timeout as number | undefined,
    slots: (slots as number | undefined) ?? 0,
  };
}

function checkInteger(what: string, value: unknown, max: number, unit: string, faults: string[]): void {
  if (value === undefined) return;
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= max) return;
  const given = typeof value === 'number' ? String(value) : kindOf(value);
  faults.push(`${what} is ${given}; it must be a whole number from 1 to ${max} (${unit})`);
}

/** A value's kind in words, for messages. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return 'an array';
  const kind = typeof value;
  return kind === 'object' ? 'an object' : `a ${kind}`;
}

import type { FleetError } from '../proto/fleet-error.js';
import type { StreamEnd } from './frame-stream.js';
import type { RunOptions, SubmitOptions, WaitOptions } from './submit-options.js';
import type { TaskInfo, TaskStateName } from './task-info.js';

/** What a task type takes and gives. */
export interface TaskShape {
  /** The payload of a submit. */
  readonly in: unknown;
  /** What its handler returns. */
  readonly out: unknown;
}

/** A map from task types to what they take and give: a type or an interface. */
export type TaskMap<Tasks> = { readonly [Type in keyof Tasks]: TaskShape };

/** Without a map any type can be submitted with any payload, and results are unknown. */
export type AnyTasks = Record<string, TaskShape>;

/** The names of the types in a map. */
export type TypeOf<Tasks> = keyof Tasks & string;
/** What a type takes. */
export type InputOf<Tasks extends TaskMap<Tasks>, Type extends keyof Tasks> = Tasks[Type]['in'];
/** What a type gives. */
export type OutputOf<Tasks extends TaskMap<Tasks>, Type extends keyof Tasks> = Tasks[Type]['out'];

/** The acknowledgement of a submit: the task is durable. */
export interface SubmitReceipt {
  readonly taskId: string;
  /** Where it stood then. */
  readonly state: TaskStateName;
  /** The taskId was known, with the same content: nothing was added. */
  readonly alreadyExisted: boolean;
  /** How many connected workers could take it. 0 is no error: it waits for one. */
  readonly capableWorkerCount: number;
  /** For people, when there is something to say. */
  readonly notice: string;
}

/** A task of `submitMany`. */
export type SubmitItem<Tasks extends TaskMap<Tasks>> = {
  readonly [Type in TypeOf<Tasks>]: {
    readonly type: Type;
    readonly payload: InputOf<Tasks, Type>;
    readonly options?: SubmitOptions;
  };
}[TypeOf<Tasks>];

/** What tasks to list. Everything fits an empty filter. */
export interface ListOptions<Tasks = AnyTasks> extends WaitOptions {
  /** Only in one of these states. Default: any. */
  readonly states?: readonly Exclude<TaskStateName, 'UNKNOWN'>[];
  /** Only of this type. Default: any. */
  readonly type?: TypeOf<Tasks>;
  /** How many to fetch at a time, 1 to 1,000. Default 100. */
  readonly pageSize?: number;
  /** Also payload, result and progress of each. Default false. */
  readonly payloads?: boolean;
}

/** What became of one id of a `requeue` or `delete`. */
export interface TaskChange {
  readonly taskId: string;
  /** Why it was refused; undefined: done. */
  readonly error: FleetError | undefined;
}

/** Options of {@link Client.close}. */
export interface CloseOptions {
  /** How long what is under way may go on, in milliseconds, 0 to 86,400,000. Default 0. */
  readonly drainTimeoutMs?: number;
}

/** What a client has under way. */
export interface ClientStats {
  /** Tasks between submit and end, or acknowledgement. */
  readonly inFlight: number;
  /** Bytes of what is not acknowledged. */
  readonly inFlightBytes: number;
  /** Calls that wait for a place in flight. */
  readonly waiting: number;
  /** The task stream is open. */
  readonly connected: boolean;
  /** How often it was opened again. */
  readonly reconnects: number;
}

/** The events of a client, with what a listener is given. */
export interface ClientEvents {
  /** The task stream is open, the first time or again. */
  readonly connected: { readonly address: string };
  /** The task stream has ended; it is opened again if something is under way. */
  readonly disconnected: StreamEnd;
  /** A task whose `run` was aborted could not be cancelled: it may go on. */
  readonly 'cancel-failed': { readonly taskId: string; readonly error: FleetError };
}

/**
 * A client of one coordinator, made by {@link createClient}. All its submits and results travel on one stream, which is opened
 * at the first of them, and again whenever it breaks: a restart of the coordinator loses no waiter and doubles no task. An open
 * client keeps the process alive; close it, or let `await using` do it.
 *
 * Errors are {@link FleetError}s with a gRPC code, a reason and a sentence. All calls: INVALID_ARGUMENT for what is out of its
 * bounds, FAILED_PRECONDITION / CLIENT_CLOSED after close(), UNAVAILABLE / COORDINATOR_UNREACHABLE or NOT_A_COORDINATOR,
 * CANCELLED after an abort of `signal`.
 */
export interface Client<Tasks extends TaskMap<Tasks> = AnyTasks> extends AsyncDisposable {
  /** HOST:PORT or unix:PATH. */
  readonly address: string;
  /** What is under way now. */
  readonly stats: ClientStats;

  /**
   * Puts a task in the queue, and resolves when it is durable.
   *
   * @param payload any JSON value, or a Uint8Array for bytes (`options.contentType`)
   * @throws FleetError INVALID_ARGUMENT / INVALID_TASK, PAYLOAD_TOO_LARGE, PAYLOAD_NOT_JSON; ALREADY_EXISTS / TASK_ID_TAKEN;
   *   RESOURCE_EXHAUSTED / QUEUE_FULL, STORE_FULL, TOO_MANY_WAITING; DEADLINE_EXCEEDED / DEADLINE_PASSED before the task was sent;
   *   CANCELLED / NOT_SENT or ACCEPTANCE_UNKNOWN
   */
  submit<Type extends TypeOf<Tasks>>(
    type: Type,
    payload: InputOf<Tasks, Type>,
    options?: SubmitOptions,
  ): Promise<SubmitReceipt>;

  /** As many submits; each item's receipt or error, in their order. One that is refused does not hold up the others. */
  submitMany(items: Iterable<SubmitItem<Tasks>>): Promise<(SubmitReceipt | FleetError)[]>;

  /**
   * Runs a task and resolves with its result: JSON parsed, anything else as `{ contentType, data }`. An abort of
   * `options.signal` cancels the task unless `onAbandon` is `keep`; a close of the client, or the end of this process, does not.
   *
   * @throws TaskFailedError if it ended otherwise than SUCCEEDED; FleetError as `submit`; DATA_LOSS / RESULT_NOT_JSON; CANCELLED /
   *   WAIT_ABORTED; NOT_FOUND / TASK_NOT_FOUND or PURGED if the coordinator has lost it, as one with a `memory:` store does
   */
  run<Type extends TypeOf<Tasks>>(
    type: Type,
    payload: InputOf<Tasks, Type>,
    options?: RunOptions,
  ): Promise<OutputOf<Tasks, Type>>;

  /** The result of a task that was submitted before, by whomever. Throws as `run`; an abort lets the task go on. */
  result<Type extends TypeOf<Tasks> = TypeOf<Tasks>>(
    taskId: string,
    options?: WaitOptions,
  ): Promise<OutputOf<Tasks, Type>>;

  /** A task as it stands. @throws FleetError INVALID_ARGUMENT / INVALID_TASK_ID; NOT_FOUND / TASK_NOT_FOUND or PURGED */
  get(taskId: string, options?: WaitOptions): Promise<TaskInfo>;

  /** The tasks that fit, the newest first, fetched page by page as they are asked for. @throws FleetError INVALID_FILTER */
  list(options?: ListOptions<Tasks>): AsyncIterableIterator<TaskInfo>;

  /**
   * A task as it stands, and again after each change, until it has ended. A watch that breaks is taken up where it was; whoever
   * reads slowly skips what is outdated.
   *
   * @throws FleetError as `get`; RESOURCE_EXHAUSTED / TOO_MANY_CALLS
   */
  watch(taskId: string, options?: WaitOptions): AsyncIterableIterator<TaskInfo>;

  /**
   * Asks for a task's end. Resolves with where it stands: CANCELLED, or RUNNING while its handler has not stopped. A repeat
   * succeeds.
   *
   * @throws FleetError as `get`; FAILED_PRECONDITION / TASK_ENDED if it has ended otherwise (metadata `state`)
   */
  cancel(taskId: string, options?: WaitOptions): Promise<TaskStateName>;

  /** Puts dead letters back in the queue, each judged by itself; the outcomes in the order of the ids. */
  requeue(taskIds: string | Iterable<string>, options?: WaitOptions): Promise<TaskChange[]>;

  /** Removes tasks that have ended, each judged by itself; the outcomes in the order of the ids. */
  delete(taskIds: string | Iterable<string>, options?: WaitOptions): Promise<TaskChange[]>;

  /** Adds a listener of an event. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): this;

  /** Removes a listener. */
  off<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): this;

  /**
   * Ends the client: no new calls; what is under way goes on for `drainTimeoutMs`, and the rest fails with CLIENT_CLOSED. Under
   * way is also what a `submitMany` has not submitted yet, and a `list` or `watch` that was begun and not left. It cancels
   * nothing. Resolves when nothing is open any more, 2 s later at most; a repeat may bring the end forward.
   */
  close(options?: CloseOptions): Promise<void>;
}

import { create } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import type { Failure, Payload } from '../../proto/gen/remuda/v1/payload_pb.js';
import type { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { SubmitTaskRequestSchema, TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { parseAddress } from '../parse-address.js';
import { COMMAND_LINE_ADDRESS, COORDINATOR_UNREACHABLE, endText } from '../connection-errors.js';
import { grpcDialler, type StreamEnd } from '../frame-stream.js';
import { TaskStream } from '../task-stream.js';
import { TaskStreamMachine } from '../task-stream-machine.js';
import { AWAY_MS } from './absence.js';
import type { CliContext } from './cli-context.js';
import type { TaskRequest } from './task-request.js';
import { exactTime } from './task-text.js';

/** How a task ended. */
export interface EndedTask {
  readonly state: TaskState;
  /** What its handler returned, when SUCCEEDED; undefined means JSON null. */
  readonly result?: Payload | undefined;
  /** Why, when it ended otherwise. */
  readonly failure?: Failure | undefined;
}

/** What a runner of tasks is given. */
export interface TaskRunnerOptions {
  /** HOST:PORT or unix:PATH. */
  readonly address: string;
  /** How many tasks may be under way. */
  readonly maxInFlight: number;
  /** How many bytes of payloads may be under way. */
  readonly maxInFlightBytes: number;
  /** The coordinator has gone away and is waited for. */
  readonly onGone: () => void;
  readonly context: Pick<CliContext, 'clock' | 'random'>;
  /** How long it may be away, in milliseconds. Default 30,000. */
  readonly awayMs?: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** What a task takes in a frame beside its payload, about. */
const TASK_BYTES = 256;

/**
 * Runs tasks to their end, many at once, on the stream of the TypeScript client. It is the client below its JSON: a result comes
 * as the bytes that the handler gave, so that no number loses a digit on its way to stdout.
 */
export class TaskRunner implements AsyncDisposable {
  readonly #options: TaskRunnerOptions;
  readonly #stream: TaskStream;
  #awayTimer: NodeJS.Timeout | undefined;
  #gone: FleetError | undefined;

  /** @throws FleetError INVALID_ARGUMENT / INVALID_ADDRESS */
  constructor(options: TaskRunnerOptions) {
    const { address, maxInFlight, maxInFlightBytes, context } = options;
    const target = parseAddress(address);
    this.#options = options;
    this.#stream = new TaskStream({
      machine: new TaskStreamMachine({
        address,
        addressSaid: COMMAND_LINE_ADDRESS,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        waitForReady: false,
        maxInFlight,
        maxInFlightBytes,
        maxWaiting: maxInFlight,
        random: context.random,
      }),
      open: grpcDialler(target, TaskService.method.openTaskStream),
      // Nobody asks for it: all tasks are kept.
      onCancel: () => undefined,
      onConnected: () => clearTimeout(this.#awayTimer),
      onDisconnected: (end) => this.#disconnected(end),
      nowMs: () => context.clock.monoMs(),
    });
  }

  /**
   * Submits a task and waits for its end, over restarts of the coordinator. Who stops waiting leaves the task as it is.
   *
   * @throws FleetError if the task is refused; UNAVAILABLE if the coordinator stays away for `awayMs`; CANCELLED once `signal` is
   *   aborted
   */
  async run(request: TaskRequest, signal: AbortSignal): Promise<EndedTask> {
    const task = create(SubmitTaskRequestSchema, request);
    const payloadBytes = task.payload?.body.case === 'data' ? task.payload.body.value.byteLength : 0;
    const bytes = TASK_BYTES + payloadBytes;
    // At most maxInFlight are given at a time: none waits for its turn.
    const call = { kind: 'run', taskId: task.taskId, task, bytes, deadlineMs: Infinity } as const;
    try {
      const { state, result, task: ended } = await this.#stream.call(call, { signal, onAbandon: 'keep' });
      return { state, result, failure: ended?.failure };
    } catch (error) {
      throw this.#gone ?? error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#awayTimer);
    await this.#stream.close(0);
  }

  /** The stream itself would dial for ever, which is right for a service and wrong for a person who waits. */
  #disconnected(end: StreamEnd): void {
    const { address, onGone, awayMs = AWAY_MS } = this.#options;
    onGone();
    clearTimeout(this.#awayTimer);
    this.#awayTimer = setTimeout(() => {
      const message =
        `the coordinator at ${address} went away (${endText(end)}) and is not back after ${exactTime(awayMs)}; start it ` +
        'again, and look at what became of the tasks';
      this.#gone = new FleetError(Code.UNAVAILABLE, COORDINATOR_UNREACHABLE, message);
      void this.#stream.close(0);
    }, awayMs);
  }
}

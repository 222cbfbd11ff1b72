import { EventEmitter } from 'node:events';
import type { DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { v7 as uuidv7 } from 'uuid';
import { DAY_MS } from '../proto/bounds.js';
import { FleetError } from '../proto/fleet-error.js';
import { PayloadView } from '../proto/gen/remuda/v1/payload_pb.js';
import { TaskService, type StreamResult } from '../proto/gen/remuda/v1/task_service_pb.js';
import { within } from '../proto/within.js';
import { CancelSender } from './cancel-sender.js';
import { clientClosed } from './call-errors.js';
import type {
  AnyTasks,
  Client,
  ClientEvents,
  ClientStats,
  CloseOptions,
  ListOptions,
  SubmitItem,
  SubmitReceipt,
  TaskChange,
} from './client.js';
import type { CompiledClientOptions } from './client-options.js';
import { encodeTask, readTaskId, RUN_OPTION_NAMES, SUBMIT_OPTION_NAMES, type EncodedTask } from './encode-task.js';
import { grpcDialler } from './frame-stream.js';
import { listTasks } from './list-tasks.js';
import { OptionFaults } from './option-faults.js';
import { resultValue } from './payload-value.js';
import type { RunOptions, SubmitOptions, WaitOptions } from './submit-options.js';
import { changeTasks, type ChangeMethod } from './task-changes.js';
import { TaskFailedError } from './task-failed-error.js';
import { stateName, taskInfo, type TaskInfo, type TaskStateName } from './task-info.js';
import { TaskStream } from './task-stream.js';
import { TaskStreamMachine } from './task-stream-machine.js';
import { UnaryCalls } from './unary-calls.js';
import { UnderWay } from './under-way.js';
import { watchTask } from './watch-task.js';

/** The clocks and the dice. */
export interface ClientRuntime {
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Milliseconds since 1970. */
  readonly nowWallMs: () => number;
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
}

/** Where the address was said, for messages. */
const ADDRESS_SAID = 'the option address of createClient()';
/** Submits of one submitMany() at a time: as many as fit a frame, so that its items do not fill the line of those that wait. */
const SUBMITS_AT_ONCE = 1_024;
/** How long cancels of aborted runs may take at the end. */
const CANCELS_MS = 1_000;

/** The client of {@link createClient}; without a map of types, which exist for the compiler only. */
export class FleetClient implements Client {
  readonly #options: CompiledClientOptions;
  readonly #runtime: ClientRuntime;
  readonly #machine: TaskStreamMachine;
  readonly #stream: TaskStream;
  readonly #calls: UnaryCalls;
  readonly #cancels: CancelSender;
  readonly #events = new EventEmitter();
  /** Beside the calls of the stream. */
  readonly #underWay = new UnderWay();
  /** `draining`: no new calls, and what is under way goes on. */
  #phase: 'open' | 'draining' | 'closed' = 'open';

  constructor(options: CompiledClientOptions, runtime: ClientRuntime) {
    const { nowMs, random } = runtime;
    this.#options = options;
    this.#runtime = runtime;
    const terms = { ...options, addressSaid: ADDRESS_SAID, random };
    this.#calls = new UnaryCalls({ ...terms, nowMs });
    this.#cancels = new CancelSender(this.#calls, (taskId, error) => this.#emit('cancel-failed', { taskId, error }));
    this.#machine = new TaskStreamMachine(terms);
    this.#stream = new TaskStream({
      machine: this.#machine,
      open: grpcDialler(options.address, TaskService.method.openTaskStream),
      onCancel: (taskId) => this.#cancels.send(taskId),
      onConnected: () => this.#emit('connected', { address: options.address }),
      onDisconnected: (end) => this.#emit('disconnected', end),
      nowMs,
    });
  }

  get address(): string {
    return this.#options.address;
  }

  get stats(): ClientStats {
    const { calls, state, reconnects } = this.#machine;
    const { inFlight, inFlightBytes, waiting } = calls;
    return { inFlight, inFlightBytes, waiting, connected: state.t === 'Open', reconnects };
  }

  async submit(type: string, payload: unknown, options?: SubmitOptions): Promise<SubmitReceipt> {
    this.#requireOpen();
    return this.#submit(type, payload, options);
  }

  async submitMany(items: Iterable<SubmitItem<AnyTasks>>): Promise<(SubmitReceipt | FleetError)[]> {
    this.#requireOpen();
    const all = [...items];
    const answers: (SubmitReceipt | FleetError)[] = [];
    const rest = all.entries();
    const submitRest = async (): Promise<void> => {
      for (const [index, item] of rest) answers[index] = await this.#submitItem(item);
    };
    const lines = Math.min(SUBMITS_AT_ONCE, all.length);
    await this.#underWay.during(() => Promise.all(Array.from({ length: lines }, submitRest)));
    return answers;
  }

  async run(type: string, payload: unknown, options?: RunOptions): Promise<unknown> {
    this.#requireOpen();
    const { signal, onAbandon, ...call } = this.#encode(type, payload, options, RUN_OPTION_NAMES);
    return outcome(await this.#stream.call({ ...call, kind: 'run' }, { signal, onAbandon }));
  }

  async result(taskId: string, options?: WaitOptions): Promise<unknown> {
    this.#requireOpen();
    const { signal } = readWait(options);
    const call = {
      kind: 'result',
      taskId: readTaskId(taskId),
      task: undefined,
      bytes: 0,
      deadlineMs: Infinity,
    } as const;
    return outcome(await this.#stream.call(call, { signal, onAbandon: 'keep' }));
  }

  async get(taskId: string, options?: WaitOptions): Promise<TaskInfo> {
    this.#requireOpen();
    const request = { taskId: readTaskId(taskId), payloadView: PayloadView.DATA };
    const { task } = await this.#call(TaskService.method.getTask, request, options);
    if (task === undefined) throw FleetError.from(new Error('GetTask answered without a task'));
    return taskInfo(task);
  }

  list(options?: ListOptions): AsyncIterableIterator<TaskInfo> {
    this.#requireOpen();
    return this.#underWay.along(listTasks(this.#calls, options));
  }

  watch(taskId: string, options?: WaitOptions): AsyncIterableIterator<TaskInfo> {
    this.#requireOpen();
    return this.#underWay.along(watchTask(this.#calls, readTaskId(taskId), readWait(options).signal));
  }

  async cancel(taskId: string, options?: WaitOptions): Promise<TaskStateName> {
    this.#requireOpen();
    const request = { taskId: readTaskId(taskId) };
    const { state } = await this.#call(TaskService.method.cancelTask, request, options);
    return stateName(state);
  }

  async requeue(taskIds: string | Iterable<string>, options?: WaitOptions): Promise<TaskChange[]> {
    this.#requireOpen();
    return this.#change(TaskService.method.requeueTasks, taskIds, options);
  }

  async delete(taskIds: string | Iterable<string>, options?: WaitOptions): Promise<TaskChange[]> {
    this.#requireOpen();
    return this.#change(TaskService.method.deleteTasks, taskIds, options);
  }

  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): this {
    this.#events.on(name, listener);
    return this;
  }

  off<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): this {
    this.#events.off(name, listener);
    return this;
  }

  async close(options?: CloseOptions): Promise<void> {
    const faults = new OptionFaults('options.');
    const given = faults.object('', options, ['drainTimeoutMs']);
    const drainTimeoutMs = faults.integer('drainTimeoutMs', given['drainTimeoutMs'], 0, DAY_MS, 'milliseconds') ?? 0;
    faults.throwIfAny('INVALID_OPTIONS');
    if (this.#phase === 'open') this.#phase = 'draining';
    const { nowMs } = this.#runtime;
    const endMs = nowMs() + drainTimeoutMs;
    // The stream stays open for the rest of a submitMany().
    await this.#underWay.idle(drainTimeoutMs);
    this.#phase = 'closed';
    this.#underWay.stopWaiting();
    await this.#stream.close(Math.max(0, endMs - nowMs()));
    await within(this.#cancels.idle(), CANCELS_MS);
    this.#calls.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M['input']>,
    options: WaitOptions | undefined,
  ): Promise<MessageShape<M['output']>> {
    const terms = readWait(options);
    return this.#underWay.during(() => this.#calls.call(method, request, terms));
  }

  #change(
    method: ChangeMethod,
    taskIds: string | Iterable<string>,
    options: WaitOptions | undefined,
  ): Promise<TaskChange[]> {
    const { signal } = readWait(options);
    return this.#underWay.during(() => changeTasks(this.#calls, method, taskIds, signal));
  }

  #encode(type: unknown, payload: unknown, options: unknown, names: readonly string[]): EncodedTask {
    const { maxPayloadBytes } = this.#options;
    const [nowMs, nowWallMs] = [this.#runtime.nowMs(), this.#runtime.nowWallMs()];
    return encodeTask(type, payload, options, names, { maxPayloadBytes, nowMs, nowWallMs, newTaskId: uuidv7 });
  }

  async #submit(type: string, payload: unknown, options?: SubmitOptions): Promise<SubmitReceipt> {
    const { signal, onAbandon, ...call } = this.#encode(type, payload, options, SUBMIT_OPTION_NAMES);
    const ack = await this.#stream.call({ ...call, kind: 'submit' }, { signal, onAbandon });
    const { taskId, state, alreadyExisted, capableWorkerCount, notice } = ack;
    return { taskId, state: stateName(state), alreadyExisted, capableWorkerCount, notice };
  }

  async #submitItem(item: unknown): Promise<SubmitReceipt | FleetError> {
    try {
      if (this.#phase === 'closed') throw clientClosed();
      const faults = new OptionFaults();
      const { type, payload, options } = faults.object('item', item, ['type', 'payload', 'options']);
      faults.throwIfAny('INVALID_TASK');
      return await this.#submit(type as string, payload, options as SubmitOptions);
    } catch (error) {
      return FleetError.from(error);
    }
  }

  #requireOpen(): void {
    if (this.#phase !== 'open') throw clientClosed();
  }

  #emit<Name extends keyof ClientEvents>(name: Name, event: ClientEvents[Name]): void {
    // A listener that throws must not break the turn of the stream.
    queueMicrotask(() => this.#events.emit(name, event));
  }
}

/** @throws TaskFailedError; FleetError DATA_LOSS / RESULT_NOT_JSON */
function outcome({ taskId, task, result }: StreamResult): unknown {
  if (task !== undefined) throw TaskFailedError.of(task);
  return resultValue(taskId, result);
}

function readWait(options: unknown): { readonly signal: AbortSignal | undefined } {
  const faults = new OptionFaults('options.');
  const given = faults.object('', options, ['signal']);
  const signal = faults.signal('signal', given['signal']);
  faults.throwIfAny('INVALID_OPTIONS');
  return { signal };
}

import { create } from '@bufbuild/protobuf';
import { Metadata, type Server, type ServerUnaryCall } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import {
  DeleteTasksResponseSchema,
  GetTaskResponseSchema,
  OnAbandon,
  RequeueTasksResponseSchema,
  SubmitTasksResponseSchema,
  SubmitTasksResultSchema,
  TaskService,
  type GetTaskRequest,
  type GetTaskResponse,
  type RunTaskRequest,
  type RunTaskResponse,
  type SubmitTaskRequest,
  type SubmitTaskResponse,
  type SubmitTasksRequest,
  type SubmitTasksResponse,
  type SubmitTasksResult,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { serviceDefinition, type GrpcHandlers } from '../../proto/service-definition.js';
import type { Runtime } from '../runtime.js';
import type { Engine } from '../engine.js';
import { askOnce, refused, requireOpenDoor, unexpectedReply, type AskedEngine } from './asking.js';
import { parseTask, parseTaskId, type ParsedTask } from './parse-task.js';
import { RunningCalls } from './running-calls.js';
import { submitAnswer, taskNotFound } from './submit-answer.js';
import { cancelTask, changeTasks } from './task-changes.js';
import { listTasks } from './task-list.js';
import type { StreamedEngine } from './task-stream.js';
import { openTaskStream, TaskStreamHost } from './task-stream-host.js';
import { taskView } from './task-view.js';
import { unary } from './unary.js';
import { Watches, watchTask } from './watches.js';

/** How many wait, by how. */
export interface TaskServiceFigures {
  /** RunTask calls whose task has not ended. */
  readonly waitingCalls: number;
  /** Open streams of clients. */
  readonly streams: number;
  /** WatchTask calls. */
  readonly watches: number;
}

export interface TaskServiceOptions {
  readonly engine: AskedEngine & StreamedEngine & Pick<Engine, 'listTasks' | 'onDrained'>;
  readonly runtime: Runtime;
  readonly maxPayloadBytes: number;
  /** Told of errors that should not happen. */
  readonly onBug: (error: unknown) => void;
}

/** Key of the initial metadata in which RunTask tells the task's id. */
export const TASK_ID_KEY = 'remuda-task-id';

const MAX_BATCH = 1_000;

/** TaskService: parses, asks the engine, answers. */
export class TaskServiceImplementation {
  readonly #options: TaskServiceOptions;
  readonly #calls: RunningCalls;
  readonly #streams: TaskStreamHost;
  readonly #watches: Watches;

  constructor(options: TaskServiceOptions) {
    const { engine, runtime, onBug } = options;
    this.#options = options;
    this.#calls = new RunningCalls(engine, runtime);
    this.#watches = new Watches({ engine, onBug });
    this.#streams = new TaskStreamHost({
      engine,
      parse: (request) => this.#parse(request),
      refusal: () => (engine.refusal?.reason === 'COORDINATOR_STOPPING' ? refused(engine.refusal) : null),
      onBug,
    });
  }

  addToServer(server: Pick<Server, 'addService'>): void {
    const { engine, onBug } = this.#options;
    const handlers: Omit<GrpcHandlers<typeof TaskService>, 'openTaskStream' | 'watchTask'> = {
      submitTask: unary((request) => this.#submitTask(request), onBug),
      submitTasks: unary((request) => this.#submitTasks(request), onBug),
      runTask: unary((request, call) => this.#runTask(request, call), onBug),
      getTask: unary((request) => this.#getTask(request), onBug),
      listTasks: unary((request) => listTasks(engine, request), onBug),
      cancelTask: unary((request) => cancelTask(engine, request), onBug),
      requeueTasks: unary(async ({ taskIds }) => {
        return create(RequeueTasksResponseSchema, { results: await changeTasks(engine, 'requeue', taskIds) });
      }, onBug),
      deleteTasks: unary(async ({ taskIds }) => {
        return create(DeleteTasksResponseSchema, { results: await changeTasks(engine, 'delete', taskIds) });
      }, onBug),
    };
    const streams = {
      openTaskStream: (call: Parameters<TaskStreamHost['accept']>[0]) => this.#streams.accept(call),
      watchTask: (call: Parameters<Watches['accept']>[0]) => this.#watches.accept(call),
    };
    server.addService({ ...serviceDefinition(TaskService), openTaskStream, watchTask }, { ...handlers, ...streams });
  }

  /** Who waits for tasks now. */
  get figures(): TaskServiceFigures {
    return { waitingCalls: this.#calls.size, streams: this.#streams.size, watches: this.#watches.size };
  }

  /** Answers every call that waits, and ends every stream, with this error; their tasks go on. */
  stop(error: FleetError): void {
    this.#calls.failAll(error);
    this.#streams.failAll(error);
    this.#watches.failAll(error);
  }

  async #submitTask(request: SubmitTaskRequest): Promise<SubmitTaskResponse> {
    const { engine } = this.#options;
    requireOpenDoor(engine);
    const task = this.#parse(request);
    const bytes = task.body.payload.data.byteLength;
    return submitAnswer(await askOnce(engine, (token) => ({ kind: 'submit', token, want: null, ...task }), bytes));
  }

  async #submitTasks({ tasks }: SubmitTasksRequest): Promise<SubmitTasksResponse> {
    requireOpenDoor(this.#options.engine);
    if (tasks.length === 0 || tasks.length > MAX_BATCH) {
      const description = `has ${tasks.length} entries; it must have 1 to ${MAX_BATCH}`;
      throw FleetError.invalid('INVALID_TASK', [{ field: 'tasks', description }]);
    }
    const results = await Promise.all(tasks.map((task) => this.#submitOne(task)));
    return create(SubmitTasksResponseSchema, { results });
  }

  async #submitOne(request: SubmitTaskRequest): Promise<SubmitTasksResult> {
    try {
      const value = await this.#submitTask(request);
      return create(SubmitTasksResultSchema, { result: { case: 'submitted', value } });
    } catch (error) {
      if (!(error instanceof FleetError)) this.#options.onBug(error);
      const value = FleetError.from(error).toStatusMessage();
      return create(SubmitTasksResultSchema, { result: { case: 'error', value } });
    }
  }

  async #runTask(
    request: RunTaskRequest,
    call: ServerUnaryCall<RunTaskRequest, RunTaskResponse>,
  ): Promise<RunTaskResponse> {
    requireOpenDoor(this.#options.engine);
    const { onAbandon } = request;
    if (!(onAbandon in OnAbandon)) {
      const description = `is ${onAbandon}, which this coordinator does not know; use CANCEL or KEEP`;
      throw FleetError.invalid('INVALID_TASK', [{ field: 'on_abandon', description }]);
    }
    const keep = onAbandon === OnAbandon.KEEP;
    const view = request.payloadView === PayloadView.UNSPECIFIED ? sameForm(request.task) : request.payloadView;
    const callDeadlineWallMs = wallDeadline(call);
    // Who wants the task kept wants only the waiting bounded by the call's deadline.
    const task = this.#parse(request.task, keep ? undefined : callDeadlineWallMs);
    const metadata = new Metadata();
    metadata.set(TASK_ID_KEY, task.taskId);
    call.sendMetadata(metadata);
    return this.#calls.run({ call, task, keep, callDeadlineWallMs, answer: (reply) => taskView(reply, view) });
  }

  async #getTask({ taskId, payloadView: view }: GetTaskRequest): Promise<GetTaskResponse> {
    const { engine } = this.#options;
    const id = parseTaskId(taskId);
    const reply = await askOnce(engine, (token) => ({ kind: 'getTask', token, taskId: id }));
    if (reply.kind === 'taskNotFound') throw taskNotFound(id, engine.wasPurged(id));
    if (reply.kind !== 'task') throw unexpectedReply(reply);
    const { row } = reply.task;
    if (row.endWallMs !== null && view !== PayloadView.NONE) engine.seen(id, row.endWallMs, 'read');
    return create(GetTaskResponseSchema, { task: taskView(reply, view) });
  }

  #parse(request: SubmitTaskRequest | undefined, callDeadlineWallMs?: number): ParsedTask {
    return parseTask(request, { maxPayloadBytes: this.#options.maxPayloadBytes, callDeadlineWallMs });
  }
}

/** Whoever writes plain JSON wants to read plain JSON. */
function sameForm(task: SubmitTaskRequest | undefined): PayloadView {
  return task?.payload?.body.case === 'data' ? PayloadView.DATA : PayloadView.VALUE;
}

/** The call's own deadline on the wall clock; undefined: it has none. */
function wallDeadline(call: ServerUnaryCall<RunTaskRequest, RunTaskResponse>): number | undefined {
  const deadline = call.getDeadline();
  const ms = deadline instanceof Date ? deadline.getTime() : deadline;
  return Number.isFinite(ms) ? Math.ceil(ms) : undefined;
}

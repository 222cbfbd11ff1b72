import { once } from 'node:events';
import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, type ServerWritableStream } from '@grpc/grpc-js';
import { afterEach } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import {
  DrainWorkersResponseSchema,
  FleetService,
  GetFleetStatsResponseSchema,
  GetWorkerResponseSchema,
  ListQueuesResponseSchema,
  ListWorkersResponseSchema,
  ResumeWorkersResponseSchema,
  type DrainWorkersRequest,
  type ListQueuesRequest,
  type ListWorkersRequest,
  type ResumeWorkersRequest,
} from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import {
  CancelTaskResponseSchema,
  DeleteTasksResponseSchema,
  GetTaskResponseSchema,
  ListTasksResponseSchema,
  RequeueTasksResponseSchema,
  OnAbandon,
  OpenTaskStreamResponseSchema,
  RunTaskRequestSchema,
  RunTaskResponseSchema,
  SubmitTaskResponseSchema,
  SubmitTasksResponseSchema,
  TaskService,
  WatchTaskResponseSchema,
  type CancelTaskRequest,
  type GetTaskRequest,
  type ListTasksRequest,
  type OpenTaskStreamRequest,
  type OpenTaskStreamResponse,
  type RunTaskRequest,
  type SubmitTaskRequest,
  type TaskChangeResultSchema,
  type WatchTaskRequest,
  type WatchTaskResponse,
} from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { serviceDefinition, type GrpcHandlers } from '../../../proto/service-definition.js';
import { endPrograms, startProgram, type Program, type StartOptions } from '../../support/programs.js';

type TaskStreamCall = ServerDuplexStream<OpenTaskStreamRequest, OpenTaskStreamResponse>;
type WatchCall = ServerWritableStream<WatchTaskRequest, WatchTaskResponse>;
type Init<M extends DescMessage> = MessageInitShape<M>;

type RunAnswer = Init<typeof RunTaskResponseSchema>;

/** Canned answers, of which each test sets what it needs. A thrown FleetError becomes the call's status. */
export interface Answers {
  submit: (request: SubmitTaskRequest) => MessageInitShape<typeof SubmitTaskResponseSchema>;
  /** Whether RunTask sends its initial metadata, which says that the task is accepted. Default: yes. */
  accepts: boolean;
  /** Undefined: never. */
  run: (request: RunTaskRequest) => RunAnswer | Promise<RunAnswer> | undefined;
  get: (request: GetTaskRequest) => MessageInitShape<typeof GetTaskResponseSchema>;
  list: (request: ListTasksRequest) => Init<typeof ListTasksResponseSchema>;
  /** The answers, in order; then the stream ends, unless there are none. */
  watch: (request: WatchTaskRequest, call: WatchCall) => Init<typeof WatchTaskResponseSchema>[];
  cancel: (request: CancelTaskRequest) => Init<typeof CancelTaskResponseSchema>;
  /** For each id of RequeueTasks and of DeleteTasks: refused, or not. */
  change: (taskId: string) => FleetError | undefined;
  drain: (request: DrainWorkersRequest) => Init<typeof DrainWorkersResponseSchema>;
  resume: (request: ResumeWorkersRequest) => Init<typeof ResumeWorkersResponseSchema>;
  queues: (request: ListQueuesRequest) => Init<typeof ListQueuesResponseSchema>;
  workers: (request: ListWorkersRequest) => MessageInitShape<typeof ListWorkersResponseSchema>;
  stats: () => MessageInitShape<typeof GetFleetStatsResponseSchema>;
}

/** A server of both services on a free port. */
export class CannedCoordinator {
  readonly server = new Server();
  readonly submitted: SubmitTaskRequest[] = [];
  readonly run: RunTaskRequest[] = [];
  /** Ids of each RequeueTasks. */
  readonly requeued: string[][] = [];
  /** Ids of each DeleteTasks. */
  readonly deleted: string[][] = [];
  /** gRPC deadlines of the RunTask calls. */
  readonly deadlines: (Date | number)[] = [];
  address = '';

  static async start(answers: Partial<Answers> = {}, at = '127.0.0.1:0'): Promise<CannedCoordinator> {
    const coordinator = new CannedCoordinator();
    coordinator.server.addService(serviceDefinition(TaskService), coordinator.taskService(answers));
    coordinator.server.addService(serviceDefinition(FleetService), fleetService(answers));
    const port = await new Promise<number>((resolve, reject) => {
      coordinator.server.bindAsync(at, ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    coordinator.address = at.startsWith('unix:') ? at : `127.0.0.1:${port}`;
    running.push(coordinator);
    return coordinator;
  }

  /** A task of a stream is answered as if it had come by RunTask. */
  async #runOnStream(task: SubmitTaskRequest | undefined, answers: Partial<Answers>, call: TaskStreamCall) {
    const taskId = task?.taskId ?? '';
    const request = create(RunTaskRequestSchema, { ...(task && { task }), onAbandon: OnAbandon.KEEP });
    const frame = (init: Init<typeof OpenTaskStreamResponseSchema>) =>
      void call.write(create(OpenTaskStreamResponseSchema, init));
    this.run.push(request);
    try {
      const answered = answers.run?.(request);
      frame({ submitAcks: [{ taskId, state: TaskState.QUEUED }] });
      const ended = (await answered)?.task;
      if (ended === undefined) return;
      const { state = TaskState.UNSPECIFIED, result } = ended;
      const end = state === TaskState.SUCCEEDED ? { ...(result && { result }) } : { task: ended };
      frame({ results: [{ taskId, state, ...end }] });
    } catch (error) {
      frame({ submitAcks: [{ taskId, error: FleetError.from(error).toStatusMessage() }] });
    }
  }

  private taskService(answers: Partial<Answers>): Partial<GrpcHandlers<typeof TaskService>> {
    return {
      submitTask: (call, callback) => {
        this.submitted.push(call.request);
        answer(callback, () =>
          create(SubmitTaskResponseSchema, answers.submit?.(call.request) ?? { taskId: call.request.taskId }),
        );
      },
      submitTasks: (_call, callback) => answer(callback, () => create(SubmitTasksResponseSchema)),
      runTask: (call, callback) => {
        this.run.push(call.request);
        this.deadlines.push(call.getDeadline());
        const metadata = new Metadata();
        metadata.set('remuda-task-id', call.request.task?.taskId ?? '');
        if (answers.accepts !== false) call.sendMetadata(metadata);
        void answerLater(callback, async () => {
          const response = await answers.run?.(call.request);
          return response === undefined ? undefined : create(RunTaskResponseSchema, response);
        });
      },
      openTaskStream: (call) => {
        call.on('data', ({ submits }: OpenTaskStreamRequest) => {
          for (const { task } of submits) void this.#runOnStream(task, answers, call);
        });
        call.on('end', () => call.end());
      },
      getTask: (call, callback) =>
        answer(callback, () => create(GetTaskResponseSchema, answers.get?.(call.request) ?? {})),
      listTasks: (call, callback) =>
        answer(callback, () => create(ListTasksResponseSchema, answers.list?.(call.request) ?? {})),
      watchTask: (call) => {
        try {
          const given = answers.watch?.(call.request, call) ?? [];
          for (const response of given) call.write(create(WatchTaskResponseSchema, response));
          if (given.length > 0) call.end();
        } catch (error) {
          call.emit('error', FleetError.from(error).toStatus());
        }
      },
      cancelTask: (call, callback) =>
        answer(callback, () => create(CancelTaskResponseSchema, answers.cancel?.(call.request) ?? {})),
      requeueTasks: ({ request: { taskIds } }, callback) => {
        this.requeued.push(taskIds);
        answer(callback, () => create(RequeueTasksResponseSchema, { results: changed(taskIds, answers) }));
      },
      deleteTasks: ({ request: { taskIds } }, callback) => {
        this.deleted.push(taskIds);
        answer(callback, () => create(DeleteTasksResponseSchema, { results: changed(taskIds, answers) }));
      },
    };
  }
}

function changed(taskIds: readonly string[], { change }: Partial<Answers>): Init<typeof TaskChangeResultSchema>[] {
  return taskIds.map((taskId) => {
    const error = change?.(taskId)?.toStatusMessage();
    return error === undefined ? { taskId } : { taskId, error };
  });
}

function fleetService(answers: Partial<Answers>): Partial<GrpcHandlers<typeof FleetService>> {
  return {
    listWorkers: (call, callback) =>
      answer(callback, () => create(ListWorkersResponseSchema, answers.workers?.(call.request) ?? {})),
    getWorker: (_call, callback) => answer(callback, () => create(GetWorkerResponseSchema)),
    listQueues: (call, callback) =>
      answer(callback, () => create(ListQueuesResponseSchema, answers.queues?.(call.request) ?? {})),
    drainWorkers: (call, callback) =>
      answer(callback, () => create(DrainWorkersResponseSchema, answers.drain?.(call.request) ?? {})),
    resumeWorkers: (call, callback) =>
      answer(callback, () => create(ResumeWorkersResponseSchema, answers.resume?.(call.request) ?? {})),
    getFleetStats: (_call, callback) =>
      answer(callback, () => create(GetFleetStatsResponseSchema, answers.stats?.() ?? {})),
  };
}

type Callback<T> = (error: ReturnType<FleetError['toStatus']> | null, value?: T) => void;

function answer<T>(callback: Callback<T>, give: () => T | undefined): void {
  try {
    const value = give();
    if (value !== undefined) callback(null, value);
  } catch (error) {
    callback(FleetError.from(error).toStatus());
  }
}

async function answerLater<T>(callback: Callback<T>, give: () => Promise<T | undefined>): Promise<void> {
  try {
    const value = await give();
    if (value !== undefined) callback(null, value);
  } catch (error) {
    callback(FleetError.from(error).toStatus());
  }
}

const running: CannedCoordinator[] = [];
afterEach(async () => {
  await endPrograms();
  for (const { server } of running.splice(0)) server.forceShutdown();
});

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `remuda`; with no address, the one of the variable or the default. */
export function startRemuda(address: string | undefined, args: readonly string[], options: StartOptions = {}) {
  return startProgram('remuda', args, { ...options, env: { ...options.env, REMUDA_ADDRESS: address ?? '' } });
}

/** Runs `remuda` to its end. */
export async function remuda(address: string | undefined, args: readonly string[], stdin?: string): Promise<Outcome> {
  const program = startRemuda(address, args, stdin === undefined ? {} : { stdin: 'pipe' });
  program.child.stdin?.end(stdin);
  const { code } = await program.exit();
  return { code, stdout: program.stdout, stderr: program.stderr };
}

/** Waits until a program prints, and reads no more of it than the first piece. */
export async function stall({ child }: Program): Promise<void> {
  await once(child.stdout ?? child, 'data', { signal: AbortSignal.timeout(20_000) });
  child.stdout?.pause();
}

/** The exit status of a program whose output nobody reads; read it is afterwards. */
export async function ended({ child, name }: Program): Promise<number | null> {
  try {
    if (child.exitCode === null) await once(child, 'exit', { signal: AbortSignal.timeout(20_000) });
    return child.exitCode;
  } catch (error) {
    throw new Error(`${name} did not end while nobody read its output`, { cause: error });
  } finally {
    child.stdout?.resume();
  }
}

/** JSON as the body of a payload. */
export function jsonPayload(text: string) {
  return { contentType: 'application/json', body: { case: 'data' as const, value: new TextEncoder().encode(text) } };
}

/** Content of a payload that was sent. */
export function sentText(payload: { body: { case: string | undefined; value?: unknown } } | undefined): string {
  return new TextDecoder().decode(payload?.body.value as Uint8Array);
}

/** Waits until a stream has printed a text. */
export async function printed(stream: NodeJS.ReadableStream | null, text: string): Promise<void> {
  let seen = '';
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no "${text}" in: ${seen}`)), 20_000);
    stream?.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (!seen.includes(text)) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

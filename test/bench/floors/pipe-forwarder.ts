/**
 * The pipe: client -> forwarder -> worker -> back, three processes, two bidirectional streams, whatever is at hand in one frame
 * per turn of the loop. What a coordinator would do if it had nothing to decide; with a database, if it had nothing to decide
 * but kept every task and result.
 *
 * The floors (this folder) are the yardstick that Remuda is held against. They change only in a commit of their own, whose
 * message shows the figures before and after; otherwise a figure from last month says nothing about today's. They use no code
 * of the product but the generated messages.
 */
import { create } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import {
  OpenTaskStreamResponseSchema,
  StreamResultSchema,
  TaskService,
  type OpenTaskStreamRequest,
  type OpenTaskStreamResponse,
  type SubmitTaskRequest,
} from '../../../proto/gen/remuda/v1/task_service_pb.js';
import {
  AssignmentSchema,
  AttemptRefSchema,
  ConnectResponseSchema,
  WorkerService,
  type Assignment,
  type ConnectRequest,
  type ConnectResponse,
  type Report,
} from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { servePeer } from '../serve-peer.js';
import { PipeDatabase, type Arrival } from './pipe-database.js';
import { frames, TurnBatch } from './turn-batch.js';
import { listen, streamDefinition } from './wire.js';

let database: PipeDatabase | undefined;
let client: ServerDuplexStream<OpenTaskStreamRequest, OpenTaskStreamResponse> | undefined;
let worker: ServerDuplexStream<ConnectRequest, ConnectResponse> | undefined;
let leases = 0;

const arrivals = new TurnBatch<Arrival>((batch) => {
  database?.commit(batch);
  forward(batch);
});

function forward(batch: readonly Arrival[]): void {
  const assignments = batch.flatMap((arrival) => (arrival.kind === 'submit' ? [assignmentOf(arrival.task)] : []));
  const results = batch.flatMap((arrival) => (arrival.kind === 'report' ? [resultOf(arrival.report)] : []));
  for (const frame of frames(assignments)) worker?.write(create(ConnectResponseSchema, { assignments: frame }));
  for (const frame of frames(results)) client?.write(create(OpenTaskStreamResponseSchema, { results: frame }));
}

function assignmentOf({ taskId, type, payload }: SubmitTaskRequest): Assignment {
  leases += 1;
  const leaseId = leases.toString(16).padStart(16, '0');
  const attempt = create(AttemptRefSchema, { taskId, attempt: 1, leaseId });
  return create(AssignmentSchema, { attempt, type, timeoutMs: 300_000, ...(payload === undefined ? {} : { payload }) });
}

function resultOf({ attempt, result }: Report) {
  const ended = { taskId: attempt?.taskId ?? '', state: TaskState.SUCCEEDED };
  return create(StreamResultSchema, result === undefined ? ended : { ...ended, result });
}

function openTaskStream(call: ServerDuplexStream<OpenTaskStreamRequest, OpenTaskStreamResponse>): void {
  client = call;
  call.sendMetadata(call.metadata);
  call.on('data', ({ submits }: OpenTaskStreamRequest) => {
    for (const { task } of submits) if (task !== undefined) arrivals.push({ kind: 'submit', task });
  });
}

function connectWorker(call: ServerDuplexStream<ConnectRequest, ConnectResponse>): void {
  worker = call;
  call.sendMetadata(call.metadata);
  call.on('data', ({ reports }: ConnectRequest) => {
    for (const report of reports) arrivals.push({ kind: 'report', report });
  });
}

/** @param path Of a database that does not exist yet; null: nothing is kept */
function start({ path }: { path: string | null }): Promise<string> {
  if (path !== null) database = new PipeDatabase(path);
  return listen(
    {
      openTaskStream: streamDefinition(TaskService.method.openTaskStream),
      connect: streamDefinition(WorkerService.method.connect),
    },
    { openTaskStream, connect: connectWorker },
  );
}

servePeer({ listen: start });

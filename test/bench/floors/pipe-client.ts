/**
 * The first of the pipe's three processes: submits tasks and waits for their results. Part of the yardstick; see
 * pipe-forwarder.ts for when it may change.
 */
import { create } from '@bufbuild/protobuf';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { PayloadSchema } from '../../../proto/gen/remuda/v1/payload_pb.js';
import {
  OpenTaskStreamRequestSchema,
  StreamSubmitSchema,
  SubmitTaskRequestSchema,
  TaskService,
  type OpenTaskStreamRequest,
  type OpenTaskStreamResponse,
  type StreamSubmit,
} from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { keepInFlight, type Operation, type Sample, type Terms } from '../in-flight.js';
import { PAYLOAD } from '../payload.js';
import { servePeer } from '../serve-peer.js';
import { frames, TurnBatch } from './turn-batch.js';
import { connect, openStream, streamDefinition } from './wire.js';

const waiting = new Map<string, (error?: Error) => void>();
let stream: ClientDuplexStream<OpenTaskStreamRequest, OpenTaskStreamResponse>;
let made = 0;

/** As long as a UUID, and rising as those of version 7 do. */
function newTaskId(): string {
  made += 1;
  return `01990000-0000-7000-8000-${made.toString(16).padStart(12, '0')}`;
}

const submits = new TurnBatch<StreamSubmit>((elements) => {
  for (const frame of frames(elements)) stream.write(create(OpenTaskStreamRequestSchema, { submits: frame }));
});

async function open(address: string): Promise<void> {
  stream = await openStream(await connect(address), streamDefinition(TaskService.method.openTaskStream));
  stream.on('data', ({ results }: OpenTaskStreamResponse) => {
    for (const { taskId } of results) {
      const done = waiting.get(taskId);
      waiting.delete(taskId);
      done?.();
    }
  });
}

const run: Operation = (done) => {
  const taskId = newTaskId();
  waiting.set(taskId, done);
  const payload = create(PayloadSchema, { body: { case: 'data', value: PAYLOAD } });
  const task = create(SubmitTaskRequestSchema, { taskId, type: 'echo', payload });
  submits.push(create(StreamSubmitSchema, { task, await: true }));
};

function measure({ inFlight, terms }: { inFlight: number; terms: Terms }): Promise<Sample> {
  return keepInFlight(inFlight, terms, run);
}

servePeer({ open, measure });

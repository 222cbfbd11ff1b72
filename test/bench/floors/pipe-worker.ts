/**
 * The last of the pipe's three processes: gives back each payload as the result. Part of the yardstick; see pipe-forwarder.ts
 * for when it may change.
 */
import { create } from '@bufbuild/protobuf';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import {
  ConnectRequestSchema,
  ReportSchema,
  WorkerService,
  type ConnectResponse,
  type Report,
} from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { servePeer } from '../serve-peer.js';
import { frames, TurnBatch } from './turn-batch.js';
import { connect, openStream, streamDefinition } from './wire.js';

async function open(address: string): Promise<void> {
  const stream = await openStream(await connect(address), streamDefinition(WorkerService.method.connect));
  const reports = new TurnBatch<Report>((elements) => {
    for (const frame of frames(elements)) stream.write(create(ConnectRequestSchema, { reports: frame }));
  });
  stream.on('data', ({ assignments }: ConnectResponse) => {
    for (const { attempt, payload } of assignments) {
      const result = payload === undefined ? {} : { result: payload };
      const known = attempt === undefined ? {} : { attempt };
      reports.push(create(ReportSchema, { ...known, ...result, outcome: AttemptOutcome.SUCCEEDED }));
    }
  });
}

servePeer({ open });

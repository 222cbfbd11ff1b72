import { create } from '@bufbuild/protobuf';
import {
  HelloSchema,
  type AttemptRef,
  type HeldAttempt,
  type Hello,
} from '../proto/gen/remuda/v1/worker_service_pb.js';
import type { SessionOptions } from './session-options.js';

/** What a worker holds and owes when it says hello. */
export interface HelloSnapshot {
  readonly running: HeldAttempt[];
  readonly unsentReports: AttemptRef[];
}

/** The first frame of a stream: who the worker is, what it can do, and what it holds. */
export function newHello(
  options: SessionOptions,
  sessionNumber: number,
  { running, unsentReports }: HelloSnapshot,
): Hello {
  const { workerId, incarnation, replaces, version, host, pid, labels, slots, prefetch } = options;
  return create(HelloSchema, {
    workerId,
    incarnation,
    sessionNumber,
    replaces: [...replaces],
    version,
    host,
    pid,
    taskTypes: options.taskTypes.map((offered) => ({ type: offered.type, slots: offered.slots })),
    labels: { ...labels },
    slots,
    prefetch,
    running,
    unsentReports,
  });
}

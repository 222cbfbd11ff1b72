import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { isFleetError, type FleetError } from '../../../proto/fleet-error.js';
import type { HelloSchema } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  type ConnectResponse,
} from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import type { Input } from '../../../coordinator/core/inputs.js';
import type { SessionOutput } from '../../../coordinator/core/outputs.js';
import type { AttemptRef } from '../../../coordinator/core/task.js';
import { Session } from '../../../coordinator/session/session.js';

export type FrameInit = MessageInitShape<typeof ConnectRequestSchema>;

export const SESSION_ID = 7;
export const TERMS = {
  heartbeatIntervalMs: 5_000,
  leaseMs: 15_000,
  stuckGraceMs: 10_000,
  maxPayloadBytes: 1_024,
  version: '1.2.3',
};

export const HELLO: MessageInitShape<typeof HelloSchema> & { incarnation: string } = {
  workerId: 'w1',
  incarnation: 'a'.repeat(32),
  sessionNumber: 1,
  taskTypes: [{ type: 'echo', slots: 0 }],
  slots: 2,
};

/** The n-th attempt's fence. */
export function ref(n: number): AttemptRef {
  return { taskId: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`, attempt: 1, leaseId: 'f'.repeat(16) };
}

export function assign(n: number, payloadBytes = 2): SessionOutput {
  const payload = { contentType: 'application/json', data: new Uint8Array(payloadBytes).fill(0x31) };
  return {
    kind: 'assign',
    ref: ref(n),
    type: 'echo',
    timeoutMs: 1_000,
    failureCount: 0,
    body: { payload, metadata: { key: 'value' }, traceparent: '' },
  };
}

export const WELCOME: SessionOutput = { kind: 'welcome', keep: [], cancel: [], wantedReports: [] };

/** A session, driven by hand. */
export class Driver {
  readonly session: Session;
  #seq = 0n;

  constructor(terms: Partial<typeof TERMS> = {}) {
    this.session = new Session(SESSION_ID, { ...TERMS, ...terms }, 0);
  }

  /** A frame with the next number. */
  say(nowMs: number, frame: FrameInit, bytes = 10): void {
    this.#seq += 1n;
    this.raw(nowMs, { seq: this.#seq, ...frame }, bytes);
  }

  raw(nowMs: number, frame: FrameInit, bytes = 10): void {
    this.session.frame(nowMs, create(ConnectRequestSchema, frame), bytes);
  }

  /** Says hello, is welcomed, and acknowledges that. */
  open(nowMs = 0): void {
    this.say(nowMs, { hello: HELLO });
    this.session.deliver([WELCOME]);
    this.frames(nowMs);
    this.raw(nowMs, { ack: 1n });
    this.inputs();
  }

  inputs(): Input[] {
    return this.session.takeInputs().map(({ input }) => input);
  }

  frames(nowMs: number): ConnectResponse[] {
    const frames: ConnectResponse[] = [];
    for (let bytes = this.session.takeFrame(nowMs); bytes !== undefined; bytes = this.session.takeFrame(nowMs)) {
      frames.push(fromBinary(ConnectResponseSchema, bytes));
    }
    return frames;
  }

  /** Why it has ended; undefined: it has not. */
  get error(): FleetError | null | undefined {
    return this.session.state.t === 'Ended' ? this.session.state.error : undefined;
  }
}

/** What `run` throws. */
export function refusal(run: () => unknown): FleetError {
  try {
    run();
  } catch (error) {
    if (isFleetError(error)) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

import { create } from '@bufbuild/protobuf';
import { durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { status as Code, type ServerUnaryCall } from '@grpc/grpc-js';
import { WORKER_PATTERN_PATTERN } from '../../proto/bounds.js';
import { FleetError, quoted, type FieldViolation } from '../../proto/fleet-error.js';
import {
  DrainedWorkerSchema,
  DrainWorkersResponseSchema,
  HeldDrainSchema,
  ResumeWorkersResponseSchema,
  type DrainWorkersRequest,
  type DrainWorkersResponse,
  type HeldDrain,
  type ResumeWorkersRequest,
  type ResumeWorkersResponse,
} from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import type { DrainView } from '../core/outputs.js';
import type { Engine, EngineReply } from '../engine.js';
import type { Runtime } from '../runtime.js';
import { askOnce, INPUT_BYTES, requireOpenDoor, stoppedFirst, unexpectedReply, type AskedEngine } from './asking.js';

export type DrainingEngine = AskedEngine & Pick<Engine, 'append' | 'subscribe'>;

const MAX_PATTERNS = 100;
const MAX_WAIT_MS = 3_600_000;
const MAX_WORKERS_SHOWN = 1_000;
/** Calls that wait until workers are idle, at a time. */
const MAX_WAITING = 256;

/** DrainWorkers and ResumeWorkers. */
export class Drains {
  #waiting = 0;

  constructor(
    private readonly engine: DrainingEngine,
    private readonly runtime: Runtime,
  ) {}

  /**
   * Takes workers out of work, and may wait until they are idle.
   *
   * @throws FleetError INVALID_ARGUMENT / INVALID_WORKER_ID; RESOURCE_EXHAUSTED / TOO_MANY_DRAINS or TOO_MANY_CALLS; UNAVAILABLE
   */
  async drain(
    request: DrainWorkersRequest,
    call: ServerUnaryCall<DrainWorkersRequest, DrainWorkersResponse>,
  ): Promise<DrainWorkersResponse> {
    requireOpenDoor(this.engine);
    const waitMs = request.waitTimeout === undefined ? 0 : durationMs(request.waitTimeout);
    const faults = patternFaults(request.workerPatterns);
    if (waitMs < 0 || waitMs > MAX_WAIT_MS) {
      faults.push({ field: 'wait_timeout', description: `is ${waitMs} ms; it must be 0 to ${MAX_WAIT_MS} ms` });
    }
    if (faults.length > 0) throw FleetError.invalid('INVALID_WORKER_ID', faults);
    const patterns = [...request.workerPatterns];
    const reply =
      waitMs === 0
        ? await askOnce(this.engine, (token) => ({ kind: 'drain', token, patterns, whenIdle: false }))
        : await this.#whenIdle(patterns, waitMs, call);
    if (reply.kind === 'tooManyDrains') {
      const message = `${reply.limit} drains are held, the bound; give up some with ResumeWorkers, or use a pattern such as "host-1/*"`;
      throw new FleetError(Code.RESOURCE_EXHAUSTED, 'TOO_MANY_DRAINS', message, {
        retryDelayMs: 60_000,
        quota: { subject: 'coordinator', description: `held drains: at most ${reply.limit}` },
      });
    }
    if (reply.kind !== 'drained') throw unexpectedReply(reply);
    return create(DrainWorkersResponseSchema, {
      workers: reply.workers
        .slice(0, MAX_WORKERS_SHOWN)
        .map(({ workerId, attempts }) => create(DrainedWorkerSchema, { workerId, attemptCount: attempts })),
      workerCount: reply.workers.length,
      busyWorkerCount: reply.workers.filter(({ attempts }) => attempts > 0).length,
    });
  }

  /**
   * Gives up drains.
   *
   * @throws FleetError INVALID_ARGUMENT / INVALID_WORKER_ID; NOT_FOUND / DRAIN_NOT_FOUND; UNAVAILABLE
   */
  async resume({ workerPatterns }: ResumeWorkersRequest): Promise<ResumeWorkersResponse> {
    requireOpenDoor(this.engine);
    const faults = patternFaults(workerPatterns);
    if (faults.length > 0) throw FleetError.invalid('INVALID_WORKER_ID', faults);
    const patterns = [...workerPatterns];
    const reply = await askOnce(this.engine, (token) => ({ kind: 'resume', token, patterns }));
    if (reply.kind === 'drainNotFound') throw drainNotFound(reply.pattern, reply.held);
    if (reply.kind !== 'resumed') throw unexpectedReply(reply);
    return create(ResumeWorkersResponseSchema, {
      drains: reply.drains.map(drainView),
      resumedWorkerCount: reply.resumedWorkers,
    });
  }

  /** The answer comes when the workers are idle, when the time is over, or when nobody waits for it any more. */
  #whenIdle(
    patterns: readonly string[],
    waitMs: number,
    call: ServerUnaryCall<DrainWorkersRequest, DrainWorkersResponse>,
  ): Promise<EngineReply> {
    if (this.#waiting >= MAX_WAITING) {
      const message = `${MAX_WAITING} calls wait for idle workers already; drain without waiting, and look with ListWorkers`;
      throw new FleetError(Code.RESOURCE_EXHAUSTED, 'TOO_MANY_CALLS', message, { retryDelayMs: 1_000 });
    }
    this.#waiting += 1;
    return new Promise((resolve, reject) => {
      const { engine } = this;
      const answerNow = (): void => {
        engine.append({ kind: 'stopWaiting', token }, INPUT_BYTES, 'client');
      };
      const token = engine.subscribe((reply) => {
        forgetTimer();
        call.removeListener('cancelled', answerNow);
        engine.forget(token);
        this.#waiting -= 1;
        if (reply.kind === 'stopped') reject(stoppedFirst());
        else resolve(reply);
      });
      const forgetTimer = this.runtime.after(waitMs, answerNow);
      call.once('cancelled', answerNow);
      engine.append({ kind: 'drain', token, patterns, whenIdle: true }, INPUT_BYTES, 'client');
    });
  }
}

/** A drain that is held, as the contract shows it. */
export function drainView({ pattern, createWallMs }: DrainView): HeldDrain {
  return create(HeldDrainSchema, { workerPattern: pattern, createTime: timestampFromMs(createWallMs) });
}

function patternFaults(patterns: readonly string[]): FieldViolation[] {
  const faults: FieldViolation[] = [];
  if (patterns.length === 0 || patterns.length > MAX_PATTERNS) {
    const description = `has ${patterns.length} entries; it must have 1 to ${MAX_PATTERNS}`;
    faults.push({ field: 'worker_patterns', description });
  }
  for (const [index, pattern] of patterns.slice(0, MAX_PATTERNS).entries()) {
    if (WORKER_PATTERN_PATTERN.test(pattern)) continue;
    const description = `is ${quoted(pattern)}; it must be a worker_id, in which * may stand for any characters, such as "host-1/*"`;
    faults.push({ field: `worker_patterns[${index}]`, description });
  }
  return faults;
}

function drainNotFound(pattern: string, held: readonly string[]): FleetError {
  const known = held.length === 0 ? 'none is held' : `held are ${held.map(quoted).join(', ')}`;
  const message = `no drain ${quoted(pattern)} is held (${known}); resume names drains as they were asked for, and * gives up all`;
  return new FleetError(Code.NOT_FOUND, 'DRAIN_NOT_FOUND', message, {
    metadata: { worker_pattern: pattern, held: held.join(' ') },
  });
}

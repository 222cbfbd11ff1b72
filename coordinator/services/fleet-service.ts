import { create } from '@bufbuild/protobuf';
import { status as Code, type Server } from '@grpc/grpc-js';
import { TASK_TYPE_PATTERN, WORKER_ID_PATTERN } from '../../proto/bounds.js';
import { FleetError, quoted } from '../../proto/fleet-error.js';
import {
  FleetService,
  GetWorkerResponseSchema,
  ListQueuesResponseSchema,
  ListWorkersResponseSchema,
  type GetFleetStatsResponse,
  type GetWorkerRequest,
  type GetWorkerResponse,
  type ListQueuesRequest,
  type ListQueuesResponse,
  type ListWorkersRequest,
  type ListWorkersResponse,
} from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { serviceDefinition, type GrpcHandlers } from '../../proto/service-definition.js';
import type { Engine } from '../engine.js';
import type { Runtime } from '../runtime.js';
import { askOnce, unexpectedReply } from './asking.js';
import { Drains, type DrainingEngine } from './drains.js';
import { queueView, statsView, workerView } from './fleet-view.js';
import { pageToken, parsePage } from './pages.js';
import { unary } from './unary.js';

export interface FleetServiceOptions {
  readonly engine: DrainingEngine & Pick<Engine, 'storeCounts' | 'disk'>;
  readonly runtime: Runtime;
  /** The coordinator's version. */
  readonly version: string;
  /** When it started, on the wall clock. */
  readonly startWallMs: number;
  /** Told of errors that should not happen. */
  readonly onBug: (error: unknown) => void;
}

/** FleetService: what operators see. */
export class FleetServiceImplementation {
  readonly #options: FleetServiceOptions;
  readonly #drains: Drains;

  constructor(options: FleetServiceOptions) {
    this.#options = options;
    this.#drains = new Drains(options.engine, options.runtime);
  }

  addToServer(server: Pick<Server, 'addService'>): void {
    const { onBug } = this.#options;
    const handlers: GrpcHandlers<typeof FleetService> = {
      listWorkers: unary((request) => this.#listWorkers(request), onBug),
      getWorker: unary((request) => this.#getWorker(request), onBug),
      drainWorkers: unary((request, call) => this.#drains.drain(request, call), onBug),
      resumeWorkers: unary((request) => this.#drains.resume(request), onBug),
      listQueues: unary((request) => this.#listQueues(request), onBug),
      getFleetStats: unary(() => this.#getFleetStats(), onBug),
    };
    server.addService(serviceDefinition(FleetService), { ...handlers });
  }

  async #listWorkers(request: ListWorkersRequest): Promise<ListWorkersResponse> {
    const { after: afterWorkerId, limit } = parsePage(request, (after) => WORKER_ID_PATTERN.test(after));
    const reply = await askOnce(this.#options.engine, (token) => ({
      kind: 'listWorkers',
      token,
      afterWorkerId,
      limit,
    }));
    if (reply.kind !== 'workers') throw unexpectedReply(reply);
    const last = reply.workers.at(-1);
    return create(ListWorkersResponseSchema, {
      workers: reply.workers.map(workerView),
      nextPageToken: reply.more && last !== undefined ? pageToken(last.workerId) : '',
    });
  }

  async #getWorker({ workerId }: GetWorkerRequest): Promise<GetWorkerResponse> {
    if (!WORKER_ID_PATTERN.test(workerId)) {
      const description = `is ${quoted(workerId)}; it must be 1 to 127 of \`[A-Za-z0-9._:/@-]\`, a letter or digit first`;
      throw FleetError.invalid('INVALID_WORKER_ID', [{ field: 'worker_id', description }]);
    }
    const reply = await askOnce(this.#options.engine, (token) => ({ kind: 'getWorker', token, workerId }));
    if (reply.kind === 'worker') return create(GetWorkerResponseSchema, { worker: workerView(reply.worker) });
    if (reply.kind !== 'workerNotFound') throw unexpectedReply(reply);
    const message = `no worker ${quoted(workerId)} is connected or holds a lease; ListWorkers shows those that are`;
    throw new FleetError(Code.NOT_FOUND, 'WORKER_NOT_FOUND', message, { metadata: { worker_id: workerId } });
  }

  async #listQueues(request: ListQueuesRequest): Promise<ListQueuesResponse> {
    const { after: afterType, limit } = parsePage(request, (after) => TASK_TYPE_PATTERN.test(after));
    const reply = await askOnce(this.#options.engine, (token) => ({ kind: 'listQueues', token, afterType, limit }));
    if (reply.kind !== 'queues') throw unexpectedReply(reply);
    const last = reply.queues.at(-1);
    return create(ListQueuesResponseSchema, {
      queues: reply.queues.map(queueView),
      nextPageToken: reply.more && last !== undefined ? pageToken(last.type) : '',
    });
  }

  async #getFleetStats(): Promise<GetFleetStatsResponse> {
    const { engine, version, startWallMs } = this.#options;
    const reply = await askOnce(engine, (token) => ({ kind: 'fleetStats', token }));
    if (reply.kind !== 'fleetStats') throw unexpectedReply(reply);
    return statsView(reply.stats, { version, startWallMs, store: engine.storeCounts(), disk: engine.disk });
  }
}

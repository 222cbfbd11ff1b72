import { create } from '@bufbuild/protobuf';
import { status as Code, type Server } from '@grpc/grpc-js';
import { WORKER_ID_PATTERN } from '../../proto/bounds.js';
import { FleetError, quoted, type FieldViolation } from '../../proto/fleet-error.js';
import {
  FleetService,
  GetWorkerResponseSchema,
  ListWorkersResponseSchema,
  type GetFleetStatsResponse,
  type GetWorkerRequest,
  type GetWorkerResponse,
  type ListWorkersRequest,
  type ListWorkersResponse,
} from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { serviceDefinition, type GrpcHandlers } from '../../proto/service-definition.js';
import { askOnce, unexpectedReply, type AskedEngine } from './asking.js';
import { statsView, workerView } from './fleet-view.js';
import { unary } from './unary.js';

export interface FleetServiceOptions {
  readonly engine: AskedEngine;
  /** The coordinator's version. */
  readonly version: string;
  /** When it started, on the wall clock. */
  readonly startWallMs: number;
  /** Told of errors that should not happen. */
  readonly onBug: (error: unknown) => void;
}

const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1_000;

/** FleetService: what operators see. */
export class FleetServiceImplementation {
  readonly #options: FleetServiceOptions;

  constructor(options: FleetServiceOptions) {
    this.#options = options;
  }

  addToServer(server: Pick<Server, 'addService'>): void {
    const { onBug } = this.#options;
    const handlers: Partial<GrpcHandlers<typeof FleetService>> = {
      listWorkers: unary((request) => this.#listWorkers(request), onBug),
      getWorker: unary((request) => this.#getWorker(request), onBug),
      getFleetStats: unary(() => this.#getFleetStats(), onBug),
    };
    server.addService(serviceDefinition(FleetService), { ...handlers });
  }

  async #listWorkers({ pageSize, pageToken }: ListWorkersRequest): Promise<ListWorkersResponse> {
    const faults: FieldViolation[] = [];
    if (pageSize < 0) {
      faults.push({ field: 'page_size', description: `is ${pageSize}; it must be 0 (the default) or more` });
    }
    const afterWorkerId = Buffer.from(pageToken, 'base64url').toString();
    if (pageToken !== '' && (!WORKER_ID_PATTERN.test(afterWorkerId) || tokenOf(afterWorkerId) !== pageToken)) {
      const description = `is ${quoted(pageToken)}, which did not come from here; use next_page_token as it is`;
      faults.push({ field: 'page_token', description });
    }
    if (faults.length > 0) throw FleetError.invalid('INVALID_PAGE', faults);
    const limit = pageSize === 0 ? DEFAULT_PAGE_SIZE : Math.min(pageSize, MAX_PAGE_SIZE);
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
      nextPageToken: reply.more && last !== undefined ? tokenOf(last.workerId) : '',
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

  async #getFleetStats(): Promise<GetFleetStatsResponse> {
    const { engine, version, startWallMs } = this.#options;
    const reply = await askOnce(engine, (token) => ({ kind: 'fleetStats', token }));
    if (reply.kind !== 'fleetStats') throw unexpectedReply(reply);
    return statsView(reply.stats, version, startWallMs);
  }
}

/** Opaque to callers: the last worker_id of a page. */
function tokenOf(workerId: string): string {
  return Buffer.from(workerId).toString('base64url');
}

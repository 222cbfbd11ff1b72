import { create } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../../proto/fleet-error.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import {
  OpenTaskStreamResponseSchema,
  StreamResultSchema,
  StreamSubmitAckSchema,
  type OpenTaskStreamRequest,
  type OpenTaskStreamResponse,
  type StreamResult,
  type StreamSubmitAck,
} from '../../../proto/gen/remuda/v1/task_service_pb.js';

/** What the contract says of a client's stream, in the fewest words: an independent judge of the machine. */
export class ModelCoordinator {
  /** Durable: type by task. */
  readonly tasks = new Map<string, string>();
  readonly ended = new Set<string>();
  /** `task type` of all that was ever durable, and of what was ever refused because the id was another task's. */
  readonly known = new Set<string>();
  readonly taken = new Set<string>();
  /** Tasks that were ever deleted. */
  readonly deleted = new Set<string>();
  /** Of the stream there is. */
  readonly awaited = new Set<string>();
  /** Submits are refused for now. */
  refuses = false;
  /** Tasks of which a submit was refused for now. */
  readonly refused = new Set<string>();
  #acks: StreamSubmitAck[] = [];
  #results: StreamResult[] = [];

  hear({ submits, awaits, detaches, resultAcks }: OpenTaskStreamRequest): void {
    if (submits.length + awaits.length + detaches.length + resultAcks.length > 1_024)
      throw new Error('frame too large');
    for (const { task, await: isAwaited } of submits) {
      const { taskId = '', type = '' } = task ?? {};
      const error = this.#refusal(taskId, type);
      if (error === undefined) {
        this.tasks.set(taskId, type);
        this.known.add(`${taskId} ${type}`);
      }
      const ack = { taskId, state: TaskState.QUEUED };
      this.#acks.push(
        create(StreamSubmitAckSchema, error === undefined ? ack : { taskId, error: error.toStatusMessage() }),
      );
      if (error === undefined && isAwaited) this.#await(taskId);
    }
    for (const taskId of awaits) this.#await(taskId);
    for (const taskId of detaches) this.awaited.delete(taskId);
    for (const taskId of resultAcks) {
      if (!this.ended.has(taskId) && !this.deleted.has(taskId)) throw new Error(`${taskId} has not ended`);
    }
  }

  /** What waits for the client, in one frame. */
  speak(): OpenTaskStreamResponse | undefined {
    if (this.#acks.length + this.#results.length === 0) return undefined;
    const frame = create(OpenTaskStreamResponseSchema, { submitAcks: this.#acks, results: this.#results });
    this.#acks = [];
    this.#results = [];
    return frame;
  }

  /** A task has ended. */
  end(taskId: string): void {
    this.ended.add(taskId);
    if (this.awaited.delete(taskId)) this.#tell(taskId);
  }

  /** A task that has ended is deleted. What was still to be read back for the client is not there any more. */
  delete(taskId: string): void {
    if (!this.ended.delete(taskId)) return;
    this.tasks.delete(taskId);
    this.deleted.add(taskId);
    this.#results = this.#results.map((result) => (result.taskId === taskId ? notFound(taskId) : result));
  }

  /** The stream is gone, with all that was on its way. */
  cut(): void {
    this.awaited.clear();
    this.#acks = [];
    this.#results = [];
  }

  #refusal(taskId: string, type: string): FleetError | undefined {
    if (this.refuses) {
      this.refused.add(taskId);
      return new FleetError(Code.UNAVAILABLE, 'STORE_UNAVAILABLE', 'later', { retryDelayMs: 500 });
    }
    const known = this.tasks.get(taskId);
    if (known === undefined || known === type) return undefined;
    this.taken.add(`${taskId} ${type}`);
    return new FleetError(Code.ALREADY_EXISTS, 'TASK_ID_TAKEN', 'taken');
  }

  #await(taskId: string): void {
    if (this.ended.has(taskId)) this.#tell(taskId);
    else if (this.tasks.has(taskId)) this.awaited.add(taskId);
    else this.#results.push(notFound(taskId));
  }

  #tell(taskId: string): void {
    this.#results.push(create(StreamResultSchema, { taskId, state: TaskState.SUCCEEDED }));
  }
}

function notFound(taskId: string): StreamResult {
  const error = new FleetError(Code.NOT_FOUND, 'TASK_NOT_FOUND', 'gone').toStatusMessage();
  return create(StreamResultSchema, { taskId, error });
}

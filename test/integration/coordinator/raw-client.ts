import { EventEmitter, once } from 'node:events';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, credentials, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { FleetError } from '../../../proto/fleet-error.js';
import {
  OpenTaskStreamRequestSchema,
  TaskService,
  type OpenTaskStreamRequest,
  type OpenTaskStreamResponse,
  type StreamResult,
  type StreamSubmitAck,
} from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { methodDefinition } from '../../../proto/service-definition.js';
import { within } from '../../support/programs.js';

const WAIT_MS = 20_000;

/** A client that speaks the frames of OpenTaskStream by hand over a connection of its own. */
export class RawClient implements Disposable {
  readonly frames: OpenTaskStreamResponse[] = [];
  /** How the stream has ended; one that ended well gives code 0. */
  readonly ended: Promise<FleetError>;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<OpenTaskStreamRequest, OpenTaskStreamResponse>;
  readonly #events = new EventEmitter().setMaxListeners(0);
  #over: FleetError | undefined;

  constructor(address: string) {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(TaskService.method.openTaskStream);
    // A connection of its own: grpc-js shares them between clients of one process.
    this.#client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    this.#call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    this.ended = new Promise((resolve) => {
      this.#call.on('error', () => undefined);
      this.#call.on('status', (status: ServiceError) => {
        this.#over = FleetError.fromStatus(status);
        resolve(this.#over);
        this.#events.emit('change');
      });
    });
    this.#call.on('data', (frame: OpenTaskStreamResponse) => {
      this.frames.push(frame);
      this.#events.emit('change');
    });
  }

  say(frame: MessageInitShape<typeof OpenTaskStreamRequestSchema>): void {
    this.#call.write(create(OpenTaskStreamRequestSchema, frame));
  }

  /** Reads nothing until told otherwise: what is sent piles up at the sender. */
  set reading(reading: boolean) {
    if (reading) this.#call.resume();
    else this.#call.pause();
  }

  get acks(): StreamSubmitAck[] {
    return this.frames.flatMap(({ submitAcks }) => submitAcks);
  }

  get results(): StreamResult[] {
    return this.frames.flatMap(({ results }) => results);
  }

  /** The first so many answers to submits. */
  async acked(count = 1): Promise<StreamSubmitAck[]> {
    await this.#until(() => this.acks.length >= count, `${count} answers to submits`);
    return this.acks;
  }

  /** The first so many ends. */
  async told(count = 1): Promise<StreamResult[]> {
    await this.#until(() => this.results.length >= count, `${count} ends`);
    return this.results;
  }

  async end(): Promise<FleetError> {
    return within(this.ended, WAIT_MS, () => `the stream did not end within ${WAIT_MS} ms`);
  }

  /** Ends its half of the stream. */
  close(): void {
    this.#call.end();
  }

  /** Cuts the stream. */
  [Symbol.dispose](): void {
    this.#call.cancel();
    this.#client.close();
  }

  async #until(found: () => boolean, what: string): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!found()) {
        if (this.#over !== undefined) throw new Error(`the stream ended before ${what}: ${this.#over.message}`);
        await once(this.#events, 'change');
      }
    };
    await within(wait(), WAIT_MS, () => `no ${what} within ${WAIT_MS} ms`);
  }
}

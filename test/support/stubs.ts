/** Plain stubs over grpc-js and the generated descriptors, as a service in another program would have them. */
import {
  create,
  fromBinary,
  toBinary,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  Client,
  credentials,
  Metadata,
  type CallOptions,
  type ChannelOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import { methodDefinition } from '../../proto/service-definition.js';
import { FleetService } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';

export interface UnaryCall<O> {
  readonly response: Promise<O>;
  readonly initialMetadata: Promise<Metadata>;
  cancel(): void;
}

/** One connection to a coordinator. */
export class Stubs implements Disposable {
  readonly #client: Client;

  /** grpc-js shares the connections of a process between clients of the same options. */
  constructor(address: string, options: ChannelOptions = {}) {
    this.#client = new Client(address, credentials.createInsecure(), options);
  }

  /** Calls a unary method; rejects with grpc-js's ServiceError. */
  call<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M['input']>,
    options: CallOptions = {},
  ): UnaryCall<MessageShape<M['output']>> {
    const path = `/${method.parent.typeName}/${method.name}`;
    let call: ClientUnaryCall | undefined;
    const response = new Promise<MessageShape<M['output']>>((resolve, reject) => {
      call = this.#client.makeUnaryRequest(
        path,
        (message: MessageShape<M['input']>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes) as MessageShape<M['output']>,
        create(method.input, request) as MessageShape<M['input']>,
        new Metadata(),
        options,
        (error: ServiceError | null, value?: MessageShape<M['output']>) => {
          if (error !== null || value === undefined) reject(error ?? new Error(`${path}: no answer`));
          else resolve(value);
        },
      );
    });
    const initialMetadata = new Promise<Metadata>((resolve) => call?.once('metadata', resolve));
    return { response, initialMetadata, cancel: () => call?.cancel() };
  }

  /** Calls a server-streaming method; what comes is collected. */
  stream<M extends DescMethodServerStreaming>(
    method: M,
    request: MessageInitShape<M['input']>,
  ): ServerStream<MessageShape<M['output']>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const message = create(method.input, request) as MessageShape<M['input']>;
    return new ServerStream(this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message));
  }

  submit(request: MessageInitShape<typeof TaskService.method.submitTask.input>) {
    return this.call(TaskService.method.submitTask, request).response;
  }

  submitMany(tasks: MessageInitShape<typeof TaskService.method.submitTask.input>[]) {
    return this.call(TaskService.method.submitTasks, { tasks }).response;
  }

  run(request: MessageInitShape<typeof TaskService.method.runTask.input>, options: CallOptions = {}) {
    return this.call(TaskService.method.runTask, request, options).response;
  }

  async get(taskId: string) {
    const { task } = await this.call(TaskService.method.getTask, { taskId, payloadView: PayloadView.DATA }).response;
    if (task === undefined) throw new Error(`GetTask ${taskId} answered without a task`);
    return task;
  }

  async workers() {
    return (await this.call(FleetService.method.listWorkers, {}).response).workers;
  }

  stats() {
    return this.call(FleetService.method.getFleetStats, {}).response;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** The answers of a server-streaming call, as they come. */
export class ServerStream<O> {
  readonly messages: O[] = [];
  readonly #over: Promise<ServiceError | undefined>;

  constructor(call: ClientReadableStream<O>) {
    call.on('data', (message: O) => this.messages.push(message));
    this.#over = new Promise((resolve) => {
      call.on('error', (error: unknown) => resolve(error as ServiceError));
      call.on('end', () => resolve(undefined));
    });
  }

  /** Fulfilled when it has ended well. */
  async done(): Promise<void> {
    const error = await this.#over;
    if (error !== undefined) throw error;
  }

  /** What it has ended with. */
  async error(): Promise<ServiceError> {
    const error = await this.#over;
    if (error === undefined) throw new Error('the call ended well');
    return error;
  }
}

/** A payload as a person with grpcurl writes it. */
export function json(value: unknown) {
  return { body: { case: 'data' as const, value: new TextEncoder().encode(JSON.stringify(value)) } };
}

/** A payload or result as JSON. */
export function parsed(payload: { body: { case: string | undefined; value?: unknown } } | undefined): unknown {
  if (payload?.body.case !== 'data') throw new Error(`expected data, got ${payload?.body.case ?? 'nothing'}`);
  return JSON.parse(new TextDecoder().decode(payload.body.value as Uint8Array)) as unknown;
}

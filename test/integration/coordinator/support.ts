import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, credentials, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { FleetError } from '../../../proto/fleet-error.js';
import type { Task } from '../../../proto/gen/remuda/v1/task_pb.js';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import {
  ConnectRequestSchema,
  WorkerService,
  type Assignment,
  type AttemptRef,
  type ConnectRequest,
  type ConnectResponse,
  type HelloSchema,
} from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { methodDefinition } from '../../../proto/service-definition.js';
import { startCoordinator, startProgram, within, type StartOptions } from '../../support/programs.js';
import { json, Stubs } from '../../support/stubs.js';

export type FrameInit = MessageInitShape<typeof ConnectRequestSchema>;
export type HelloInit = Exclude<MessageInitShape<typeof HelloSchema>, { $typeName: string }>;

const WAIT_MS = 20_000;

export function incarnation(): string {
  return randomBytes(16).toString('hex');
}

/** The error of a call, with its details read. */
export async function errorOf(call: Promise<unknown>): Promise<FleetError> {
  try {
    await call;
  } catch (error) {
    return FleetError.fromStatus(error as ServiceError);
  }
  throw new Error('the call was answered, not refused');
}

/** Asks again until the answer fits: for what nobody announces. */
export async function poll<T>(look: () => Promise<T>, fits: (found: T) => boolean, what: string): Promise<T> {
  const end = performance.now() + WAIT_MS;
  for (;;) {
    const found = await look();
    if (fits(found)) return found;
    if (performance.now() > end) throw new Error(`no ${what} within ${WAIT_MS} ms`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** A task once it has ended. */
export function ended(stubs: Stubs, taskId: string): Promise<Task> {
  return poll(
    () => stubs.get(taskId),
    (task) => task.endTime !== undefined,
    `end of ${taskId}`,
  );
}

export interface RawWorkerOptions {
  readonly hello?: HelloInit;
  /** Says nothing by itself, not even hello. */
  readonly mute?: boolean;
  /** Reads, and never acknowledges. */
  readonly deaf?: boolean;
}

/** A worker that speaks the frames by hand over a connection of its own. */
export class RawWorker implements Disposable {
  readonly frames: ConnectResponse[] = [];
  readonly hello: HelloInit;
  /** How the stream has ended; a stream that ended well gives code 0. */
  readonly ended: Promise<FleetError>;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<ConnectRequest, ConnectResponse>;
  readonly #events = new EventEmitter().setMaxListeners(0);
  #deaf: boolean;
  #seq = 0n;
  #heard = 0n;
  #over: FleetError | undefined;

  constructor(address: string, { hello = {}, mute = false, deaf = false }: RawWorkerOptions = {}) {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(WorkerService.method.connect);
    this.hello = {
      workerId: 'raw',
      incarnation: incarnation(),
      sessionNumber: 1,
      taskTypes: [{ type: 'echo' }],
      slots: 1,
      ...hello,
    };
    this.#deaf = deaf;
    // A connection of its own: grpc-js shares them between clients of one process.
    this.#client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    this.#call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    this.ended = new Promise((resolve) => {
      this.#call.on('error', () => undefined);
      this.#call.on('status', (status) => {
        this.#over = FleetError.fromStatus(status);
        resolve(this.#over);
        this.#events.emit('change');
      });
    });
    this.#call.on('data', (frame: ConnectResponse) => this.#hear(frame));
    if (!mute) this.say({ hello: this.hello });
  }

  /** A worker that is welcomed. */
  static async join(address: string, options: RawWorkerOptions = {}): Promise<RawWorker> {
    const worker = new RawWorker(address, options);
    await worker.frame(({ welcome }) => welcome !== undefined, 'welcome');
    return worker;
  }

  get open(): boolean {
    return this.#over === undefined;
  }

  /** A frame with the next number. */
  say(frame: FrameInit): void {
    this.#seq += 1n;
    this.raw({ seq: this.#seq, ack: this.#deaf ? 0n : this.#heard, ...frame });
  }

  raw(frame: FrameInit): void {
    this.#call.write(create(ConnectRequestSchema, frame));
  }

  /** From now on it acknowledges, also what it has heard before. */
  listen(): void {
    this.#deaf = false;
    this.raw({ ack: this.#heard });
  }

  /** Reads nothing until told otherwise: what is sent piles up at the sender. */
  set reading(reading: boolean) {
    if (reading) this.#call.resume();
    else this.#call.pause();
  }

  report(attempt: AttemptRef | undefined, result: unknown): void {
    if (attempt === undefined) throw new Error('no attempt');
    this.say({ reports: [{ attempt, outcome: AttemptOutcome.SUCCEEDED, result: json(result) }] });
  }

  fail(attempt: AttemptRef | undefined, reason: string, nonRetryable = true): void {
    if (attempt === undefined) throw new Error('no attempt');
    const failure = { reason, message: 'on purpose', nonRetryable };
    this.say({ reports: [{ attempt, outcome: AttemptOutcome.FAILED, failure }] });
  }

  /** The first frame, so far or later, that fits. */
  async frame(fits: (frame: ConnectResponse) => boolean, what: string): Promise<ConnectResponse> {
    const find = async (): Promise<ConnectResponse> => {
      for (;;) {
        const found = this.frames.find(fits);
        if (found !== undefined) return found;
        if (this.#over !== undefined) throw new Error(`the stream ended before the ${what}: ${this.#over.message}`);
        await once(this.#events, 'change');
      }
    };
    return within(find(), WAIT_MS, () => `no ${what} within ${WAIT_MS} ms`);
  }

  /** The n-th assignment, counted from 0. */
  async assignment(n = 0): Promise<Assignment> {
    const all = () => this.frames.flatMap(({ assignments }) => assignments);
    await this.frame(() => all().length > n, `assignment ${n}`);
    const found = all()[n];
    if (found === undefined) throw new Error('unreachable');
    return found;
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

  #hear(frame: ConnectResponse): void {
    this.frames.push(frame);
    if (frame.seq > 0n) {
      this.#heard = frame.seq;
      if (!this.#deaf) this.raw({ ack: frame.seq });
    }
    this.#events.emit('change');
  }
}

/** Starts one that is expected to give up. */
export async function failed(args: readonly string[], options: StartOptions = {}) {
  const program = startProgram('coordinator', args, options);
  const { code } = await program.exit();
  return { code, text: program.stderr, out: program.stdout };
}

/** Starts one over this store. */
export async function startedWith(store: string) {
  const started = await startCoordinator(['--store', store]);
  return { ...started, stubs: new Stubs(started.address) };
}

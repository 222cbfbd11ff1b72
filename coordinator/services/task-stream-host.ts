import { fromBinary } from '@bufbuild/protobuf';
import { status as Code, type MethodDefinition, type ServerDuplexStream } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { GatedWriter } from '../../proto/gated-writer.js';
import {
  OpenTaskStreamRequestSchema,
  TaskService,
  type OpenTaskStreamRequest,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { methodDefinition } from '../../proto/service-definition.js';
import type { Engine } from '../engine.js';
import { PausedStreams, type Pausable } from '../paused-streams.js';
import { TaskStream, type StreamedEngine, type TaskStreamOptions } from './task-stream.js';

export interface TaskStreamHostOptions {
  readonly engine: StreamedEngine & Pick<Engine, 'onDrained'>;
  readonly parse: TaskStreamOptions['parse'];
  /** Why no stream may be opened now; null: it may. */
  readonly refusal: () => FleetError | null;
  /** Told of errors that should not happen. */
  readonly onBug: (error: unknown) => void;
}

type Call = ServerDuplexStream<OpenTaskStreamRequest | undefined, Buffer>;

/** One stream. It is read unless the engine has no room (paused) or its client does not read (clogged). */
class Hosted implements Pausable {
  paused = false;
  clogged = false;
  over = false;

  constructor(
    readonly call: Call,
    readonly stream: TaskStream,
    readonly writer: GatedWriter,
  ) {}

  pause(): void {
    this.paused = true;
    this.look();
  }

  resume(): void {
    this.paused = false;
    this.look();
  }

  look(): void {
    this.clogged = this.stream.isClogged;
    if (this.paused || this.clogged) this.call.pause();
    else if (this.call.isPaused()) this.call.resume();
  }
}

/** Streams at a time. */
const MAX_STREAMS = 4_096;
const READ_OPTIONS = { readUnknownFields: false } as const;

/** OpenTaskStream, with frames encoded before they are written, so that their bytes can be counted. */
export const openTaskStream: MethodDefinition<OpenTaskStreamRequest | undefined, Buffer> = {
  ...methodDefinition(TaskService.method.openTaskStream),
  requestSerialize: () => {
    throw new Error('the coordinator sends no requests');
  },
  requestDeserialize: (bytes) => {
    try {
      return fromBinary(OpenTaskStreamRequestSchema, bytes, READ_OPTIONS);
    } catch {
      return undefined;
    }
  },
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
};

/** Hosts the streams of clients over grpc-js. All that the engine tells a client in one turn leaves in one frame. */
export class TaskStreamHost {
  readonly #options: TaskStreamHostOptions;
  readonly #hosted = new Set<Hosted>();
  readonly #dirty = new Set<Hosted>();
  readonly #paused: PausedStreams;

  constructor(options: TaskStreamHostOptions) {
    this.#options = options;
    this.#paused = new PausedStreams(options.engine);
  }

  /** Open streams. */
  get size(): number {
    return this.#hosted.size;
  }

  /** Takes a stream. */
  accept(call: Call): void {
    const refused = this.#options.refusal() ?? this.#refuseCrowd();
    if (refused !== null) {
      call.emit('error', refused.toStatus());
      return;
    }
    const { engine, parse, onBug } = this.#options;
    const stream = new TaskStream({ engine, parse, onBug, onDirty: () => this.#markDirty(hosted) });
    const writer = new GatedWriter(call, () => this.#markDirty(hosted));
    const hosted = new Hosted(call, stream, writer);
    this.#hosted.add(hosted);
    call.on('data', (frame: OpenTaskStreamRequest | undefined) => this.#read(hosted, frame));
    call.on('end', () => stream.halfClose());
    for (const event of ['cancelled', 'error', 'close']) call.on(event, () => this.#end(hosted));
  }

  /** Ends every stream. Their tasks go on. */
  failAll(error: FleetError): void {
    for (const hosted of [...this.#hosted]) this.#fail(hosted, error);
  }

  #refuseCrowd(): FleetError | null {
    if (this.#hosted.size < MAX_STREAMS) return null;
    const message = `${MAX_STREAMS} streams of clients are open already; share one stream in each process, or call SubmitTask`;
    return new FleetError(Code.RESOURCE_EXHAUSTED, 'TOO_MANY_CALLS', message, { retryDelayMs: 1_000 });
  }

  #read(hosted: Hosted, frame: OpenTaskStreamRequest | undefined): void {
    if (hosted.over) return;
    try {
      if (!hosted.stream.frame(frame)) this.#paused.pause(hosted);
    } catch (error) {
      if (!(error instanceof FleetError)) this.#options.onBug(error);
      this.#fail(hosted, FleetError.from(error));
      return;
    }
    hosted.look();
  }

  /** What the engine has to tell in this turn, it tells before the promise jobs run. */
  #markDirty(hosted: Hosted): void {
    if (this.#dirty.size === 0) queueMicrotask(() => this.#flushDirty());
    this.#dirty.add(hosted);
  }

  #flushDirty(): void {
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const hosted of dirty) this.#flush(hosted);
  }

  #flush(hosted: Hosted): void {
    const { call, stream, writer } = hosted;
    while (!hosted.over && writer.hasRoom && !call.cancelled) {
      const bytes = stream.takeFrame();
      if (bytes === undefined) break;
      writer.write(bytes);
    }
    if (hosted.over) return;
    if (hosted.clogged) hosted.look();
    if (!stream.isDone) return;
    this.#end(hosted);
    call.end();
  }

  #fail(hosted: Hosted, error: FleetError): void {
    if (hosted.over) return;
    this.#end(hosted);
    hosted.call.emit('error', error.toStatus());
  }

  #end(hosted: Hosted): void {
    if (hosted.over) return;
    hosted.over = true;
    this.#hosted.delete(hosted);
    this.#paused.delete(hosted);
    hosted.stream.close();
  }
}

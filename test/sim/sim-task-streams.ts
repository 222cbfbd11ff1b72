import { fromBinary } from '@bufbuild/protobuf';
import { status as Code } from '@grpc/grpc-js';
import type { ParsedTask } from '../../coordinator/services/parse-task.js';
import { TaskStream, type StreamedEngine } from '../../coordinator/services/task-stream.js';
import { FleetError } from '../../proto/fleet-error.js';
import { OpenTaskStreamRequestSchema, type OpenTaskStreamRequest } from '../../proto/gen/remuda/v1/task_service_pb.js';
import type { StreamEnd } from '../../client/frame-stream.js';
import type { SimProcess } from './clock.js';
import type { Model } from './model.js';
import type { SimStream, StreamAcceptor, StreamSide } from './network.js';

/** What the clients' streams of one life of a coordinator need. */
export interface TaskStreamsParts {
  readonly process: SimProcess;
  readonly engine: StreamedEngine;
  readonly model: Model;
  /** False: no new stream is taken. */
  readonly listens: () => boolean;
  /** The task of an id: parsing has tests of its own. */
  readonly taskOf: (taskId: string) => ParsedTask;
}

interface Hosted {
  readonly stream: SimStream;
  readonly tasks: TaskStream;
  over: boolean;
}

const COORDINATOR_GONE: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'the coordinator is gone' };

/** Hosts the real task streams over the simulated network, as `coordinator/services/task-stream-host.ts` does over grpc-js. */
export class SimTaskStreams implements StreamAcceptor {
  readonly #hosted = new Set<Hosted>();
  readonly #dirty = new Set<Hosted>();

  constructor(private readonly parts: TaskStreamsParts) {}

  /** False while nothing of the process runs. */
  readonly reads = (): boolean => !this.parts.process.stalled || !this.parts.process.alive;

  accept(stream: SimStream): StreamSide | undefined {
    const { engine, model, process, listens, taskOf } = this.parts;
    if (!listens()) return undefined;
    const tasks = new TaskStream({
      engine,
      parse: (request) => taskOf(request?.taskId ?? ''),
      onDirty: () => this.#markDirty(hosted),
      onBug: (error) => model.fail('a task stream has no bug', String(error)),
    });
    const hosted: Hosted = { stream, tasks, over: false };
    this.#hosted.add(hosted);
    const alive = (run: () => void): void => process.arrive(() => !hosted.over && run());
    return {
      reads: () => this.reads() && !tasks.isClogged,
      onFrame: (bytes) => alive(() => this.#frame(hosted, bytes)),
      onEnd: () => alive(() => this.#forget(hosted)),
      onWritable: () => alive(() => this.#markDirty(hosted)),
    };
  }

  /** Ends every stream. Their tasks go on. */
  stop(error: FleetError): void {
    for (const hosted of [...this.#hosted]) this.#end(hosted, error);
  }

  /** The process has died; `silently`: with its machine. */
  crash(silently: boolean): void {
    for (const { stream } of this.#hosted) stream.closeFromCoordinator(COORDINATOR_GONE, silently);
  }

  #frame(hosted: Hosted, bytes: Uint8Array): void {
    try {
      hosted.tasks.frame(decode(bytes));
    } catch (error) {
      this.#end(hosted, FleetError.from(error));
    }
  }

  #markDirty(hosted: Hosted): void {
    if (this.#dirty.size === 0) this.parts.process.defer(() => this.#flushDirty());
    this.#dirty.add(hosted);
  }

  #flushDirty(): void {
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const hosted of dirty) this.#flush(hosted);
  }

  #flush(hosted: Hosted): void {
    const { stream, tasks } = hosted;
    while (!hosted.over && stream.takesFromCoordinator) {
      const bytes = tasks.takeFrame();
      if (bytes === undefined) break;
      stream.fromCoordinator(bytes);
    }
    stream.coordinatorReads();
  }

  #end(hosted: Hosted, { code, reason, message }: FleetError): void {
    if (hosted.over) return;
    this.#forget(hosted);
    hosted.stream.closeFromCoordinator({ code: Code[code], reason, message });
  }

  #forget(hosted: Hosted): void {
    hosted.over = true;
    this.#hosted.delete(hosted);
    hosted.tasks.close();
  }
}

function decode(bytes: Uint8Array): OpenTaskStreamRequest | undefined {
  try {
    return fromBinary(OpenTaskStreamRequestSchema, bytes, { readUnknownFields: false });
  } catch {
    return undefined;
  }
}

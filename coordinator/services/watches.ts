import { create } from '@bufbuild/protobuf';
import { status as Code, type ServerWritableStream } from '@grpc/grpc-js';
import { FleetError, quoted } from '../../proto/fleet-error.js';
import { GatedWriter } from '../../proto/gated-writer.js';
import {
  TaskService,
  WatchTaskResponseSchema,
  type WatchTaskRequest,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { methodDefinition } from '../../proto/service-definition.js';
import { hasEnded, type ReplyToken } from '../core/task.js';
import type { EngineReply } from '../engine.js';
import { INPUT_BYTES, refused, unexpectedReply, type AskedEngine } from './asking.js';
import { parseTaskId } from './parse-task.js';
import { taskNotFound } from './submit-answer.js';
import type { StreamedEngine } from './task-stream.js';
import { taskView } from './task-view.js';

type WatchCall = ServerWritableStream<WatchTaskRequest, Buffer>;
type TaskReply = Extract<EngineReply, { kind: 'task' }>;

export interface WatchesOptions {
  readonly engine: AskedEngine & Pick<StreamedEngine, 'append' | 'subscribe'>;
  /** Told of errors that should not happen. */
  readonly onBug: (error: unknown) => void;
}

/** Watches at a time. */
const MAX_WATCHES = 4_096;

/** WatchTask, with answers encoded before they are written, so that their bytes can be counted. */
export const watchTask = {
  ...methodDefinition(TaskService.method.watchTask),
  responseSerialize: (bytes: Buffer): Buffer => bytes,
  responseDeserialize: (bytes: Buffer): Buffer => bytes,
};

/** The WatchTask calls. */
export class Watches {
  readonly #options: WatchesOptions;
  readonly #watches = new Set<Watch>();

  constructor(options: WatchesOptions) {
    this.#options = options;
  }

  /** Open calls. */
  get size(): number {
    return this.#watches.size;
  }

  /** Takes a call. */
  accept(call: WatchCall): void {
    try {
      this.#start(call);
    } catch (error) {
      if (!(error instanceof FleetError)) this.#options.onBug(error);
      call.emit('error', FleetError.from(error).toStatus());
    }
  }

  /** Ends every call with this error. */
  failAll(error: FleetError): void {
    for (const watch of [...this.#watches]) watch.fail(error);
  }

  #start(call: WatchCall): void {
    const { engine } = this.#options;
    if (engine.refusal?.reason === 'COORDINATOR_STOPPING') throw refused(engine.refusal);
    if (this.#watches.size >= MAX_WATCHES) {
      const message = `${MAX_WATCHES} tasks are watched already; end some watches, or use GetTask`;
      throw new FleetError(Code.RESOURCE_EXHAUSTED, 'TOO_MANY_CALLS', message, { retryDelayMs: 1_000 });
    }
    const { taskId, resumeToken } = call.request;
    const id = parseTaskId(taskId);
    if (resumeToken !== '' && !isTokenOf(id, resumeToken)) {
      const description = `is ${quoted(resumeToken)}, which no watch of this task has answered; use one as it is, or none`;
      throw FleetError.invalid('INVALID_RESUME_TOKEN', [{ field: 'resume_token', description }]);
    }
    const watch: Watch = new Watch(call, id, this.#options, () => this.#watches.delete(watch));
    this.#watches.add(watch);
    watch.start();
  }
}

/**
 * One watch: woken by each change of its task, it reads the task and tells it, unless it told that already. While the reader is
 * slow, or a read is under way, further changes only leave a mark, so the next answer is the newest state.
 */
class Watch {
  readonly #writer: GatedWriter;
  #token: ReplyToken = 0;
  #readToken: ReplyToken = 0;
  #told: string;
  #dirty = false;
  #reading = false;
  #over = false;

  constructor(
    private readonly call: WatchCall,
    private readonly taskId: string,
    private readonly options: WatchesOptions,
    private readonly onOver: () => void,
  ) {
    this.#told = call.request.resumeToken;
    this.#writer = new GatedWriter(call, () => this.#look());
  }

  start(): void {
    const { engine, onBug } = this.options;
    for (const event of ['cancelled', 'error', 'close']) this.call.on(event, () => this.#finish());
    this.#token = engine.subscribe((reply) => {
      if (reply.kind === 'stopped') return;
      this.#dirty = true;
      this.#look();
    });
    // Not by asking: what is busy elsewhere must not end a watch. There is one read of each at a time.
    this.#readToken = engine.subscribe((reply) => {
      if (reply.kind === 'stopped') return;
      this.#reading = false;
      try {
        this.#tell(reply);
      } catch (error) {
        onBug(error);
        this.fail(FleetError.from(error));
      }
    });
    this.#hear();
    // As it stands; also of a task that there is not.
    this.#dirty = true;
    this.#look();
  }

  fail(error: FleetError): void {
    if (this.#over) return;
    this.#finish();
    this.call.emit('error', error.toStatus());
  }

  #look(): void {
    if (this.#over || !this.#dirty || this.#reading || !this.#writer.hasRoom) return;
    this.#dirty = false;
    this.#reading = true;
    this.options.engine.append({ kind: 'getTask', token: this.#readToken, taskId: this.taskId }, INPUT_BYTES, 'client');
  }

  /** Once more does no harm. */
  #hear(): void {
    const { taskId } = this;
    this.options.engine.append({ kind: 'await', token: this.#token, taskId, want: 'change' }, INPUT_BYTES, 'client');
  }

  #tell(reply: EngineReply): void {
    if (this.#over) return;
    if (reply.kind === 'taskNotFound') {
      this.fail(taskNotFound(this.taskId, this.options.engine.wasPurged(this.taskId)));
      return;
    }
    if (reply.kind !== 'task') throw unexpectedReply(reply);
    const token = tokenOf(reply);
    if (token !== this.#told) this.#write(reply, token);
    if (!hasEnded(reply.task.row.state)) {
      // Its end may have been told, and somebody has requeued it since: then nobody would wake us any more.
      this.#hear();
      this.#look();
      return;
    }
    this.#finish();
    this.call.end();
  }

  #write(reply: TaskReply, resumeToken: string): void {
    this.#told = resumeToken;
    const task = taskView(reply, this.call.request.payloadView);
    const message = create(WatchTaskResponseSchema, { task, resumeToken });
    this.#writer.write(methodDefinition(TaskService.method.watchTask).responseSerialize(message));
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    const { engine } = this.options;
    engine.forget(this.#token);
    engine.forget(this.#readToken);
    engine.abandon(this.#token, [this.taskId], false);
    this.onOver();
  }
}

/** What a watcher has been told: each write of the row, and each progress, is another. */
function tokenOf({ task: { row }, progress }: TaskReply): string {
  return `${row.taskId}.${row.revision}.${progress?.number ?? 0}`;
}

function isTokenOf(taskId: string, token: string): boolean {
  return token.startsWith(`${taskId}.`) && /^\d{1,15}\.\d{1,10}$/.test(token.slice(taskId.length + 1));
}

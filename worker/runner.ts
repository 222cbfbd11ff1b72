import type { Logger } from 'pino';
import { MAX_PROGRESS_BYTES } from '../proto/bounds.js';
import { isJson, JSON_CONTENT_TYPE, type PayloadContent } from '../proto/payload-content.js';
import { encodeContent, encodeResult, isContentFault } from './json-result.js';
import { TaskAbortedError, type AbortCause, type RegisteredHandler, type TaskContext } from './task-handler.js';
import type { AttemptKey, FromHandlers, RunMessage, Settlement } from './session-messages.js';
import { describeThrown, failureInfo } from './thrown.js';

/** What a runner needs. */
export interface RunnerOptions {
  /** By type. */
  readonly handlers: ReadonlyMap<string, RegisteredHandler>;
  /** Carries worker_id and incarnation; each handler gets a child of it. */
  readonly logger: Logger;
  /** Sends to the session; `transfer` lists buffers that may be moved instead of copied. */
  readonly post: (message: FromHandlers, transfer: ArrayBuffer[]) => void;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

interface Running {
  readonly task: RunMessage;
  readonly abort: AbortController;
  progressNumber: number;
  /** The newest progress of this turn, not yet sent. */
  pending: PayloadContent | undefined;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Runs handlers on the process's main thread. It has no queue: the session sends an attempt when a slot of its type is free,
 * so whatever arrives here is entered at once, and what has not arrived has surely not started.
 */
export class Runner {
  private readonly running = new Map<AttemptKey, Running>();
  private drainingNow = false;
  private flushDue = false;

  constructor(private readonly options: RunnerOptions) {}

  /** How many handlers have not settled. */
  get size(): number {
    return this.running.size;
  }

  /** Enters the handlers of these attempts, in order. */
  run(tasks: readonly RunMessage[]): void {
    for (const task of tasks) void this.runOne(task);
  }

  /** Aborts the signal of an attempt; nothing happens if it has settled. */
  abort(key: AttemptKey, cause: AbortCause, message: string): void {
    this.running.get(key)?.abort.abort(new TaskAbortedError(cause, message));
  }

  /** Aborts every signal. */
  abortAll(cause: AbortCause, message: string): void {
    for (const key of [...this.running.keys()]) this.abort(key, cause, message);
  }

  /** From now on `ctx.draining` is true. */
  drain(): void {
    this.drainingNow = true;
  }

  private async runOne(task: RunMessage): Promise<void> {
    const entry: Running = { task, abort: new AbortController(), progressNumber: 0, pending: undefined };
    this.running.set(task.key, entry);
    // Before the handler is entered: if it blocks the loop, the session already counts its time-out.
    this.options.post({ t: 'started', key: task.key }, []);
    const beganMs = this.options.nowMs();
    const settlement = await this.settle(entry);
    const runMs = Math.max(0, Math.round(this.options.nowMs() - beganMs));
    this.flushProgress(entry);
    this.running.delete(task.key);
    const transfer = settlement.kind === 'returned' ? transferable(settlement.data) : [];
    this.options.post({ t: 'settled', key: task.key, settlement, runMs }, transfer);
  }

  private async settle(entry: Running): Promise<Settlement> {
    const { task } = entry;
    const handler = this.options.handlers.get(task.type);
    if (handler === undefined) {
      return refused('HANDLER_ERROR', `this worker has no handler for type "${task.type}"`, false);
    }
    let payload: unknown;
    try {
      payload = decodePayload(task);
    } catch (error) {
      const message = `the payload says ${task.contentType || JSON_CONTENT_TYPE} but is not JSON: ${String(error)}`;
      return refused('PAYLOAD_NOT_JSON', message, true);
    }
    let result: unknown;
    try {
      result = await handler.run(payload as never, this.contextOf(entry));
    } catch (thrown) {
      return { kind: 'threw', failure: describeThrown(thrown) };
    }
    const encoded = encodeResult(result, task.maxResultBytes);
    if (isContentFault(encoded)) return refused(encoded.reason, encoded.message, true);
    return { kind: 'returned', contentType: encoded.contentType, data: encoded.data };
  }

  private contextOf(entry: Running): TaskContext {
    const { task } = entry;
    const { logger } = this.options;
    const isDraining = () => this.drainingNow;
    let child: Logger | undefined;
    return {
      taskId: task.taskId,
      type: task.type,
      attempt: task.attempt,
      failureCount: task.failureCount,
      metadata: task.metadata,
      traceparent: task.traceparent,
      contentType: task.contentType || JSON_CONTENT_TYPE,
      // As for the logger: a controller makes its signal when it is asked for, and that costs more than the controller.
      get signal() {
        return entry.abort.signal;
      },
      get draining() {
        return isDraining();
      },
      progress: (value) => this.progress(entry, value),
      // Most handlers log nothing, and a child costs more than an empty handler.
      get logger() {
        child ??= logger.child({ task_id: task.taskId, attempt: task.attempt, type: task.type });
        return child;
      },
    };
  }

  private progress(entry: Running, value: unknown): void {
    const encoded = encodeContent('progress', value, MAX_PROGRESS_BYTES);
    if (isContentFault(encoded)) {
      if (encoded.reason === 'RESULT_TOO_LARGE') throw new RangeError(encoded.message);
      throw new TypeError(encoded.message);
    }
    // After the end it has no addressee: a handler's leftovers may still call it.
    if (!this.running.has(entry.task.key)) return;
    entry.pending = encoded;
    if (this.flushDue) return;
    this.flushDue = true;
    // One message a turn and attempt: a handler that reports in a tight loop must not flood the session.
    setImmediate(() => {
      this.flushDue = false;
      for (const running of this.running.values()) this.flushProgress(running);
    });
  }

  private flushProgress(entry: Running): void {
    const { pending } = entry;
    if (pending === undefined) return;
    entry.pending = undefined;
    entry.progressNumber += 1;
    const { contentType, data } = pending;
    this.options.post({ t: 'progress', key: entry.task.key, number: entry.progressNumber, contentType, data }, []);
  }
}

function refused(reason: string, message: string, nonRetryable: boolean): Settlement {
  return { kind: 'refused', failure: failureInfo(reason, message, nonRetryable) };
}

function decodePayload({ contentType, data }: RunMessage): unknown {
  if (!isJson(contentType || JSON_CONTENT_TYPE)) return data;
  return data.byteLength === 0 ? null : (JSON.parse(decoder.decode(data)) as unknown);
}

/** The buffers that may be moved: only one that holds nothing else. */
function transferable({ buffer, byteLength }: Uint8Array): ArrayBuffer[] {
  // Small ones are cheaper to copy.
  if (byteLength < 16_384 || !(buffer instanceof ArrayBuffer) || buffer.byteLength !== byteLength) return [];
  return [buffer];
}

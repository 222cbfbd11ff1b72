import { create } from '@bufbuild/protobuf';
import { status as Code, type ServerUnaryCall } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import type { Task } from '../../proto/gen/remuda/v1/task_pb.js';
import {
  RunTaskResponseSchema,
  type RunTaskRequest,
  type RunTaskResponse,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { hasEnded, type ReplyToken } from '../core/task.js';
import type { EngineReply } from '../engine.js';
import type { Runtime } from '../runtime.js';
import { askAndWait, INPUT_BYTES, stoppedFirst, unexpectedReply, type AskedEngine } from './asking.js';
import type { ParsedTask } from './parse-task.js';
import { submitAnswer, taskNotFound } from './submit-answer.js';

/** One RunTask call. */
export interface RunningCall {
  readonly call: ServerUnaryCall<RunTaskRequest, RunTaskResponse>;
  readonly task: ParsedTask;
  /** The task goes on when the call is cancelled or cut. */
  readonly keep: boolean;
  readonly callDeadlineWallMs: number | undefined;
  readonly answer: (reply: Extract<EngineReply, { kind: 'task' }>) => Task;
}

/** Calls that wait at a time. */
const MAX_WAITING_CALLS = 65_536;

/**
 * How near its deadline a call may be cut and count as cut by it: the client's timer and ours fire at about the same time, and
 * its task is to be EXPIRED then, not CANCELLED.
 */
const DEADLINE_SLACK_MS = 100;

/** The RunTask calls whose tasks have not ended. */
export class RunningCalls {
  readonly #engine: AskedEngine;
  readonly #runtime: Runtime;
  readonly #failing = new Set<(error: FleetError) => void>();

  constructor(engine: AskedEngine, runtime: Runtime) {
    this.#engine = engine;
    this.#runtime = runtime;
  }

  get size(): number {
    return this.#failing.size;
  }

  /** Answers every call with this error. The tasks go on. */
  failAll(error: FleetError): void {
    for (const fail of [...this.#failing]) fail(error);
  }

  /**
   * Submits the task and waits for its end.
   *
   * @throws FleetError as SubmitTask; RESOURCE_EXHAUSTED / TOO_MANY_CALLS; what {@link failAll} was given
   */
  run(running: RunningCall): Promise<RunTaskResponse> {
    if (this.#failing.size >= MAX_WAITING_CALLS) {
      const message = `${MAX_WAITING_CALLS} calls wait for their tasks already; submit without waiting and read the task later`;
      throw new FleetError(Code.RESOURCE_EXHAUSTED, 'TOO_MANY_CALLS', message, { retryDelayMs: 1_000 });
    }
    return new Promise((resolve, reject) => {
      this.#wait(running, resolve, reject);
    });
  }

  #wait(running: RunningCall, resolve: (response: RunTaskResponse) => void, reject: (error: Error) => void): void {
    const { call, task, answer } = running;
    const engine = this.#engine;
    let token: ReplyToken | undefined;
    const finish = (): void => {
      this.#failing.delete(fail);
      call.removeListener('cancelled', abandon);
      if (token !== undefined) engine.forget(token);
    };
    const fail = (error: Error): void => {
      finish();
      reject(error);
    };
    const abandon = (): void => {
      finish();
      if (token !== undefined) engine.abandon(token, [task.taskId], this.#cancelsTask(running));
      // Nobody reads it; the promise must settle all the same.
      reject(new FleetError(Code.CANCELLED, 'CALL_CANCELLED', 'the call was cancelled'));
    };
    const onReply = (reply: EngineReply): void => {
      try {
        if (reply.kind === 'submitted') return;
        if (reply.kind !== 'task') throw notRun(reply, engine);
        if (!hasEnded(reply.task.row.state) && token !== undefined) {
          // It had ended, and somebody has put it back in the queue before its end was read.
          engine.append({ kind: 'await', token, taskId: task.taskId, want: 'task' }, INPUT_BYTES, 'client');
          return;
        }
        finish();
        const { row } = reply.task;
        // Its caller has it, or will never hear of it again.
        if (row.endWallMs !== null) engine.seen(row.taskId, row.endWallMs, 'acknowledged');
        resolve(create(RunTaskResponseSchema, { task: answer(reply) }));
      } catch (error) {
        fail(error as Error);
      }
    };
    this.#failing.add(fail);
    call.once('cancelled', abandon);
    try {
      const bytes = task.body.payload.data.byteLength;
      token = askAndWait(engine, (made) => ({ kind: 'submit', token: made, want: 'task', ...task }), bytes, onReply);
    } catch (error) {
      fail(error as Error);
      return;
    }
    // Cut before anybody listened.
    if (call.cancelled) abandon();
  }

  #cancelsTask({ keep, callDeadlineWallMs }: RunningCall): boolean {
    if (keep) return false;
    return callDeadlineWallMs === undefined || this.#runtime.now().wallMs < callDeadlineWallMs - DEADLINE_SLACK_MS;
  }
}

/** What a submit was refused with. */
function notRun(reply: EngineReply, engine: Pick<AskedEngine, 'wasPurged'>): Error {
  if (reply.kind === 'stopped') return stoppedFirst();
  if (reply.kind === 'taskNotFound') return taskNotFound(reply.taskId, engine.wasPurged(reply.taskId));
  submitAnswer(reply);
  return unexpectedReply(reply);
}

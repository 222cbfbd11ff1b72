import { setTimeout as delay } from 'node:timers/promises';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState, type Task } from '../../proto/gen/remuda/v1/task_pb.js';
import {
  OnAbandon,
  RunTaskResponseSchema,
  TaskService,
  type RunTaskResponse,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import { NOT_SENT, type RpcChannel } from '../rpc.js';
import { Absence } from './absence.js';
import { answerMissing, isAnswerMissing, notAcceptedText, type Reached, type SubmittedTask } from './acceptance.js';
import type { CliContext } from './cli-context.js';
import { enumName } from './enum-name.js';
import { EXIT, exitStatusOf } from './exit-status.js';
import { answerJson } from './answer-json.js';
import type { TaskRequest } from './task-request.js';
import { exactTime, failedTaskText, hasEnded, payloadBytes } from './task-text.js';
import { printable } from './terminal.js';

/** What to wait for, and for how long. */
export interface WaitRequest {
  readonly channel: RpcChannel;
  readonly task: TaskRequest;
  /** Undefined: until the task has ended. */
  readonly waitTimeoutMs: number | undefined;
  /** The command that shows the task later. */
  readonly getLine: string;
  /** Print the whole answer as JSON in place of the result, whatever the task's state. */
  readonly json: boolean;
  readonly context: CliContext;
}

/** A wait that goes on. */
interface Wait {
  reached: Reached;
}

/** A task that takes longer than this may be waiting for a worker that does not exist: time to look. */
const LOOK_MS = 1_000;

/**
 * Runs a task and prints its result. Who stops waiting, by Ctrl-C or --wait-timeout, does not stop a task that the coordinator
 * has. Fulfilled with the exit status.
 *
 * @throws FleetError as RunTask, or if the coordinator is away for 30 s
 */
export async function waitForTask(request: WaitRequest): Promise<number> {
  const { waitTimeoutMs, json, context } = request;
  const { terminal } = context;
  const stop = new AbortController();
  const timer = waitTimeoutMs === undefined ? undefined : setTimeout(() => stop.abort('timed out'), waitTimeoutMs);
  const offInterrupt = context.onInterrupt(() => stop.abort('interrupted'));
  const wait: Wait = { reached: 'nothing' };
  try {
    const { answer, ended } = await runUntilEnd(request, stop.signal, wait);
    if (json) terminal.out(answerJson(RunTaskResponseSchema, answer));
    if (ended.state === TaskState.SUCCEEDED) {
      if (!json) terminal.out(payloadBytes(ended.result));
      return EXIT.done;
    }
    terminal.note(terminal.noteStyle('red', failedTaskText(ended)));
    return EXIT.failed;
  } catch (error) {
    if (!stop.signal.aborted) throw explained(request, wait.reached, error);
    const { reached } = wait;
    return stop.signal.reason === 'interrupted' ? interrupted(request, reached) : await timedOut(request, reached);
  } finally {
    clearTimeout(timer);
    offInterrupt();
  }
}

/** The error, with the task's id where the coordinator may have it and does not say how it ends. */
function explained(request: WaitRequest, reached: Reached, error: unknown): unknown {
  if (reached === 'nothing' || exitStatusOf(error) !== EXIT.unreachable) return error;
  if (reached === 'sent') return answerMissing(submitted(request), error);
  const { code, reason, message } = FleetError.from(error);
  const { taskId, getLine } = submitted(request);
  const metadata = { task_id: taskId };
  const text = `${message}; the coordinator has accepted task ${taskId}, see it later with: ${getLine}`;
  return new FleetError(code, reason, text, { metadata, cause: error });
}

function submitted({ channel, task, getLine }: WaitRequest): SubmittedTask {
  return { address: channel.address, taskId: task.taskId, getLine };
}

function interrupted(request: WaitRequest, reached: Reached): number {
  const { task, getLine, context } = request;
  context.terminal.note(
    reached === 'accepted'
      ? `no longer waiting for task ${task.taskId}, which goes on; see it with: ${getLine}`
      : notAcceptedText(submitted(request), reached, 'interrupted'),
  );
  return EXIT.interrupted;
}

async function timedOut(request: WaitRequest, reached: Reached): Promise<number> {
  const { task, waitTimeoutMs, getLine, context } = request;
  const within = `within ${exactTime(waitTimeoutMs ?? 0)}`;
  const { known, text } = reached === 'nothing' ? { known: false, text: '' } : await whereItStands(request);
  if (reached !== 'accepted' && !known) {
    context.terminal.note(notAcceptedText(submitted(request), reached, `no answer ${within}${text}`));
    return EXIT.unreachable;
  }
  context.terminal.note(`task ${task.taskId} has not ended ${within}${text}; it goes on, see it with: ${getLine}`);
  return EXIT.timedOut;
}

/** What RunTask answered, and the ended task in it. A coordinator that goes away in mid-wait is asked again: the id makes the repeat the same task. */
async function runUntilEnd(
  request: WaitRequest,
  signal: AbortSignal,
  wait: Wait,
): Promise<{ readonly answer: RunTaskResponse; readonly ended: Task }> {
  const { channel, task, json, context } = request;
  const payloadView = json ? PayloadView.VALUE : PayloadView.DATA;
  const absence = new Absence(context.clock, () =>
    context.terminal.note(
      `the coordinator went away; waiting for it to come back (task ${task.taskId} ` +
        `${wait.reached === 'accepted' ? 'is kept' : 'is then submitted again, with this id'})`,
    ),
  );
  for (;;) {
    const done = new AbortController();
    const onMetadata = () => {
      if (wait.reached !== 'accepted') void lookAfterAWhile(request, AbortSignal.any([signal, done.signal]));
      absence.answered();
      wait.reached = 'accepted';
    };
    try {
      const answer = await channel.call(
        TaskService.method.runTask,
        { task, onAbandon: OnAbandon.KEEP, payloadView },
        // No gRPC deadline: it would become the task's own.
        { timeoutMs: null, signal, onMetadata },
      );
      const { task: ended } = answer;
      if (ended === undefined || !hasEnded(ended.state)) throw unfinished(request);
      return { answer, ended };
    } catch (error) {
      const mayBeThere = isAnswerMissing(error) || (signal.aborted && FleetError.from(error).reason !== NOT_SENT);
      if (mayBeThere && wait.reached === 'nothing') wait.reached = 'sent';
      await absence.bear(error, signal);
    } finally {
      done.abort();
    }
  }
}

/** RunTask answers with the end alone; this says why nothing happens meanwhile. */
async function lookAfterAWhile(request: WaitRequest, signal: AbortSignal): Promise<void> {
  const { channel, task, context } = request;
  try {
    await delay(LOOK_MS, undefined, { signal });
    const view = { taskId: task.taskId, payloadView: PayloadView.NONE };
    const { task: found } = await channel.call(TaskService.method.getTask, view, { signal });
    const message = found?.waiting?.message ?? '';
    if (message !== '' && !signal.aborted) {
      context.terminal.note(context.terminal.noteStyle('yellow', `waiting: ${printable(message)}`));
    }
  } catch {
    // A courtesy: the wait itself says what went wrong.
  }
}

/** For the message after --wait-timeout: where the task stands, if the coordinator says so soon. */
async function whereItStands({ channel, task }: WaitRequest): Promise<{ known: boolean; text: string }> {
  try {
    const view = { taskId: task.taskId, payloadView: PayloadView.NONE };
    const { task: found } = await channel.call(TaskService.method.getTask, view, { timeoutMs: 2_000 });
    if (found === undefined) return { known: false, text: '' };
    const why = found.waiting?.message ?? '';
    return { known: true, text: ` (${enumName(TaskState, found.state)}${why === '' ? '' : `: ${printable(why)}`})` };
  } catch (error) {
    return { known: false, text: ` (and ${printable(FleetError.from(error).message)})` };
  }
}

function unfinished({ task: { taskId }, getLine }: WaitRequest): FleetError {
  return new FleetError(
    Code.INTERNAL,
    'NO_ENDED_TASK',
    `the coordinator answered before task ${taskId} had ended, which is a bug; see it with: ${getLine}`,
  );
}

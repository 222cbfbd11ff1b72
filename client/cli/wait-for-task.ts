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
import type { CliContext } from './cli-context.js';
import { enumName } from './enum-name.js';
import { EXIT } from './exit-status.js';
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

/** A task that takes longer than this may be waiting for a worker that does not exist: time to look. */
const LOOK_MS = 1_000;

/** What is known of the task at the coordinator. `sent`: it may be there, or not. */
type Reached = 'nothing' | 'sent' | 'accepted';

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
  let accepted = false;
  try {
    const { answer, ended } = await runUntilEnd(request, stop.signal, () => (accepted = true));
    if (json) terminal.out(answerJson(RunTaskResponseSchema, answer));
    if (ended.state === TaskState.SUCCEEDED) {
      if (!json) terminal.out(payloadBytes(ended.result));
      return EXIT.done;
    }
    terminal.note(terminal.noteStyle('red', failedTaskText(ended)));
    return EXIT.failed;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    const reached = accepted ? 'accepted' : FleetError.from(error).reason === NOT_SENT ? 'nothing' : 'sent';
    return stop.signal.reason === 'interrupted' ? interrupted(request, reached) : await timedOut(request, reached);
  } finally {
    clearTimeout(timer);
    offInterrupt();
  }
}

function interrupted(request: WaitRequest, reached: Reached): number {
  const { task, getLine, context } = request;
  context.terminal.note(
    reached === 'accepted'
      ? `no longer waiting for task ${task.taskId}, which goes on; see it with: ${getLine}`
      : notAccepted(request, reached, 'interrupted'),
  );
  return EXIT.interrupted;
}

async function timedOut(request: WaitRequest, reached: Reached): Promise<number> {
  const { task, waitTimeoutMs, getLine, context } = request;
  const within = `within ${exactTime(waitTimeoutMs ?? 0)}`;
  const { known, text } = reached === 'nothing' ? { known: false, text: '' } : await whereItStands(request);
  if (reached !== 'accepted' && !known) {
    context.terminal.note(notAccepted(request, reached, `no answer ${within}${text}`));
    return EXIT.unreachable;
  }
  context.terminal.note(`task ${task.taskId} has not ended ${within}${text}; it goes on, see it with: ${getLine}`);
  return EXIT.timedOut;
}

function notAccepted({ channel, task, getLine }: WaitRequest, reached: Reached, why: string): string {
  if (reached === 'nothing') {
    return (
      `not submitted: ${why} while connecting to the coordinator at ${channel.address}; check that one runs there, and ` +
      'submit again'
    );
  }
  return (
    `${why}: the coordinator at ${channel.address} has not said whether it accepted task ${task.taskId}; see with: ${getLine}, ` +
    `or submit again with --task-id ${task.taskId}, which makes it the same task`
  );
}

/** What RunTask answered, and the ended task in it. A coordinator that goes away in mid-wait is asked again: the id makes the repeat the same task. */
async function runUntilEnd(
  request: WaitRequest,
  signal: AbortSignal,
  onAccepted: () => void,
): Promise<{ readonly answer: RunTaskResponse; readonly ended: Task }> {
  const { channel, task, json, context } = request;
  const payloadView = json ? PayloadView.VALUE : PayloadView.DATA;
  const absence = new Absence(context.clock, () =>
    context.terminal.note(`the coordinator went away; waiting for it to come back (task ${task.taskId} is kept)`),
  );
  for (;;) {
    const done = new AbortController();
    const onMetadata = () => {
      if (!absence.hasAnswered) void lookAfterAWhile(request, AbortSignal.any([signal, done.signal]));
      absence.answered();
      onAccepted();
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

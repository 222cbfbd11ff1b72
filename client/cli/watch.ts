import { timestampMs } from '@bufbuild/protobuf/wkt';
import { status as Code } from '@grpc/grpc-js';
import type { Command } from 'commander';
import { FleetError } from '../../proto/fleet-error.js';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState, type Task } from '../../proto/gen/remuda/v1/task_pb.js';
import { TaskService, WatchTaskResponseSchema } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { onAbort } from '../on-abort.js';
import type { RpcChannel } from '../rpc.js';
import { Absence } from './absence.js';
import { answerJsonLine } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, commandLine, withChannel } from './connection.js';
import { EXIT } from './exit-status.js';
import { readTaskId } from './option-values.js';
import { cutText } from './table.js';
import { taskChanges, type TaskChange } from './task-changes.js';
import { hasEnded, styleOfState } from './task-text.js';

const EXAMPLES = `
One line is printed for each change: of its state, its attempts, its progress.
The watch ends with the task. Exit status: 0 SUCCEEDED, 1 ended otherwise, 74 not
ended and nobody reads.

Examples:
  remuda watch 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60
  remuda watch 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60 --json | jq .task.progress`;

/** Adds `remuda watch`. */
export function addWatchCommand(program: Command, context: CliContext): void {
  program
    .command('watch')
    .summary('watch a task until it has ended')
    .description('Shows a task as it stands, and each change, until it has ended.')
    .argument('<ID>', "the task's id", readTaskId)
    .option('--json', 'each answer as JSON on one line (remuda.v1.WatchTaskResponse)')
    .addHelpText('after', EXAMPLES)
    .action(async (taskId: string, { json }: { readonly json?: true }, command: Command) => {
      const getLine = commandLine(`get ${taskId}`, command);
      context.seeLine = getLine;
      context.exitCode = await withChannel(addressOf(command, context.env), (channel) =>
        watchTask({ channel, taskId, json: json !== undefined, getLine, context }),
      );
    });
}

interface Watch {
  readonly channel: RpcChannel;
  readonly taskId: string;
  readonly json: boolean;
  readonly getLine: string;
  readonly context: CliContext;
}

async function watchTask(watch: Watch): Promise<number> {
  const { json, getLine, context } = watch;
  const { terminal } = context;
  const stop = new AbortController();
  const offInterrupt = context.onInterrupt(() => stop.abort());
  const offGone = onAbort(terminal.outGone, () => stop.abort());
  let before: Task | undefined;
  try {
    for await (const answer of answers(watch, stop.signal)) {
      const { task } = answer;
      if (json) terminal.out(answerJsonLine(WatchTaskResponseSchema, answer));
      else if (task !== undefined) {
        for (const change of taskChanges(before, task)) terminal.out(changeLine(change, context));
      }
      before = task ?? before;
      if (task !== undefined && hasEnded(task.state)) {
        return task.state === TaskState.SUCCEEDED ? EXIT.done : EXIT.failed;
      }
      await terminal.outDrained(stop.signal);
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    if (terminal.outGone.aborted) return EXIT.unwritten;
    terminal.note(`no longer watching; the task goes on, see it with: ${getLine}`);
    return EXIT.interrupted;
  } finally {
    offInterrupt();
    offGone();
  }
  const message = `the coordinator ended the watch of task ${watch.taskId} before the task has ended, which is a bug`;
  throw new FleetError(Code.INTERNAL, 'NO_ENDED_TASK', `${message}; see it with: ${getLine}`);
}

/** The answers of a watch that is taken up again where it broke. */
async function* answers({ channel, taskId, json, context }: Watch, signal: AbortSignal) {
  const { terminal, clock } = context;
  const payloadView = json ? PayloadView.VALUE : PayloadView.DATA;
  const absence = new Absence(clock, () => terminal.note('the coordinator went away; waiting for it to come back'));
  let resumeToken = '';
  for (;;) {
    try {
      const request = { taskId, payloadView, resumeToken };
      for await (const answer of channel.stream(TaskService.method.watchTask, request, { signal })) {
        absence.answered();
        resumeToken = answer.resumeToken;
        yield answer;
      }
      return;
    } catch (error) {
      await absence.bear(error, signal);
    }
  }
}

const WHAT_CHARS = 'DEAD_LETTERED'.length;

function changeLine({ time, what, text }: TaskChange, { terminal, clock }: CliContext): string {
  const at = new Date(time === undefined ? clock.wallMs() : timestampMs(time)).toISOString().replace(/\.\d+Z$/, 'Z');
  const room = (terminal.columns ?? Infinity) - at.length - WHAT_CHARS - 4;
  const style = styleOfState(what);
  const word = what.padEnd(WHAT_CHARS);
  const shown = cutText(text.replace(/\s*\n\s*/g, ' '), Math.max(room, WHAT_CHARS));
  return `${`${at}  ${style === undefined ? word : terminal.outStyle(style, word)}  ${shown}`.trimEnd()}\n`;
}

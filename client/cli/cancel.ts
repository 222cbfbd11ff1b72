import type { Command } from 'commander';
import { FleetError } from '../../proto/fleet-error.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import {
  CancelTaskResponseSchema,
  TaskService,
  type CancelTaskResponse,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import type { RpcChannel } from '../rpc.js';
import { answerJsonLine } from './answer-json.js';
import { chunksOf, tellRefused, type BatchItem } from './batch.js';
import type { CliContext } from './cli-context.js';
import { addressOf, commandLine, withChannel } from './connection.js';
import { enumName } from './enum-name.js';
import { EXIT, exitStatusOf } from './exit-status.js';
import { readTaskIds } from './option-values.js';

/** Calls under way at once. */
const CALLS_MAX = 64;

const EXAMPLES = `
A task that waits ends at once. Of one that runs the handler is told, and RUNNING
is printed: its first outcome wins, and \`remuda watch ID\` tells it.
Exit status: 5 if any was refused; the others are cancelled all the same.

Examples:
  remuda cancel 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60
  remuda list --type echo --state queued --json | jq -r '.tasks[].taskId' |
    xargs remuda cancel`;

/** Adds `remuda cancel`. */
export function addCancelCommand(program: Command, context: CliContext): void {
  program
    .command('cancel')
    .summary('ask for the end of tasks')
    .description('Asks for the end of tasks.')
    .argument('<ID...>', "the tasks' ids", readTaskIds)
    .option('--json', 'each answer as JSON on one line (remuda.v1.CancelTaskResponse)')
    .addHelpText('after', EXAMPLES)
    .action(async (taskIds: readonly string[], { json }: { readonly json?: true }, command: Command) => {
      const { terminal } = context;
      const items = await withChannel(addressOf(command, context.env), (channel) => cancelAll(channel, taskIds));
      for (const { taskId, answer } of items) {
        if (answer === undefined) continue;
        if (json !== undefined) terminal.out(answerJsonLine(CancelTaskResponseSchema, answer));
        else terminal.out(`${taskId}  ${enumName(TaskState, answer.state)}\n`);
        if (answer.state === TaskState.RUNNING) {
          terminal.note(`its handler has been told; see the end with: ${commandLine(`watch ${taskId}`, command)}`);
        }
      }
      context.exitCode = concludeCancel(items, context);
    });
}

interface Cancelled extends BatchItem {
  readonly answer: CancelTaskResponse | undefined;
}

async function cancelAll(channel: RpcChannel, taskIds: readonly string[]): Promise<Cancelled[]> {
  const items: Cancelled[] = [];
  for (const chunk of chunksOf(taskIds, CALLS_MAX)) {
    const results = await Promise.all(chunk.map((taskId) => cancelOne(channel, taskId)));
    items.push(...results);
    // A coordinator that is not there refuses the others too.
    if (results.some(isUnreachable)) break;
  }
  return items;
}

async function cancelOne(channel: RpcChannel, taskId: string): Promise<Cancelled> {
  try {
    return { taskId, answer: await channel.call(TaskService.method.cancelTask, { taskId }), error: undefined };
  } catch (error) {
    return { taskId, answer: undefined, error: FleetError.from(error) };
  }
}

function concludeCancel(items: readonly Cancelled[], context: CliContext): number {
  const unreachable = items.find(isUnreachable)?.error;
  if (unreachable !== undefined) throw unreachable;
  const [only, ...others] = items;
  if (only?.error !== undefined && others.length === 0) throw only.error;
  return tellRefused(items, context);
}

function isUnreachable({ error }: Cancelled): boolean {
  return error !== undefined && exitStatusOf(error) === EXIT.unreachable;
}

import { create, type DescMethodUnary } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { FleetError } from '../../proto/fleet-error.js';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState, type Task } from '../../proto/gen/remuda/v1/task_pb.js';
import {
  DeleteTasksResponseSchema,
  GetTaskResponseSchema,
  ListTasksResponseSchema,
  RequeueTasksResponseSchema,
  TaskService,
  type TaskChangeResult,
} from '../../proto/gen/remuda/v1/task_service_pb.js';
import type { RpcChannel } from '../rpc.js';
import { answerJson } from './answer-json.js';
import { chunksOf, tellRefused } from './batch.js';
import type { CliContext } from './cli-context.js';
import { addressOf, commandLine, withChannel } from './connection.js';
import { enumName } from './enum-name.js';
import { CliError, EXIT } from './exit-status.js';
import { LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX } from './list.js';
import { integerReader, readTaskId, readTaskIds, readTaskType } from './option-values.js';
import { PAGE_SIZE_MAX } from './pages.js';
import { lookOf } from './table.js';
import { deadLettersText, listTasks } from './task-list.js';
import { taskText } from './task-text.js';
import { printable } from './terminal.js';

interface ListOptions {
  readonly type?: string;
  readonly limit?: number;
  readonly json?: true;
}

interface ChangeOptions {
  readonly all?: true;
  readonly type?: string;
  readonly json?: true;
}

/** The contract's bound of one RequeueTasks or DeleteTasks. */
const IDS_MAX = 1_000;
/** With --all: as many as a store keeps. Should more come meanwhile, the next run takes them. */
const ALL_MAX = 100_000;
/** Pages of a list may be short, even empty. */
const ALL_PAGES_MAX = 10_000;

const EXAMPLES = `
A dead letter is a task that ended in failure and waits for a person: look at
it, then put it back in the queue or delete it.

Examples:
  remuda dlq list --type image.resize
  remuda dlq show 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60
  remuda dlq requeue 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60
  remuda dlq delete --all --type image.resize`;

/** Adds `remuda dlq` and its commands. */
export function addDlqCommand(program: Command, context: CliContext): void {
  const dlq = program
    .command('dlq')
    .summary('dead letters: list, show, requeue, delete')
    .description('Dead letters: tasks that ended in failure and wait for a person.')
    .addHelpText('after', EXAMPLES);
  addDlqList(dlq, context);
  addDlqShow(dlq, context);
  addDlqChange(dlq, REQUEUE, context);
  addDlqChange(dlq, DELETE, context);
}

function addDlqList(dlq: Command, context: CliContext): void {
  dlq
    .command('list')
    .summary('list the dead letters, the newest submit first')
    .description('Lists the dead letters, the newest submit first.')
    .option('--type <TYPE>', 'only of this type', readTaskType)
    .option('--limit <N>', `how many at most (default: ${LIST_LIMIT_DEFAULT})`, integerReader(1, LIST_LIMIT_MAX))
    .option('--json', 'the whole answer as JSON (remuda.v1.ListTasksResponse, all pages in one)')
    .addHelpText('after', '\nExamples:\n  remuda dlq list\n  remuda dlq list --type image.resize --limit 1000')
    .action(async ({ type, limit = LIST_LIMIT_DEFAULT, json }: ListOptions, command: Command) => {
      const { terminal, clock } = context;
      const answer = await withChannel(addressOf(command, context.env), (channel) =>
        listTasks(channel, { states: [TaskState.DEAD_LETTERED], type }, limit),
      );
      if (json !== undefined) {
        terminal.out(answerJson(ListTasksResponseSchema, answer));
        return;
      }
      if (answer.tasks.length === 0) terminal.note('no dead letters');
      terminal.out(deadLettersText(answer.tasks, lookOf(terminal), clock.wallMs()));
      if (answer.nextPageToken !== '') {
        terminal.note(`the newest ${answer.tasks.length} are shown, and there are more: --limit N, --type`);
      }
    });
}

function addDlqShow(dlq: Command, context: CliContext): void {
  dlq
    .command('show')
    .summary('show a dead letter with all that is known of its failure')
    .description('Shows a dead letter with its payload, every attempt, and where its handler failed.')
    .argument('<ID>', "the task's id", readTaskId)
    .option('--json', 'the whole answer as JSON (remuda.v1.GetTaskResponse)')
    .addHelpText('after', '\nExamples:\n  remuda dlq show 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60')
    .action(async (taskId: string, { json }: { readonly json?: true }, command: Command) => {
      const { terminal } = context;
      const payloadView = json === undefined ? PayloadView.DATA : PayloadView.VALUE;
      const answer = await withChannel(addressOf(command, context.env), (channel) =>
        channel.call(TaskService.method.getTask, { taskId, payloadView }),
      );
      const state = answer.task?.state ?? TaskState.UNSPECIFIED;
      if (answer.task === undefined || state !== TaskState.DEAD_LETTERED) {
        const look = commandLine(`get ${taskId}`, command);
        throw new CliError(
          EXIT.refused,
          `task ${taskId} is no dead letter: it is ${enumName(TaskState, state)}; see it with: ${look}`,
        );
      }
      terminal.out(json === undefined ? deadLetterText(answer.task) : answerJson(GetTaskResponseSchema, answer));
    });
}

function deadLetterText(task: Task): string {
  const stack = printable(task.failure?.stack ?? '').trim();
  return stack === '' ? taskText(task) : `${taskText(task)}stack:\n${stack.replace(/^/gm, '  ')}\n`;
}

/** A command that changes dead letters. */
interface Change {
  readonly name: 'requeue' | 'delete';
  readonly done: string;
  readonly summary: string;
  readonly description: string;
  readonly schema: typeof RequeueTasksResponseSchema | typeof DeleteTasksResponseSchema;
  readonly method: typeof TaskService.method.requeueTasks | typeof TaskService.method.deleteTasks;
}

const REQUEUE: Change = {
  name: 'requeue',
  done: 'requeued',
  summary: 'put dead letters back in the queue',
  description: 'Puts dead letters back in the queue: their counters begin anew, their attempts are numbered on.',
  schema: RequeueTasksResponseSchema,
  method: TaskService.method.requeueTasks,
};

const DELETE: Change = {
  name: 'delete',
  done: 'deleted',
  summary: 'delete dead letters, with payload and result',
  description: 'Deletes dead letters, or other tasks that have ended, with payload and result.',
  schema: DeleteTasksResponseSchema,
  method: TaskService.method.deleteTasks,
};

function addDlqChange(dlq: Command, change: Change, context: CliContext): void {
  const { name, summary, description } = change;
  const examples = `
Prints the ids that were ${change.done}. Exit status: 5 if any was refused; the others are
${change.done} all the same.

Examples:
  remuda dlq ${name} 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60
  remuda dlq ${name} --all --type image.resize`;
  dlq
    .command(name)
    .summary(summary)
    .description(description)
    .argument('[ID...]', "the tasks' ids", readTaskIds)
    .option('--all', 'all dead letters, in place of ids')
    .option('--type <TYPE>', 'with --all: only of this type', readTaskType)
    .option('--json', `the whole answer as JSON (${change.schema.typeName}, all in one)`)
    .addHelpText('after', examples)
    .hook('preAction', (command) => {
      const { all, type } = command.opts<ChangeOptions>();
      const { faults } = context;
      if (command.args.length === 0 && all === undefined) faults.add('No task is named: give ids, or --all.');
      if (command.args.length > 0 && all !== undefined)
        faults.add('--all takes the place of ids: leave one of both out.');
      if (type !== undefined && all === undefined) faults.add('--type narrows --all, which is not there; add --all.');
    })
    .action(async (taskIds: readonly string[], options: ChangeOptions, command: Command) => {
      await withChannel(addressOf(command, context.env), async (channel) => {
        const batches = options.all === undefined ? chunksOf(taskIds, IDS_MAX) : deadLetters(channel, options.type);
        context.exitCode = await changeAll(channel, change, batches, options, context);
      });
    });
}

/** Ids of dead letters, in batches. Changing those of a batch does not disturb the next: older ones follow. */
async function* deadLetters(channel: RpcChannel, type = ''): AsyncGenerator<string[], void, undefined> {
  let pageToken = '';
  let found = 0;
  for (let page = 0; page < ALL_PAGES_MAX && found < ALL_MAX; page += 1) {
    const request = { pageSize: PAGE_SIZE_MAX, pageToken, states: [TaskState.DEAD_LETTERED], type };
    const { tasks, nextPageToken } = await channel.call(TaskService.method.listTasks, request);
    if (tasks.length > 0) yield tasks.map(({ taskId }) => taskId);
    found += tasks.length;
    pageToken = nextPageToken;
    if (pageToken === '') return;
  }
}

async function changeAll(
  channel: RpcChannel,
  change: Change,
  batches: Iterable<string[]> | AsyncIterable<string[]>,
  { all, json }: ChangeOptions,
  context: CliContext,
): Promise<number> {
  const { terminal } = context;
  const results: TaskChangeResult[] = [];
  for await (const taskIds of batches) {
    const { method }: { readonly method: DescMethodUnary } = change;
    const answer = (await channel.call(method, { taskIds })) as unknown as { readonly results: TaskChangeResult[] };
    results.push(...answer.results);
    if (json !== undefined) continue;
    for (const { taskId, error } of answer.results) if (error === undefined) terminal.out(`${printable(taskId)}\n`);
  }
  if (json !== undefined) terminal.out(answerJson(change.schema, create(change.schema, { results })));
  const items = results.map(({ taskId, error }) => ({
    taskId: printable(taskId),
    error: error === undefined ? undefined : FleetError.fromStatusMessage(error),
  }));
  if (all !== undefined) terminal.note(`${items.filter(({ error }) => error === undefined).length} ${change.done}`);
  return tellRefused(items, context);
}

import { Option, type Command } from 'commander';
import { ListTasksResponseSchema } from '../../proto/gen/remuda/v1/task_service_pb.js';
import type { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { answerJson } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, withChannel } from './connection.js';
import { integerReader, readTaskState, readTaskType, TASK_STATE_NAMES } from './option-values.js';
import { lookOf } from './table.js';
import { listTasks, tasksText } from './task-list.js';

interface ListOptions {
  readonly state?: readonly TaskState[];
  readonly type?: string;
  readonly limit?: number;
  readonly json?: true;
}

/** Tasks that `list` shows unless --limit says otherwise. */
export const LIST_LIMIT_DEFAULT = 100;
/** The largest --limit: more than a person reads, and all of it is held in memory. */
export const LIST_LIMIT_MAX = 10_000;

const EXAMPLES = `
Examples:
  remuda list
  remuda list --state queued --state running
  remuda list --type file.checksum --state dead_lettered --limit 1000
  remuda list --json`;

/** Adds `remuda list`. */
export function addListCommand(program: Command, context: CliContext): void {
  program
    .command('list')
    .summary('list tasks, the newest first')
    .description('Lists tasks, the newest first: those that have not ended, and those that are still kept.')
    .addOption(
      new Option('--state <STATE>', 'only in this state; may be repeated')
        .choices(TASK_STATE_NAMES)
        .argParser(readTaskState),
    )
    .option('--type <TYPE>', 'only of this type', readTaskType)
    .option('--limit <N>', `how many at most (default: ${LIST_LIMIT_DEFAULT})`, integerReader(1, LIST_LIMIT_MAX))
    .option('--json', 'the whole answer as JSON (remuda.v1.ListTasksResponse, all pages in one)')
    .addHelpText('after', EXAMPLES)
    .action(async ({ state, type, limit = LIST_LIMIT_DEFAULT, json }: ListOptions, command: Command) => {
      const { terminal, clock } = context;
      const answer = await withChannel(addressOf(command, context.env), (channel) =>
        listTasks(channel, { states: state, type }, limit),
      );
      if (json !== undefined) {
        terminal.out(answerJson(ListTasksResponseSchema, answer));
        return;
      }
      if (answer.tasks.length === 0) terminal.note('no tasks');
      terminal.out(tasksText(answer.tasks, lookOf(terminal), clock.wallMs()));
      if (answer.nextPageToken !== '') terminal.note(moreText(answer.tasks.length));
    });
}

/** Says that a list goes on. */
function moreText(shown: number): string {
  return `the newest ${shown} are shown, and there are more: --limit N shows up to ${LIST_LIMIT_MAX}, --type and --state narrow it down`;
}

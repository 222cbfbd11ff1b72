import type { Command } from 'commander';
import { PayloadView } from '../../proto/gen/remuda/v1/payload_pb.js';
import { GetTaskResponseSchema, TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { answerJson } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, withChannel } from './connection.js';
import { CliError, EXIT } from './exit-status.js';
import { readTaskId } from './option-values.js';
import { taskText } from './task-text.js';

const EXAMPLES = `
Examples:
  remuda get 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60
  remuda get 01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60 --json`;

/** Adds `remuda get`. */
export function addGetCommand(program: Command, context: CliContext): void {
  program
    .command('get')
    .summary('show a task: state, attempts, result')
    .description('Shows a task as it stands.')
    .argument('<ID>', "the task's id", readTaskId)
    .option('--json', 'the whole answer as JSON (remuda.v1.GetTaskResponse)')
    .addHelpText('after', EXAMPLES)
    .action(async (taskId: string, { json }: { readonly json?: true }, command: Command) => {
      const payloadView = json === undefined ? PayloadView.DATA : PayloadView.VALUE;
      const response = await withChannel(addressOf(command, context.env), (channel) =>
        channel.call(TaskService.method.getTask, { taskId, payloadView }),
      );
      if (json !== undefined) {
        context.terminal.out(answerJson(GetTaskResponseSchema, response));
        return;
      }
      if (response.task === undefined) throw new CliError(EXIT.refused, `the answer has no task ${taskId}`);
      context.terminal.out(taskText(response.task));
    });
}

import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { v7 as uuidv7 } from 'uuid';
import { DAY_MS, TASK_TYPE_PATTERN } from '../../proto/bounds.js';
import { TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { JSON_CONTENT_TYPE } from '../../proto/payload.js';
import type { RpcChannel } from '../rpc.js';
import { addressOf, getCommandLine, withChannel } from './connection.js';
import { EXIT, usageError } from './exit-status.js';
import { durationReader, integerReader, readLabel, readUuid } from './option-values.js';
import { readPayloadArgument } from './payload-argument.js';
import { printable } from './terminal.js';
import { waitForTask, type TaskRequest } from './wait-for-task.js';
import type { CliContext } from './cli-context.js';

interface SubmitOptions {
  readonly wait?: true;
  readonly waitTimeout?: number;
  readonly priority?: number;
  readonly timeout?: number;
  readonly label?: Readonly<Record<string, string>>;
  readonly taskId?: string;
}

const EXAMPLES = `
Examples:
  remuda submit echo '{"hello":"world"}' --wait
  remuda submit file.checksum '{"path":"README.md"}' --wait --timeout 30s
  remuda submit file.stats @payload.json --label disk=ssd --priority 50
  generate-payload | remuda submit echo - --wait --wait-timeout 10s

Without --wait the task's id alone is printed; remuda get ID shows what became of it.
With --wait the result alone is printed. Exit status: 0 SUCCEEDED, 1 ended otherwise, 4 not ended within --wait-timeout.`;

/** Adds `remuda submit`. */
export function addSubmitCommand(program: Command, context: CliContext): void {
  program
    .command('submit')
    .summary('put a task in the queue, and wait for its result with --wait')
    .description('Puts a task in the queue.')
    .argument('<TYPE>', 'task type, such as file.checksum')
    .argument('[PAYLOAD]', 'JSON, @FILE, or - for stdin (default: null)')
    .option('--wait', 'wait until the task has ended and print its result')
    .option(
      '--wait-timeout <TIME>',
      'stop waiting after this time, such as 60s; the task goes on (default: wait for its end)',
      durationReader(1, DAY_MS),
    )
    .option('--priority <N>', '0 to 100, larger first (default: 10)', integerReader(0, 100))
    .option('--timeout <TIME>', 'how long one attempt may run, such as 30s (default: 5m)', durationReader(1, DAY_MS))
    .option('--label <K=V>', 'a label that the worker must have; may be repeated', readLabel)
    .option(
      '--task-id <UUID>',
      'the id; the same id with the same content is the same task (default: a new one)',
      readUuid,
    )
    .addHelpText('after', EXAMPLES)
    .action(async (type: string, payload: string | undefined, options: SubmitOptions, command: Command) => {
      if (options.waitTimeout !== undefined && options.wait === undefined) {
        throw usageError('--wait-timeout says how long to wait, and nothing waits without --wait; add --wait');
      }
      const task = await submitRequest(type, payload, options, context);
      const address = addressOf(command, context.env);
      context.exitCode = await withChannel(address, (channel) =>
        options.wait === undefined
          ? submitOnly(channel, task, context)
          : waitForTask({
              channel,
              task,
              waitTimeoutMs: options.waitTimeout,
              getLine: getCommandLine(task.taskId, command),
              context,
            }),
      );
    });
}

async function submitRequest(
  type: string,
  payload: string | undefined,
  options: SubmitOptions,
  context: CliContext,
): Promise<TaskRequest> {
  if (!TASK_TYPE_PATTERN.test(type)) {
    throw usageError(
      `the task type is ${JSON.stringify(type)}; it must be 1 to 127 characters of A-Z a-z 0-9 . _ : / -, beginning with a ` +
        'letter or digit, for instance file.checksum',
    );
  }
  const data = await readPayloadArgument(payload, () => context.stdin);
  const { priority, timeout, label } = options;
  return {
    taskId: options.taskId ?? uuidv7(),
    type,
    options: {
      ...(priority === undefined ? {} : { priority }),
      ...(timeout === undefined ? {} : { timeout: durationFromMs(timeout) }),
      ...(label === undefined ? {} : { requiredLabels: { ...label } }),
    },
    ...(data === undefined
      ? {}
      : { payload: { contentType: JSON_CONTENT_TYPE, body: { case: 'data' as const, value: data } } }),
  };
}

async function submitOnly(channel: RpcChannel, task: TaskRequest, { terminal }: CliContext): Promise<number> {
  const { taskId, notice, alreadyExisted } = await channel.call(TaskService.method.submitTask, task);
  terminal.out(`${printable(taskId)}\n`);
  if (alreadyExisted) terminal.note('this task existed already; nothing was added');
  if (notice !== '') terminal.note(terminal.noteStyle('yellow', printable(notice)));
  return EXIT.done;
}

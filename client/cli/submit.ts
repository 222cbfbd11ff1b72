import type { Command } from 'commander';
import { v7 as uuidv7 } from 'uuid';
import { DAY_MS } from '../../proto/bounds.js';
import { FleetService } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { SubmitTaskResponseSchema, TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { answerMissing, isAnswerMissing } from './acceptance.js';
import { answerJson } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, commandLine, withChannel } from './connection.js';
import { EXIT } from './exit-status.js';
import { durationReader, integerReader, momentReader, readLabel, readTaskType, readUuid } from './option-values.js';
import { readPayloadArgument } from './payload-argument.js';
import { submitEach, WINDOW_DEFAULT, WINDOW_MAX } from './submit-each.js';
import { taskRequest, type TaskSettings } from './task-request.js';
import { printable } from './terminal.js';
import { waitForTask, type WaitRequest } from './wait-for-task.js';

interface SubmitOptions extends TaskSettings {
  readonly wait?: true;
  readonly waitTimeout?: number;
  readonly taskId?: string;
  readonly each?: string;
  readonly window?: number;
  readonly json?: true;
}

const EXAMPLES = `
Without --wait the task's id alone is printed; \`remuda get ID\` shows what became
of it. With --wait the result alone is printed.

With --each every line of FILE (or of stdin, -) is the payload of a task of its
own. One line of JSON is printed for each, in the order in which the tasks end:
  {"line":1,"task_id":"...","state":"SUCCEEDED","result":...}
  {"line":2,"task_id":"...","state":"DEAD_LETTERED",
   "error":{"reason":"...","message":"..."}}                       (on one line)
Blank lines are skipped; a line that is no JSON has an error, and the run goes
on.

Examples:
  remuda submit echo '{"hello":"world"}' --wait
  remuda submit file.checksum '{"path":"README.md"}' --wait --timeout 30s
  remuda submit file.stats @payload.json --label disk=ssd --priority 50
  remuda submit report.send --run-at 10m
  generate-payload | remuda submit echo - --wait --wait-timeout 10s
  git ls-files | jq -cR '{path: .}' | remuda submit file.checksum --each -

Exit status: 0 SUCCEEDED, or submitted; 1 the task, or a line, did not succeed;
4 not ended within --wait-timeout; 74 the output could not be written, or with
--each: nobody reads it. \`remuda --help\` has the others.`;

/** Adds `remuda submit`. */
export function addSubmitCommand(program: Command, context: CliContext): void {
  program
    .command('submit')
    .summary('put a task in the queue; --wait for its result; --each line of a file')
    .description('Puts a task in the queue, or one for each line of a file.')
    .argument('<TYPE>', 'task type, such as file.checksum', readTaskType)
    .argument('[PAYLOAD]', 'JSON, @FILE, or - for stdin (default: null)')
    .option('--wait', 'wait until the task has ended and print its result')
    .option(
      '--wait-timeout <TIME>',
      'stop waiting after this time, such as 60s; the task goes on (default: wait for its end)',
      durationReader(1, DAY_MS),
    )
    .option('--each <FILE|->', 'submit each line as the payload of a task, and wait for all of them')
    .option(
      '--window <N>',
      `with --each: how many tasks may be under way (default: ${WINDOW_DEFAULT})`,
      integerReader(1, WINDOW_MAX),
    )
    .option('--priority <N>', '0 to 100, larger first (default: 10)', integerReader(0, 100))
    .option('--timeout <TIME>', 'how long one attempt may run, such as 30s (default: 5m)', durationReader(1, DAY_MS))
    .option(
      '--run-at <TIME>',
      'not before this time: 2030-01-31T08:00:00Z, or a span from now such as 10m (default: at once)',
      momentReader(() => context.clock.wallMs()),
    )
    .option('--label <K=V>', 'a label that the worker must have; may be repeated', readLabel)
    .option(
      '--task-id <UUID>',
      'the id; the same id with the same content is the same task (default: a new one)',
      readUuid,
    )
    .option('--json', 'the whole answer as JSON (remuda.v1.SubmitTaskResponse; with --wait RunTaskResponse)')
    .addHelpText('after', EXAMPLES)
    .hook('preAction', (command) => findFaults(command.args[1], command.opts(), context))
    .action(async (type: string, payload: string | undefined, options: SubmitOptions, command: Command) => {
      context.exitCode = await (options.each === undefined
        ? submitOne(type, payload, options, command, context)
        : submitLines(type, options.each, options, command, context));
    });
}

function findFaults(payload: string | undefined, options: SubmitOptions, { faults }: CliContext): void {
  const { each, wait, waitTimeout, window, taskId, json } = options;
  if (each === undefined) {
    if (waitTimeout !== undefined && wait === undefined) {
      faults.add('--wait-timeout says how long to wait, and nothing waits without --wait; add --wait.');
    }
    if (window !== undefined) faults.add('--window is about --each, which is not there; add --each FILE.');
    return;
  }
  if (payload !== undefined) faults.add('--each takes its payloads from FILE: leave the PAYLOAD argument out.');
  if (taskId !== undefined) faults.add('--task-id names one task, and --each submits many: leave it out.');
  if (json !== undefined) faults.add('--each prints JSON anyway, one line for each task: leave --json out.');
  if (each === '') faults.add('--each is "". It must be a file, or - for stdin.');
}

async function submitOne(
  type: string,
  payload: string | undefined,
  options: SubmitOptions,
  command: Command,
  context: CliContext,
): Promise<number> {
  const data = await readPayloadArgument(payload, () => context.stdin);
  const task = taskRequest(options.taskId ?? uuidv7(), type, data, options);
  const request = {
    ...{ task, context, waitTimeoutMs: options.waitTimeout },
    getLine: commandLine(`get ${task.taskId}`, command),
    json: options.json !== undefined,
  };
  context.seeLine = request.getLine;
  return withChannel(addressOf(command, context.env), (channel) =>
    options.wait === undefined ? submitOnly({ ...request, channel }) : waitForTask({ ...request, channel }),
  );
}

async function submitOnly({ channel, task, getLine, json, context }: WaitRequest): Promise<number> {
  const { terminal } = context;
  const answer = await channel.call(TaskService.method.submitTask, task).catch((error: unknown) => {
    const submitted = { address: channel.address, taskId: task.taskId, getLine };
    throw isAnswerMissing(error) ? answerMissing(submitted, error) : error;
  });
  const { taskId, notice, alreadyExisted } = answer;
  terminal.out(json ? answerJson(SubmitTaskResponseSchema, answer) : `${printable(taskId)}\n`);
  if (alreadyExisted) terminal.note('this task existed already; nothing was added');
  if (notice !== '') terminal.note(terminal.noteStyle('yellow', printable(notice)));
  return EXIT.done;
}

async function submitLines(
  type: string,
  source: string,
  options: SubmitOptions,
  command: Command,
  context: CliContext,
): Promise<number> {
  const address = addressOf(command, context.env);
  // Without a coordinator nothing is read, and no line is told that it failed.
  await withChannel(address, (channel) => channel.call(FleetService.method.getFleetStats, {}));
  const listLine = commandLine(`list --type ${type}`, command);
  context.seeLine = listLine;
  return submitEach({
    address,
    source,
    taskOf: (payload) => taskRequest(uuidv7(), type, payload, options),
    window: options.window ?? WINDOW_DEFAULT,
    waitTimeoutMs: options.waitTimeout,
    listLine,
    context,
  });
}

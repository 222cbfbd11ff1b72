import { Command, CommanderError } from 'commander';
import { addressFault, DEFAULT_ADDRESS } from '../address.js';
import { packageVersion } from '../../proto/package-version.js';
import { addCancelCommand } from './cancel.js';
import type { CliContext } from './cli-context.js';
import { addCompletionCommand } from './completion.js';
import { addDevCommand } from './dev.js';
import { addDlqCommand } from './dlq.js';
import { addDrainCommand } from './drain.js';
import { errorText, EXIT, exitStatusOf } from './exit-status.js';
import { collectFaults } from './faults.js';
import { addGetCommand } from './get.js';
import { addListCommand } from './list.js';
import { addQueuesCommand } from './queues.js';
import { addResumeCommand } from './resume.js';
import { addStatsCommand } from './stats.js';
import { addSubmitCommand } from './submit.js';
import { addWatchCommand } from './watch.js';
import { addWorkersCommand } from './workers.js';

const HELP = `
Examples:
  remuda dev                      a coordinator and workers on this machine
  remuda submit file.checksum '{"path":"README.md"}' --wait
  remuda list --state running
  remuda workers
  source <(remuda completion bash)

Exit status: 0 done, 1 the task (or a line) failed, 2 wrong usage, 3 coordinator
unreachable, 4 timed out waiting, 5 refused (not found, already exists, over a
bound), 70 a bug, 74 stdout could not be written, 130 interrupted.`;

const GROUPS: readonly (readonly [heading: string, ...((program: Command, context: CliContext) => void)[]])[] = [
  ['Tasks:', addSubmitCommand, addGetCommand, addListCommand, addWatchCommand, addCancelCommand, addDlqCommand],
  ['Fleet:', addWorkersCommand, addQueuesCommand, addStatsCommand, addDrainCommand, addResumeCommand],
  ['This machine:', addDevCommand, addCompletionCommand],
];

/** Runs `remuda` with these arguments. Fulfilled with the exit status; errors are told on stderr. */
export async function runProgram(argv: readonly string[], context: CliContext): Promise<number> {
  const { terminal } = context;
  const program = createProgram(context);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    terminal.note(`${terminal.noteStyle('red', 'remuda:')} ${errorText(error)}`);
    return exitStatusOf(error);
  }
}

function createProgram(context: CliContext): Command {
  const { terminal, faults } = context;
  const program = new Command('remuda')
    .description("Remuda's command line: run a fleet here, submit tasks, look at them.")
    .version(packageVersion())
    .option(
      '--address <ADDRESS>',
      `the coordinator, HOST:PORT or unix:PATH (default: REMUDA_ADDRESS or ${DEFAULT_ADDRESS})`,
      (text) => readAddress(text, context),
    )
    .addHelpText('after', HELP)
    .showHelpAfterError('(remuda --help says more, also after a command: remuda submit --help)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.note(text.trimEnd()),
      // What commander refuses ends the parsing; the values that were refused before belong to the same message.
      outputError: (text, write) => write(faults.text === undefined ? text : `${text}${faults.text}`),
    })
    .exitOverride();
  for (const [heading, ...adders] of GROUPS) {
    program.commandsGroup(heading);
    for (const add of adders) add(program, context);
  }
  program.addHelpCommand(
    new Command('help').argument('[command]').description('show help for a command').helpGroup('This machine:'),
  );
  collectFaults(program, faults);
  return program;
}

function readAddress(text: string, { faults }: CliContext): string {
  const fault = addressFault(text);
  if (fault !== undefined) faults.add(`--address: ${fault}.`);
  return text;
}

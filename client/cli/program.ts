import { Command, CommanderError } from 'commander';
import { DEFAULT_ADDRESS } from '../address.js';
import { packageVersion } from '../../proto/package-version.js';
import type { CliContext } from './cli-context.js';
import { addDevCommand } from './dev.js';
import { errorText, EXIT, exitStatusOf } from './exit-status.js';
import { addGetCommand } from './get.js';
import { addStatsCommand } from './stats.js';
import { addSubmitCommand } from './submit.js';
import { addWorkersCommand } from './workers.js';

const HELP = `
Examples:
  remuda dev                                             a coordinator and workers on this machine
  remuda submit file.checksum '{"path":"README.md"}' --wait
  remuda workers

Exit status: 0 done, 1 the task failed, 2 wrong usage, 3 coordinator unreachable, 4 timed out waiting, 5 refused (not found,
already exists, over a bound), 70 a bug, 130 interrupted.`;

/** Runs `remuda` with these arguments. Fulfilled with the exit status; errors are told on stderr. */
export async function runProgram(argv: readonly string[], context: CliContext): Promise<number> {
  const { terminal } = context;
  const program = new Command('remuda')
    .description("Remuda's command line: run a fleet here, submit tasks, look at them.")
    .version(packageVersion())
    .option(
      '--address <ADDRESS>',
      `the coordinator, HOST:PORT or unix:PATH (default: REMUDA_ADDRESS or ${DEFAULT_ADDRESS})`,
    )
    .addHelpText('after', HELP)
    .showHelpAfterError('(remuda --help says more, also after a command: remuda submit --help)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.note(text.trimEnd()),
    })
    .exitOverride();
  for (const add of [addSubmitCommand, addGetCommand, addWorkersCommand, addStatsCommand, addDevCommand]) {
    add(program, context);
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    terminal.note(`${terminal.noteStyle('red', 'remuda:')} ${errorText(error)}`);
    return exitStatusOf(error);
  }
}

import { Argument, type Command } from 'commander';
import type { CliContext } from './cli-context.js';
import { completionScript, SHELLS, type Shell } from './completion-script.js';

const EXAMPLES = `
Examples:
  source <(remuda completion bash)                      in ~/.bashrc
  source <(remuda completion zsh)                       in ~/.zshrc, after compinit
  remuda completion fish > ~/.config/fish/completions/remuda.fish`;

/** Adds `remuda completion`. */
export function addCompletionCommand(program: Command, context: CliContext): void {
  program
    .command('completion')
    .summary('print a completion script for bash, zsh or fish')
    .description('Prints a script that completes the commands and options of remuda in a shell.')
    .addArgument(new Argument('<SHELL>', 'the shell').choices(SHELLS))
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell) => context.terminal.out(completionScript(shell, program)));
}

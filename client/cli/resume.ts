import type { Command } from 'commander';
import { FleetService, ResumeWorkersResponseSchema } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { answerJson } from './answer-json.js';
import type { CliContext } from './cli-context.js';
import { addressOf, withChannel } from './connection.js';
import { drainsText } from './drains-text.js';
import { readWorkerPattern } from './option-values.js';
import { lookOf } from './table.js';

const EXAMPLES = `
A pattern is one that was given to \`remuda drain\`, or a pattern of such patterns;
\`remuda stats\` lists those that are held.

Examples:
  remuda resume 'host-1/*'
  remuda resume '*'`;

/** Adds `remuda resume`. */
export function addResumeCommand(program: Command, context: CliContext): void {
  program
    .command('resume')
    .summary('give drained workers work again')
    .description('Gives up drains, so that their workers get work again.')
    .argument('<PATTERN...>', 'patterns of drains', readWorkerPattern)
    .option('--json', 'the whole answer as JSON (remuda.v1.ResumeWorkersResponse)')
    .addHelpText('after', EXAMPLES)
    .action(async (workerPatterns: readonly string[], { json }: { readonly json?: true }, command: Command) => {
      const { terminal, clock } = context;
      const answer = await withChannel(addressOf(command, context.env), (channel) =>
        channel.call(FleetService.method.resumeWorkers, { workerPatterns: [...workerPatterns] }),
      );
      if (json !== undefined) {
        terminal.out(answerJson(ResumeWorkersResponseSchema, answer));
        return;
      }
      terminal.out(drainsText(answer.drains, lookOf(terminal), clock.wallMs()));
      const { resumedWorkerCount: count } = answer;
      terminal.note(`${count} ${count === 1 ? 'worker' : 'workers'} may get work again`);
    });
}

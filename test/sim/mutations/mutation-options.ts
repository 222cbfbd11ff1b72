import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { parseCommand } from '../../../proto/program-options.js';
import { JOBS, refuseFaults, SEED, SEED_COUNT, wholeNumber, type WholeNumber } from '../campaign/campaign-options.js';

/** What `npm run sim:mutations` was told, checked, defaults filled in. */
export interface MutationCommand {
  /** Mutations to try. Default: all. */
  readonly names: readonly string[];
  /** The first seed. Default 1. */
  readonly from: number;
  /** How many seeds are tried before a mutation counts as not noticed. Default 1,000. */
  readonly seeds: number;
  /** How many run at a time. Default: one a core. */
  readonly jobs: number;
  /** Print what there is, and try nothing. */
  readonly list: boolean;
}

const PROGRAM = 'npm run sim:mutations';
const SEEDS = 1_000;

/**
 * @param argv without the program's own two
 * @param known Names of all mutations
 * @throws {UsageExit} with every fault in one message
 */
export function parseMutationOptions(argv: readonly string[], known: readonly string[]): MutationCommand {
  const command = commandLine();
  parseCommand(command, argv);
  const given = command.opts<Partial<Record<string, string | boolean>>>();
  const faults = command.args.flatMap((name) => {
    if (known.includes(name)) return [];
    return name.startsWith('-') ? `unexpected "${name}"` : `there is no mutation "${name}"; --list prints their names`;
  });
  const numberOf = (option: WholeNumber): number | null => wholeNumber(given[option.name], option, faults);
  const options = {
    names: command.args.length === 0 ? known : command.args,
    from: numberOf(SEED) ?? 1,
    seeds: numberOf(SEED_COUNT) ?? SEEDS,
    jobs: numberOf(JOBS) ?? availableParallelism(),
    list: given['list'] === true,
  };
  refuseFaults(PROGRAM, faults);
  return options;
}

function commandLine(): Command {
  const examples = ['', ' skip-fence hold-not-durable --seeds 2000'].map((args) => `  ${PROGRAM} --${args}`);
  return new Command(PROGRAM)
    .description('Breaks a copy of the product on purpose, in many ways, and shows the simulation noticing each.')
    .argument('[NAME...]', 'mutations to try (default: all)')
    .option('--seeds <N>', `seeds after which a mutation counts as not noticed (default ${SEEDS})`)
    .option('--from <SEED>', 'the first (default 1)')
    .option('--jobs <N>', `how many run at a time (default: one a core, here ${availableParallelism()})`)
    .option('--list', 'print the names and what each breaks, and try nothing')
    .addHelpText('after', `\nExits with 1 if one is not noticed.\n\nExamples:\n${examples.join('\n')}`);
}

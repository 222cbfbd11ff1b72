import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { parseCommand, UsageExit } from '../../../proto/program-options.js';
import type { RunLimits } from './seed-run.js';

/** What `npm run sim` was told, checked, defaults filled in. */
export interface CampaignCommand {
  /** The first seed. Default 1. */
  readonly from: number;
  /** How many, one after the other. Default 1,000; with `trace`, 1. */
  readonly seeds: number;
  /** How many run at a time. Default: one a core. */
  readonly jobs: number;
  /** How much of each run happens. Default: all. */
  readonly limits: RunLimits;
  /** Print all that happens in the one seed. */
  readonly trace: boolean;
}

/** The number that an option is given, or a fault of it. */
export interface WholeNumber {
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

const PROGRAM = 'npm run sim';
const SEEDS = 1_000;
/** Only 32 bits of a seed count: two that differ by more would be the same. */
export const SEED: WholeNumber = { name: 'from', min: 0, max: 2 ** 32 - 1 };
export const SEED_COUNT: WholeNumber = { name: 'seeds', min: 1, max: 10_000_000 };
export const JOBS: WholeNumber = { name: 'jobs', min: 1, max: 256 };
const FAULTS: WholeNumber = { name: 'faults', min: 0, max: 1_000_000 };
const TASKS: WholeNumber = { name: 'tasks', min: 0, max: 1_000_000 };

/**
 * @param argv without the program's own two
 * @throws {UsageExit} with every fault in one message
 */
export function parseCampaignOptions(argv: readonly string[]): CampaignCommand {
  const command = commandLine();
  parseCommand(command, argv);
  const given = command.opts<Partial<Record<string, string | boolean>>>();
  const faults = command.args.map((text) => `unexpected "${text}"`);
  const numberOf = (option: WholeNumber): number | null => wholeNumber(given[option.name], option, faults);
  const trace = given['trace'] === true;
  const options = {
    from: numberOf(SEED) ?? 1,
    seeds: numberOf(SEED_COUNT) ?? (trace ? 1 : SEEDS),
    jobs: numberOf(JOBS) ?? availableParallelism(),
    limits: { ...limitOf('maxFaults', numberOf(FAULTS)), ...limitOf('maxTasks', numberOf(TASKS)) },
    trace,
  };
  if (trace && options.seeds > 1)
    faults.push(`--seeds is "${options.seeds}": --trace prints one seed; say which by --from`);
  refuseFaults(PROGRAM, faults);
  return options;
}

function limitOf(name: keyof RunLimits, value: number | null): RunLimits {
  return value === null ? {} : { [name]: value };
}

/** The value of an option; null if it was not given. What is wrong with it goes to `faults`. */
export function wholeNumber(
  text: string | boolean | undefined,
  { name, min, max }: WholeNumber,
  faults: string[],
): number | null {
  if (typeof text !== 'string') return null;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  faults.push(`--${name} is "${text}": it must be a whole number from ${min} to ${max}`);
  return null;
}

/** @throws {UsageExit} if there are faults */
export function refuseFaults(program: string, faults: readonly string[]): void {
  if (faults.length === 0) return;
  const list = faults.map((text) => `  - ${text}`).join('\n');
  throw new UsageExit(`${program}: cannot start\n${list}\n${program} -- --help says more`, 2);
}

function commandLine(): Command {
  const examples = ['--seeds 5000 --from 1000', '--from 7 --trace', '--from 7 --seeds 1 --faults 3 --tasks 1 --trace'];
  const lines = examples.map((args) => `  ${PROGRAM} -- ${args}`);
  return new Command(PROGRAM)
    .description('Runs seeds of the simulation, and shrinks what fails. Exits with 1 if a seed breaks a rule.')
    .option('--seeds <N>', `how many seeds, one after the other (default ${SEEDS}; with --trace 1)`)
    .option('--from <SEED>', 'the first (default 1)')
    .option('--jobs <N>', `how many run at a time (default: one a core, here ${availableParallelism()})`)
    .option('--faults <N>', 'only the first so many faults of each run happen')
    .option('--tasks <N>', 'only the first so many tasks of each run are submitted')
    .option('--trace', 'print all that happens in the one seed')
    .addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

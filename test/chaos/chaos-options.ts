import { Command } from 'commander';
import ms from 'ms';
import { parseCommand, parseTimeMs, UsageExit } from '../../proto/program-options.js';
import type { FLEET_SHAPES } from './fleet.js';

/** What a run was told, checked, defaults filled in. */
export interface ChaosOptions {
  /** How long faults are done, in milliseconds. */
  readonly forMs: number;
  /** Null: none was given. */
  readonly seed: number | null;
  /** Tasks a second, of all clients together. */
  readonly rate: number;
  /** Mean time between two faults, in milliseconds. */
  readonly gapMs: number;
  readonly fleet: keyof typeof FLEET_SHAPES;
  /** Where the report is written for machines; null: nowhere. */
  readonly json: string | null;
  /** The folder of the run stays, whatever came out. */
  readonly keep: boolean;
}

/** As people type it. */
export const CHAOS_COMMAND = 'npm run chaos';

const MINUTES = { default: 5, min: 0.05, max: 1_440 } as const;
const RATE = { default: 12, min: 0.1, max: 200 } as const;
const GAP_MS = { default: 2_500, min: 200, max: 60_000 } as const;
export const SEED_MAX = 2 ** 31 - 1;

/**
 * @param argv without the program's own two
 * @throws {UsageExit} with every fault in one message
 */
export function parseChaosOptions(argv: readonly string[]): ChaosOptions {
  const command = commandLine();
  parseCommand(command, argv);
  const given = command.opts<Partial<Record<string, string | boolean>>>();
  const faults = command.args.map((text) => `unexpected "${text}"`);
  const options = {
    forMs: 60_000 * numberOf('--minutes', given['minutes'], MINUTES, faults),
    seed: seedOf(given['seed'], faults),
    rate: numberOf('--rate', given['rate'], RATE, faults),
    gapMs: gapOf(given['gap'], faults),
    fleet: given['small'] === true ? 'small' : 'full',
    json: typeof given['json'] === 'string' ? given['json'] : null,
    keep: given['keep'] === true,
  } as const;
  if (faults.length === 0) return options;
  const list = faults.map((text) => `  - ${text}`).join('\n');
  throw new UsageExit(`${CHAOS_COMMAND}: cannot start\n${list}\n${CHAOS_COMMAND} -- --help says more`, 2);
}

/** The command that repeats a run's faults, in kind and order; which processes they meet at which moment is never the same. */
export function commandOf({ forMs, rate, gapMs, fleet }: ChaosOptions, seed: number): string {
  const small = fleet === 'small' ? ' --small' : '';
  return `${CHAOS_COMMAND} -- --minutes ${forMs / 60_000} --seed ${seed} --rate ${rate} --gap ${gapMs}ms${small}`;
}

function commandLine(): Command {
  return new Command(CHAOS_COMMAND)
    .description(
      'Runs a coordinator, workers and clients as real processes on loopback, hurts them at random, and judges by a ledger outside ' +
        'the system that nothing was lost and nothing ended twice.',
    )
    .option('--minutes <N>', `how long faults are done, ${MINUTES.min} to ${MINUTES.max} (default ${MINUTES.default})`)
    .option('--seed <N>', `what decides the faults, 0 to ${SEED_MAX} (default: another one each time)`)
    .option('--rate <N>', `tasks a second, ${RATE.min} to ${RATE.max} (default ${RATE.default})`)
    .option(
      '--gap <TIME>',
      `mean time between faults, ${ms(GAP_MS.min)} to ${ms(GAP_MS.max)} (default ${GAP_MS.default}ms)`,
    )
    .option('--small', 'one supervisor with two processes, one more worker, one client')
    .option('--json <FILE>', 'write the report as JSON')
    .option('--keep', 'keep the folder with ledger, logs and store, whatever came out')
    .addHelpText(
      'after',
      '\nThe report goes to standard output as Markdown, what is being done to standard error. The full disk needs Linux and leave to\n' +
        'make namespaces (root, or user namespaces); without it, it is left out, and the report says so.\n\n' +
        'Exit status: 0 all holds, 1 something does not (the folder with ledger and logs is kept), 2 wrong options, 130 or 143 ended\n' +
        'by a signal.',
    );
}

interface Bounds {
  readonly default: number;
  readonly min: number;
  readonly max: number;
}

function numberOf(name: string, text: unknown, bounds: Bounds, faults: string[]): number {
  if (typeof text !== 'string') return bounds.default;
  const value = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : NaN;
  if (!(value >= bounds.min && value <= bounds.max)) {
    faults.push(`${name} is "${text}": it must be a number from ${bounds.min} to ${bounds.max}`);
  }
  return value;
}

function seedOf(text: unknown, faults: string[]): number | null {
  if (typeof text !== 'string') return null;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value <= SEED_MAX)) faults.push(`--seed is "${text}": it must be a whole number from 0 to ${SEED_MAX}`);
  return value;
}

function gapOf(text: unknown, faults: string[]): number {
  if (typeof text !== 'string') return GAP_MS.default;
  const value = parseTimeMs(text);
  if (!(value >= GAP_MS.min && value <= GAP_MS.max)) {
    faults.push(
      `--gap is "${text}": it must be a time with its unit from ${ms(GAP_MS.min)} to ${ms(GAP_MS.max)}, for instance 2s`,
    );
  }
  return value;
}

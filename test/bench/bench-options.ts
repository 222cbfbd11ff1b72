import { Command } from 'commander';
import ms from 'ms';
import { parseCommand, parseTimeMs, UsageExit } from '../../proto/program-options.js';

/** What `npm run bench` was told, checked, defaults filled in. */
export interface BenchOptions {
  /** A row is measured if its `contender/row` contains one of these; all are if there is none. */
  readonly only: readonly string[];
  /** How often each is measured. 1 to 100. Default 5; quick: 1. */
  readonly rounds: number;
  /** How long each is measured each time, in milliseconds. 50 ms to 60 s. Default 2 s; quick: 400 ms. */
  readonly measureMs: number;
  /** How long the load of a row runs before it is measured, in milliseconds. */
  readonly settleMs: number;
  /** How long processes that have just been started are warmed up, in milliseconds. */
  readonly warmMs: number;
  /** Where the figures are written, for machines and for docs/benchmarks.md; null: nowhere. */
  readonly json: string | null;
  readonly markdown: string | null;
  /** A folder for CPU profiles of the coordinators; null: none are made. */
  readonly profile: string | null;
  /** Print the names, measure nothing. */
  readonly list: boolean;
}

const COMMAND = 'npm run bench';

const ROUNDS = { full: 5, quick: 1, max: 100 } as const;
const MEASURE_MS = { full: 2_000, quick: 400, min: 50, max: 60_000 } as const;
/** Of what is measured. After so much V8 has compiled what is hot; how full the pipes are settles soon. */
const WARM_SHARE = 1.5;
const SETTLE_SHARE = 0.15;
/** More does not help. */
const WARM_MS_MAX = 1_500;

const HELP = `
Tables go to standard output, what is being done to standard error. Compare figures of one run only.

Examples:
  npm run bench
  npm run bench -- --quick --only pipe/64 --only memory-thread/64
  npm run bench -- --json bench.json --markdown bench.md`;

/**
 * @param argv without the program's own two
 * @param names Every `contender/row` there is
 * @throws {UsageExit} with every fault in one message
 */
export function parseBenchOptions(argv: readonly string[], names: readonly string[]): BenchOptions {
  const command = new Command(COMMAND)
    .description('Measures the floors and Remuda, in turn, and shows both.')
    .option('--quick', 'once, and briefly')
    .option('--only <NAME>', 'only rows whose name contains this; may be repeated', collect)
    .option(
      '--runs <N>',
      `how often each is measured, 1 to ${ROUNDS.max} (default ${ROUNDS.full}; quick ${ROUNDS.quick})`,
    )
    .option('--time <TIME>', `how long each is measured, 50ms to 60s (default 2s; quick ${MEASURE_MS.quick}ms)`)
    .option('--json <FILE>', 'write all that was measured as JSON')
    .option('--markdown <FILE>', 'write the tables as Markdown')
    .option('--profile <FOLDER>', 'write a CPU profile of each coordinator')
    .option('--list', 'print the names of all rows, and measure nothing')
    .addHelpText('after', HELP);
  parseCommand(command, argv);
  const given = command.opts<Partial<Record<string, string | string[] | boolean>>>();
  const faults = command.args.map((text) => `unexpected "${text}"`);
  const quick = given.quick === true;
  const only = Array.isArray(given.only) ? given.only : [];
  for (const part of only) {
    if (names.some((name) => name.includes(part))) continue;
    faults.push(`--only is "${part}": no row's name contains it; ${COMMAND} -- --list prints them`);
  }
  const rounds = roundsOf(textOf(given.runs), quick, faults);
  const measureMs = measureMsOf(textOf(given.time), quick, faults);
  if (faults.length > 0) {
    const list = faults.map((text) => `  - ${text}`).join('\n');
    throw new UsageExit(`${COMMAND}: cannot start\n${list}\n${COMMAND} -- --help says more`, 2);
  }
  return {
    only,
    rounds,
    measureMs,
    settleMs: Math.round(measureMs * SETTLE_SHARE),
    warmMs: Math.min(WARM_MS_MAX, Math.round(measureMs * WARM_SHARE)),
    json: textOf(given.json),
    markdown: textOf(given.markdown),
    profile: textOf(given.profile),
    list: given.list === true,
  };
}

/** The command that measures the same again, whatever the defaults are by then. */
export function commandOf({ only, rounds, measureMs }: BenchOptions): string {
  const parts = only.map((part) => ` --only ${part}`);
  return `${COMMAND} -- --runs ${rounds} --time ${measureMs}ms${parts.join('')}`;
}

function roundsOf(text: string | null, quick: boolean, faults: string[]): number {
  if (text === null) return quick ? ROUNDS.quick : ROUNDS.full;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(value >= 1 && value <= ROUNDS.max)) {
    faults.push(`--runs is "${text}": it must be a whole number from 1 to ${ROUNDS.max}`);
  }
  return value;
}

function measureMsOf(text: string | null, quick: boolean, faults: string[]): number {
  if (text === null) return quick ? MEASURE_MS.quick : MEASURE_MS.full;
  const value = parseTimeMs(text);
  if (!(value >= MEASURE_MS.min && value <= MEASURE_MS.max)) {
    const bounds = `${ms(MEASURE_MS.min)} to ${ms(MEASURE_MS.max)}`;
    faults.push(`--time is "${text}": it must be a time with its unit from ${bounds}, for instance 500ms or 5s`);
  }
  return value;
}

function textOf(value: string | string[] | boolean | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

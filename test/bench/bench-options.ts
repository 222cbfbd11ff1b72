import { Command } from 'commander';
import ms from 'ms';
import { parseCommand, parseTimeMs, UsageExit } from '../../proto/program-options.js';

/** A benchmark, as its command line describes it. */
export interface BenchProgram<Own extends string = string> {
  /** As people type it, for instance `npm run bench`. */
  readonly command: string;
  /** A sentence: what it measures. */
  readonly description: string;
  /** Arguments, a line each, that show what can be asked for. */
  readonly examples: readonly string[];
  /** Options that it alone has, each with a path as its value: what stands for the path, and what comes to be there. */
  readonly own: Readonly<Record<Own, readonly [value: string, what: string]>>;
}

/** What a benchmark was told, checked, defaults filled in. */
export interface BenchOptions<Own extends string = string> {
  /** All is done briefly, and what is counted is counted less often. */
  readonly isQuick: boolean;
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
  /** The paths that the program's own options were given; null: not given. */
  readonly own: Readonly<Record<Own, string | null>>;
  /** Print the names, measure nothing. */
  readonly list: boolean;
}

const ROUNDS = { full: 5, quick: 1, max: 100 } as const;
const MEASURE_MS = { full: 2_000, quick: 400, min: 50, max: 60_000 } as const;
/** Of what is measured. After so much V8 has compiled what is hot; how full the pipes are settles soon. */
const WARM_SHARE = 1.5;
const SETTLE_SHARE = 0.15;
/** More does not help. */
const WARM_MS_MAX = 1_500;

/**
 * @param argv without the program's own two
 * @param names Every `contender/row` there is
 * @throws {UsageExit} with every fault in one message
 */
export function parseBenchOptions<Own extends string>(
  argv: readonly string[],
  names: readonly string[],
  program: BenchProgram<Own>,
): BenchOptions<Own> {
  const command = commandLine(program);
  parseCommand(command, argv);
  const given = command.opts<Partial<Record<string, string | string[] | boolean>>>();
  const faults = command.args.map((text) => `unexpected "${text}"`);
  const isQuick = given.quick === true;
  const only = Array.isArray(given.only) ? given.only : [];
  for (const part of only) {
    if (names.some((name) => name.includes(part))) continue;
    faults.push(`--only is "${part}": no row's name contains it; ${program.command} -- --list prints them`);
  }
  const rounds = roundsOf(textOf(given.runs), isQuick, faults);
  const measureMs = measureMsOf(textOf(given.time), isQuick, faults);
  if (faults.length > 0) {
    const list = faults.map((text) => `  - ${text}`).join('\n');
    throw new UsageExit(`${program.command}: cannot start\n${list}\n${program.command} -- --help says more`, 2);
  }
  const own = Object.keys(program.own).map((name) => [name, textOf(given[name])]);
  return {
    isQuick,
    only,
    rounds,
    measureMs,
    settleMs: Math.round(measureMs * SETTLE_SHARE),
    warmMs: Math.min(WARM_MS_MAX, Math.round(measureMs * WARM_SHARE)),
    json: textOf(given.json),
    markdown: textOf(given.markdown),
    own: Object.fromEntries(own) as Record<Own, string | null>,
    list: given.list === true,
  };
}

function commandLine({ command, description, examples, own }: BenchProgram): Command {
  const parser = new Command(command)
    .description(description)
    .option('--quick', 'once, and briefly')
    .option('--only <NAME>', 'only rows whose name contains this; may be repeated', collect)
    .option(
      '--runs <N>',
      `how often each is measured, 1 to ${ROUNDS.max} (default ${ROUNDS.full}; quick ${ROUNDS.quick})`,
    )
    .option('--time <TIME>', `how long each is measured, 50ms to 60s (default 2s; quick ${MEASURE_MS.quick}ms)`)
    .option('--json <FILE>', 'write all that was measured as JSON')
    .option('--markdown <FILE>', 'write the tables as Markdown');
  for (const [name, [value, what]] of Object.entries(own)) parser.option(`--${name} <${value}>`, what);
  const lines = [command, ...examples.map((args) => `${command} -- ${args}`)].map((line) => `  ${line}`);
  const notes = 'Tables go to standard output, what is being done to standard error. Compare figures of one run only.';
  return parser
    .option('--list', 'print the names of all rows, and measure nothing')
    .addHelpText('after', `\n${notes}\n\nExamples:\n${lines.join('\n')}`);
}

/** The command that measures the same again, whatever the defaults are by then. */
export function commandOf(command: string, { isQuick, only, rounds, measureMs }: BenchOptions): string {
  const parts = only.map((part) => ` --only ${part}`);
  const quick = isQuick ? ' --quick' : '';
  return `${command} --${quick} --runs ${rounds} --time ${measureMs}ms${parts.join('')}`;
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

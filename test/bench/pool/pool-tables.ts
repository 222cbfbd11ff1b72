import { median, RESULT_COLUMNS, tableOf, whole, type Table, type TableLayout } from '../report.js';
import { spreadOf, type Result, type Spread } from '../result.js';
import type { Finding, Goal } from './finding.js';
import { trendOf, type MemorySample } from './memory-track.js';
import { MEMORY_OF } from './pool-checks.js';
import { SPAWNS } from './pool-contenders.js';

const { name, what, inFlight, perS, perSSpread, p50, p99, p50Spread, p99Spread } = RESULT_COLUMNS;
const TIMES = [name, what, p50, p50Spread, p99, p99Spread];

/** How many times as long a new process takes as a warm worker, in the same round. */
interface Ratio {
  readonly name: string;
  /** By the name of the baseline. */
  readonly p50: ReadonlyMap<string, Spread | null>;
  readonly p99: ReadonlyMap<string, Spread | null>;
}

/** The tables of results, in their order; the ratios come after the first. */
export function poolLayouts(workers: number): readonly TableLayout[] {
  return [
    { table: 'pool-start', title: "Submit to the handler's entry: one task at a time, a slot is free", columns: TIMES },
    {
      table: 'pool-wait',
      title: `Queueing: a burst of three tasks of 20 ms for each of ${workers} slots; how long those that had to wait did`,
      columns: TIMES,
    },
    { table: 'pool-handover', title: 'The same: from the end of one task to the entry of the next', columns: TIMES },
    {
      table: 'pool-echo',
      title: `Submit to result: a 128-byte echo, ${workers} workers, one task each at a time`,
      columns: [name, what, inFlight, perS, perSSpread, p50, p99],
    },
  ];
}

/** How many times as long a new process takes to enter the handler; none where a baseline was not measured. */
export function ratioTable(results: readonly Result[]): Table[] {
  const baselines = SPAWNS.map((spawn) => results.find((result) => result.name === `${spawn}/start`));
  const measured = baselines.filter((baseline) => baseline !== undefined);
  const pools = results.filter((result) => result.table === 'pool-start' && result.name.startsWith('pool-'));
  if (measured.length === 0 || pools.length === 0) return [];
  const times = (spread: Spread | null | undefined): string => median(spread ?? null, (value) => `${whole(value)} ×`);
  const columns = measured.flatMap((baseline) => [
    { head: `${baseline.name} p50`, cell: (ratio: Ratio) => times(ratio.p50.get(baseline.name)) },
    { head: `${baseline.name} p99`, cell: (ratio: Ratio) => times(ratio.p99.get(baseline.name)) },
  ]);
  const ratios = pools.map((pool): Ratio => {
    const over = (key: 'p50Ms' | 'p99Ms') =>
      new Map(measured.map((baseline) => [baseline.name, ratioOf(baseline, pool, key)]));
    return { name: pool.name, p50: over('p50Ms'), p99: over('p99Ms') };
  });
  return [
    tableOf(
      'How many times as long as a warm worker a new process takes',
      [{ ...name, cell: (r) => r.name }, ...columns],
      ratios,
    ),
  ];
}

/** What the checks found, and whether it is as it should be. */
export function findingTable(findings: readonly Finding[]): Table[] {
  if (findings.length === 0) return [];
  const columns = [
    { head: 'name', cell: (finding: Finding) => finding.name, isWords: true },
    { head: 'what', cell: (finding: Finding) => finding.what, isWords: true },
    { head: 'value', cell: ({ value, unit }: Finding) => withUnit(value, unit) },
    { head: 'goal', cell: ({ goal, unit }: Finding) => (goal === null ? '-' : goalText(goal, unit)) },
    { head: 'met', cell: ({ isMet }: Finding) => (isMet === null ? '-' : isMet ? 'yes' : 'NO'), isWords: true },
  ];
  return [tableOf('Checks', columns, findings)];
}

/** Resident memory, in figures. */
export function memoryTable(track: readonly MemorySample[]): Table[] {
  if (track.length === 0) return [];
  const tasks = track.at(-1)?.tasks ?? 0;
  const rows = MEMORY_OF.map((whose) => ({ ...whose, ...trendOf(track, whose.of) }));
  const columns = [
    { head: 'name', cell: (row: (typeof rows)[number]) => row.name, isWords: true },
    { head: 'what', cell: (row: (typeof rows)[number]) => row.what, isWords: true },
    { head: 'first quarter MiB', cell: (row: (typeof rows)[number]) => row.firstMib.toFixed(1) },
    { head: 'last quarter MiB', cell: (row: (typeof rows)[number]) => row.lastMib.toFixed(1) },
    { head: 'MiB per 100,000 tasks', cell: (row: (typeof rows)[number]) => row.mibPer100kTasks.toFixed(1) },
  ];
  return [tableOf(`Resident memory over ${whole(tasks)} tasks, medians`, columns, rows)];
}

function ratioOf(baseline: Result, pool: Result, key: 'p50Ms' | 'p99Ms'): Spread | null {
  const ratios = pool.samples.map((sample, round) => {
    const [own, other] = [sample[key], baseline.samples[round]?.[key]];
    return own == null || other == null ? null : other / own;
  });
  return spreadOf(ratios);
}

function withUnit(value: number, unit: string): string {
  const text = Number.isInteger(value)
    ? whole(value)
    : unit === 'ms' || unit === '%'
      ? value.toFixed(1)
      : value.toFixed(3);
  return unit === '' ? text : `${text} ${unit}`;
}

function goalText(goal: Goal, unit: string): string {
  const [sign, bound] = 'min' in goal ? ['≥', goal.min] : ['≤', goal.max];
  return `${sign} ${bound}${unit === '' ? '' : ` ${unit}`}`;
}

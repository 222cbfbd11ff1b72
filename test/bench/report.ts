import { renderFields, renderTable } from '../../client/cli/table.js';
import type { MachineFacts } from './machine.js';
import type { Result, Spread } from './result.js';

/** All that a run has to say. */
export interface Report {
  /** The command that repeats it. */
  readonly command: string;
  /** When it began, ISO 8601. */
  readonly startTime: string;
  readonly machine: MachineFacts;
  readonly rounds: number;
  /** How long each row was measured in each round, in milliseconds. */
  readonly measureMs: number;
  readonly results: readonly Result[];
}

/** One column of a table. */
export interface Column<Item> {
  readonly head: string;
  readonly cell: (item: Item) => string;
  /** Words stand at the left, numbers at the right. Default: numbers. */
  readonly isWords?: boolean;
}

/** A table as it is shown. */
export interface Table {
  readonly title: string;
  readonly columns: readonly { readonly head: string; readonly isWords: boolean }[];
  readonly rows: readonly (readonly string[])[];
}

/** A table of results: those whose rows name it. */
export interface TableLayout {
  readonly table: string;
  readonly title: string;
  readonly columns: readonly Column<Result>[];
}

/** Columns of results. */
export const RESULT_COLUMNS = {
  name: { head: 'name', cell: ({ name }) => name, isWords: true },
  what: { head: 'what', cell: ({ what }) => what, isWords: true },
  inFlight: { head: 'in flight', cell: ({ inFlight }) => (inFlight === null ? '-' : whole(inFlight)) },
  perS: { head: 'per second', cell: ({ perS }) => whole(perS.median) },
  perSSpread: { head: 'min - max', cell: ({ perS }) => spread(perS, whole) },
  p50: { head: 'p50 ms', cell: ({ p50Ms }) => median(p50Ms, hundredths) },
  p99: { head: 'p99 ms', cell: ({ p99Ms }) => median(p99Ms, hundredths) },
  p50Spread: { head: 'p50 min - max', cell: ({ p50Ms }) => spread(p50Ms, hundredths) },
  p99Spread: { head: 'p99 min - max', cell: ({ p99Ms }) => spread(p99Ms, hundredths) },
  share: { head: 'of floor', cell: ({ shareOfFloor }) => median(shareOfFloor, percent) },
  floor: { head: 'floor', cell: ({ floor }) => floor ?? '-', isWords: true },
} as const satisfies Record<string, Column<Result>>;

/** A table with a row for each item. */
export function tableOf<Item>(title: string, columns: readonly Column<Item>[], items: readonly Item[]): Table {
  return {
    title,
    columns: columns.map(({ head, isWords = false }) => ({ head, isWords })),
    rows: items.map((item) => columns.map(({ cell }) => cell(item))),
  };
}

/** The tables for which there are results. */
export function resultTables(layouts: readonly TableLayout[], results: readonly Result[]): Table[] {
  return layouts
    .map(({ table, title, columns }) =>
      tableOf(
        title,
        columns,
        results.filter((result) => result.table === table),
      ),
    )
    .filter(({ rows }) => rows.length > 0);
}

/** For a terminal. */
export function renderText(report: Report, tables: readonly Table[]): string {
  const texts = tables.map(({ title, columns, rows }) => {
    const right = columns.filter(({ isWords }) => !isWords).map(({ head }) => head);
    const heads = columns.map(({ head }) => head);
    return `${title}\n${renderTable(heads, rows, { borders: true, right })}`;
  });
  return [renderFields(facts(report)), ...texts].join('\n');
}

/** For docs/benchmarks.md. */
export function renderMarkdown(report: Report, tables: readonly Table[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const texts = tables.map(({ title, columns, rows }) => {
    const heads = line(columns.map(({ head }) => head));
    const rule = line(columns.map(({ isWords }) => (isWords ? '---' : '--:')));
    return `${title}:\n\n${[heads, rule, ...rows.map(line)].join('\n')}\n`;
  });
  const list = facts(report).map(([name, value]) => `- ${name}: ${value}`);
  return [`    ${report.command}\n`, `${list.join('\n')}\n`, ...texts].join('\n');
}

function facts({ startTime, machine, rounds, measureMs }: Report): [name: string, value: string][] {
  const { cpu, cores, memoryGib, os, node, fsyncP50Ms, fsyncP99Ms, loadBefore } = machine;
  return [
    ['when', startTime],
    ['machine', `${cpu}, ${cores} cores, ${memoryGib} GiB, ${os}, Node ${node}`],
    ['fsync', `4 KiB in ${hundredths(fsyncP50Ms)} ms (p50), ${hundredths(fsyncP99Ms)} ms (p99)`],
    ['load before', hundredths(loadBefore)],
    ['runs', `${rounds}, all in turn; ${measureMs} ms for each row; the median, and between what the runs lie`],
  ];
}

/** The middle of what the rounds say; `-` where they say nothing. */
export function median(value: Spread | null, show: (value: number) => string): string {
  return value === null ? '-' : show(value.median);
}

function spread(value: Spread | null, show: (value: number) => string): string {
  return value === null ? '-' : `${show(value.min)} - ${show(value.max)}`;
}

/** A number without a fraction, its thousands apart. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** A number with two places. */
export function hundredths(value: number): string {
  return value.toFixed(2);
}

function percent(value: number): string {
  return `${Math.round(value * 100)} %`;
}

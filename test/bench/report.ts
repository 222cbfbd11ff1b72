import { renderFields, renderTable } from '../../client/cli/table.js';
import type { Table } from './contender.js';
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

interface Column {
  readonly head: string;
  readonly cell: (result: Result) => string;
}

const TITLES: Readonly<Record<Table, string>> = {
  floor: 'Floors',
  result: 'Remuda, submit to result: a 128-byte echo, one worker process of 1,000 slots and 1,000 prefetch',
  start: "Remuda, submit to the handler's entry: one task at a time, a slot is free",
};

const NAME: Column = { head: 'name', cell: ({ name }) => name };
const WHAT: Column = { head: 'what', cell: ({ what }) => what };
const IN_FLIGHT: Column = { head: 'in flight', cell: ({ inFlight }) => (inFlight === null ? '-' : whole(inFlight)) };
const PER_S: Column = { head: 'per second', cell: ({ perS }) => whole(perS.median) };
const PER_S_SPREAD: Column = { head: 'min - max', cell: ({ perS }) => spread(perS, whole) };
const P50: Column = { head: 'p50 ms', cell: ({ p50Ms }) => median(p50Ms, milliseconds) };
const P99: Column = { head: 'p99 ms', cell: ({ p99Ms }) => median(p99Ms, milliseconds) };
const P50_SPREAD: Column = { head: 'p50 min - max', cell: ({ p50Ms }) => spread(p50Ms, milliseconds) };
const P99_SPREAD: Column = { head: 'p99 min - max', cell: ({ p99Ms }) => spread(p99Ms, milliseconds) };
const SHARE: Column = { head: 'of floor', cell: ({ shareOfFloor }) => median(shareOfFloor, percent) };
const FLOOR: Column = { head: 'floor', cell: ({ floor }) => floor ?? '-' };

const COLUMNS: Readonly<Record<Table, readonly Column[]>> = {
  floor: [NAME, WHAT, IN_FLIGHT, PER_S, PER_S_SPREAD, P50, P99],
  result: [NAME, WHAT, IN_FLIGHT, PER_S, PER_S_SPREAD, P50, P99, SHARE, FLOOR],
  start: [NAME, WHAT, P50, P50_SPREAD, P99, P99_SPREAD],
};
/** Columns of words; all others are of numbers. */
const WORDS: readonly Column[] = [NAME, WHAT, FLOOR];

/** For a terminal. */
export function renderText(report: Report): string {
  const tables = tablesOf(report).map(({ table, results }) => {
    const columns = COLUMNS[table];
    const right = columns.filter((column) => !WORDS.includes(column)).map(({ head }) => head);
    const heads = columns.map(({ head }) => head);
    const rows = results.map((result) => columns.map(({ cell }) => cell(result)));
    return `${TITLES[table]}\n${renderTable(heads, rows, { borders: true, right })}`;
  });
  return [renderFields(facts(report)), ...tables].join('\n');
}

/** For docs/benchmarks.md. */
export function renderMarkdown(report: Report): string {
  const tables = tablesOf(report).map(({ table, results }) => {
    const columns = COLUMNS[table];
    const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
    const heads = line(columns.map(({ head }) => head));
    const rule = line(columns.map((column) => (WORDS.includes(column) ? '---' : '--:')));
    const rows = results.map((result) => line(columns.map(({ cell }) => cell(result))));
    return `${TITLES[table]}:\n\n${[heads, rule, ...rows].join('\n')}\n`;
  });
  const list = facts(report).map(([name, value]) => `- ${name}: ${value}`);
  return [`    ${report.command}\n`, `${list.join('\n')}\n`, ...tables].join('\n');
}

function tablesOf({ results }: Report) {
  const tables: readonly Table[] = ['floor', 'result', 'start'];
  return tables
    .map((table) => ({ table, results: results.filter((result) => result.table === table) }))
    .filter(({ results: found }) => found.length > 0);
}

function facts({ startTime, machine, rounds, measureMs }: Report): [name: string, value: string][] {
  const { cpu, cores, memoryGib, os, node, fsyncP50Ms, fsyncP99Ms, loadBefore } = machine;
  return [
    ['when', startTime],
    ['machine', `${cpu}, ${cores} cores, ${memoryGib} GiB, ${os}, Node ${node}`],
    ['fsync', `4 KiB in ${milliseconds(fsyncP50Ms)} ms (p50), ${milliseconds(fsyncP99Ms)} ms (p99)`],
    ['load before', loadBefore.toFixed(2)],
    ['runs', `${rounds}, all in turn; ${measureMs} ms for each row; the median, and between what the runs lie`],
  ];
}

function median(value: Spread | null, show: (value: number) => string): string {
  return value === null ? '-' : show(value.median);
}

function spread(value: Spread | null, show: (value: number) => string): string {
  return value === null ? '-' : `${show(value.min)} - ${show(value.max)}`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function milliseconds(value: number): string {
  return value.toFixed(2);
}

function percent(value: number): string {
  return `${Math.round(value * 100)} %`;
}

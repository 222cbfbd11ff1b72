/** Measures how long it takes until work goes on after something has died: `npm run bench:recovery -- --help`. */
import { isWanted, measureContenders, runBench } from '../bench-run.js';
import type { BenchOptions } from '../bench-options.js';
import { replacePagePart } from '../pool/page-part.js';
import { renderMarkdown, tableOf, whole, type Report } from '../report.js';
import { spreadOf, type Spread } from '../result.js';
import { RECOVERIES, type Recovery } from './recoveries.js';

const PROGRAM = {
  command: 'npm run bench:recovery',
  description: 'Measures how long it takes until work goes on after a worker or the coordinator was ended.',
  examples: ['--quick --only supervised', '--runs 3 --docs docs/reliability.md'],
  own: { docs: ['PAGE', 'put the table into this page, between its marks for bench:recovery'] },
} as const;

const QUEUED = { full: 100_000, quick: 2_000 } as const;

interface Measured extends Pick<Recovery, 'name' | 'what' | 'settings'> {
  readonly tookMs: Spread | null;
}

interface RecoveryReport extends Report {
  /** Queued when the coordinator ended. */
  readonly queued: number;
  readonly recoveries: readonly Measured[];
}

async function measure(options: BenchOptions<keyof typeof PROGRAM.own>, folder: string, signal: AbortSignal) {
  const queued = options.isQuick ? QUEUED.quick : QUEUED.full;
  const scene = { folder, warmMs: 0, profileFolder: null };
  const base = await measureContenders([], PROGRAM, options, scene, signal);
  const took = new Map<string, number[]>();
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const { name, measure: once } of RECOVERIES.filter((recovery) => isWanted(options, recovery.name))) {
      signal.throwIfAborted();
      const tookMs = await once({ folder, queued });
      process.stderr.write(`run ${round} of ${options.rounds}: ${name} ${whole(tookMs)} ms\n`);
      took.set(name, [...(took.get(name) ?? []), tookMs]);
    }
  }
  const recoveries = RECOVERIES.filter(({ name }) => took.has(name)).map(({ name, what, settings }): Measured => {
    return { name, what, settings, tookMs: spreadOf(took.get(name) ?? []) };
  });
  const report: RecoveryReport = { ...base, queued, recoveries };
  const ms = (value: number | undefined): string => (value === undefined ? '-' : whole(value));
  const columns = [
    { head: 'name', cell: ({ name }: Measured) => name, isWords: true },
    { head: 'what', cell: ({ what }: Measured) => what, isWords: true },
    { head: 'settings that explain it', cell: ({ settings }: Measured) => settings, isWords: true },
    { head: 'ms', cell: ({ tookMs }: Measured) => ms(tookMs?.median) },
    { head: 'min - max', cell: ({ tookMs }: Measured) => `${ms(tookMs?.min)} - ${ms(tookMs?.max)}` },
  ];
  const title = `Recovery; ${whole(queued)} tasks queued when a coordinator ends`;
  return { report, tables: [tableOf(title, columns, recoveries)] };
}

const names = RECOVERIES.map(({ name }) => name);
const run = await runBench(process.argv.slice(2), names, PROGRAM, measure);
if (run !== null) {
  const { report, tables } = run.outcome;
  const { docs } = run.options.own;
  if (docs !== null) replacePagePart(docs, 'bench:recovery', renderMarkdown(report, tables));
}

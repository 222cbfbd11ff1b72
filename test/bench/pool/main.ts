/** Measures the pool beside a process per task and two other pools: `npm run bench:pool -- --help`. */
import { writeFileSync } from 'node:fs';
import type { BenchOptions } from '../bench-options.js';
import { isWanted, measureContenders, rowNames, runBench } from '../bench-run.js';
import { renderMarkdown, resultTables, type Report } from '../report.js';
import { renderLinePlot } from './line-plot.js';
import type { MemorySample } from './memory-track.js';
import type { Finding } from './finding.js';
import { replacePagePart } from './page-part.js';
import { FULL_SCALE, MEMORY_OF, POOL_CHECKS, QUICK_SCALE, startFindings } from './pool-checks.js';
import { poolContenders } from './pool-contenders.js';
import { findingTable, memoryTable, poolLayouts, ratioTable } from './pool-tables.js';

const PROGRAM = {
  command: 'npm run bench:pool',
  description:
    'Measures the pool, a process per task, and two other pools, in turn, and checks what the pool promises.',
  examples: [
    '--quick --only pool-memory --only reuse',
    '--docs docs/benchmarks.md --plot docs/pool-memory.svg',
    '--json pool.json --markdown pool.md',
  ],
  own: {
    docs: ['PAGE', 'put the tables into this page, between its marks for bench:pool'],
    plot: ['FILE', 'write resident memory over tasks as SVG'],
  },
} as const;

/** What `--json` writes. */
interface PoolReport extends Report {
  readonly findings: readonly Finding[];
  readonly memory: readonly MemorySample[];
}

async function measure(options: BenchOptions<keyof typeof PROGRAM.own>, folder: string, signal: AbortSignal) {
  const scale = options.isQuick ? QUICK_SCALE : FULL_SCALE;
  const scene = { folder, warmMs: options.warmMs, profileFolder: null };
  const measured = await measureContenders(poolContenders(scale.workers), PROGRAM, options, scene, signal);
  const findings = startFindings(measured.results);
  const memory: MemorySample[] = [];
  for (const check of POOL_CHECKS.filter(({ name }) => isWanted(options, name))) {
    signal.throwIfAborted();
    process.stderr.write(`${check.name}\n`);
    const result = await check.run(scale, folder);
    findings.push(...result.findings);
    memory.push(...(result.memory ?? []));
  }
  const report: PoolReport = { ...measured, findings, memory };
  const tables = [
    ...resultTables(poolLayouts(scale.workers), report.results),
    ...ratioTable(report.results),
    ...findingTable(findings),
    ...memoryTable(memory),
  ];
  return { report, tables };
}

function renderMemory(memory: readonly MemorySample[]): string {
  return renderLinePlot({
    title: 'Resident memory of a pool',
    xLabel: 'tasks done',
    yLabel: 'resident memory, MiB',
    lines: MEMORY_OF.map(({ name, of }) => ({
      label: name,
      points: memory.map((sample) => [sample.tasks, of(sample)] as const),
    })),
  });
}

const contenders = poolContenders(FULL_SCALE.workers);
const names = [...rowNames(contenders), ...POOL_CHECKS.map(({ name }) => name)];
const run = await runBench(process.argv.slice(2), names, PROGRAM, measure);
if (run !== null) {
  const { report, tables } = run.outcome;
  const { docs, plot } = run.options.own;
  if (docs !== null) replacePagePart(docs, 'bench:pool', renderMarkdown(report, tables));
  if (plot !== null && report.memory.length > 0) writeFileSync(plot, renderMemory(report.memory));
  if (report.findings.some(({ isMet, mustHold }) => mustHold && isMet === false)) process.exitCode = 1;
}

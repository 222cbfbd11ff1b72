import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { usageOrExit } from '../../proto/program-options.js';
import { endPrograms } from '../support/programs.js';
import { commandOf, parseBenchOptions, type BenchOptions, type BenchProgram } from './bench-options.js';
import type { Contender, Scene } from './contender.js';
import { machineFacts } from './machine.js';
import { killPeers } from './peer.js';
import { renderMarkdown, renderText, type Report, type Table } from './report.js';
import { resultsOf, rowName } from './result.js';
import { measureRounds } from './rounds.js';

/** What a run came to. */
export interface Outcome {
  /** Written as JSON, whatever else is in it. */
  readonly report: Report;
  readonly tables: readonly Table[];
}

/**
 * A benchmark's whole run: reads its command line, measures, prints and writes what came out, and leaves nothing behind. SIGINT
 * and SIGTERM end it early, and all its processes.
 *
 * @param argv without the program's own two
 * @param names All that `--only` can select
 * @param measure Throws the signal's reason once that is aborted
 * @returns What came out; null if nothing was measured
 * @throws Error of the first thing that fails
 */
export async function runBench<Own extends string, Out extends Outcome>(
  argv: readonly string[],
  names: readonly string[],
  program: BenchProgram<Own>,
  measure: (options: BenchOptions<Own>, folder: string, signal: AbortSignal) => Promise<Out>,
): Promise<{ readonly options: BenchOptions<Own>; readonly outcome: Out } | null> {
  const options = usageOrExit(() => parseBenchOptions(argv, names, program));
  if (options.list) {
    process.stdout.write(`${names.join('\n')}\n`);
    return null;
  }
  const signal = stopOnSignals();
  const folder = mkdtempSync(join(tmpdir(), 'remuda-bench-'));
  try {
    const outcome = await measure(options, folder, signal);
    const { report, tables } = outcome;
    process.stdout.write(renderText(report, tables));
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
    if (options.markdown !== null) writeFileSync(options.markdown, renderMarkdown(report, tables));
    return { options, outcome };
  } catch (error) {
    if (!signal.aborted) throw error;
    return null;
  } finally {
    killPeers();
    await endPrograms();
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Measures what is wanted of the contenders, in rounds.
 *
 * @param scene.folder For stores; what a sync takes there is in the report
 */
export async function measureContenders(
  contenders: readonly Contender[],
  { command }: BenchProgram,
  options: BenchOptions,
  scene: Scene,
  signal: AbortSignal,
): Promise<Report> {
  const { rounds, measureMs, settleMs } = options;
  const startTime = new Date().toISOString();
  const machine = machineFacts(scene.folder);
  const plan = {
    contenders,
    isWanted: (name: string) => isWanted(options, name),
    rounds,
    terms: { warmMs: settleMs, measureMs },
    onSample: (round: number, name: string, { perS }: { perS: number }) => {
      process.stderr.write(`run ${round} of ${rounds}: ${name} ${Math.round(perS).toLocaleString('en')}/s\n`);
    },
    signal,
  };
  const samples = await measureRounds(plan, scene);
  const results = resultsOf(contenders, samples);
  return { command: commandOf(command, options), startTime, machine, rounds, measureMs, results };
}

/** True if `--only` selects it, or there is none. */
export function isWanted({ only }: BenchOptions, name: string): boolean {
  return only.length === 0 || only.some((part) => name.includes(part));
}

/** Every `contender/row` there is. */
export function rowNames(contenders: readonly Contender[]): string[] {
  return contenders.flatMap((contender) => contender.rows.map((row) => rowName(contender, row)));
}

/** Told to stop, it ends all processes, which fails whatever is being measured. */
function stopOnSignals(): AbortSignal {
  const controller = new AbortController();
  const stop = (code: number): void => {
    process.exitCode = code;
    controller.abort();
    killPeers();
    void endPrograms();
  };
  process.once('SIGINT', () => stop(130));
  process.once('SIGTERM', () => stop(143));
  return controller.signal;
}

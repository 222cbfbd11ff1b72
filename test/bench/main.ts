/** Measures the floors and Remuda: `npm run bench -- --help`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { usageOrExit } from '../../proto/program-options.js';
import { endPrograms } from '../support/programs.js';
import { commandOf, parseBenchOptions, type BenchOptions } from './bench-options.js';
import { FLOOR_CONTENDERS } from './floor-contenders.js';
import { machineFacts } from './machine.js';
import { killPeers } from './peer.js';
import { REMUDA_CONTENDERS } from './remuda-contenders.js';
import { renderMarkdown, renderText, type Report } from './report.js';
import { resultsOf, rowName } from './result.js';
import { measureRounds } from './rounds.js';

const CONTENDERS = [...FLOOR_CONTENDERS, ...REMUDA_CONTENDERS];

async function measure(options: BenchOptions, folder: string, signal: AbortSignal): Promise<Report> {
  const { only, rounds, measureMs, settleMs, warmMs, profile } = options;
  const startTime = new Date().toISOString();
  const machine = machineFacts(folder);
  const samples = await measureRounds(
    {
      contenders: CONTENDERS,
      isWanted: (name) => only.length === 0 || only.some((part) => name.includes(part)),
      rounds,
      terms: { warmMs: settleMs, measureMs },
      onSample: (round, name, { perS }) => {
        process.stderr.write(`run ${round} of ${rounds}: ${name} ${Math.round(perS).toLocaleString('en')}/s\n`);
      },
      signal,
    },
    { folder, warmMs, profileFolder: profile === null ? null : resolve(profile) },
  );
  return {
    command: commandOf(options),
    startTime,
    machine,
    rounds,
    measureMs,
    results: resultsOf(CONTENDERS, samples),
  };
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

async function main(argv: readonly string[]): Promise<void> {
  const names = CONTENDERS.flatMap((contender) => contender.rows.map((row) => rowName(contender, row)));
  const options = usageOrExit(() => parseBenchOptions(argv, names));
  if (options.list) return void process.stdout.write(`${names.join('\n')}\n`);
  const signal = stopOnSignals();
  const folder = mkdtempSync(join(tmpdir(), 'remuda-bench-'));
  try {
    const report = await measure(options, folder, signal);
    process.stdout.write(renderText(report));
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
    if (options.markdown !== null) writeFileSync(options.markdown, renderMarkdown(report));
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    killPeers();
    await endPrograms();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main(process.argv.slice(2));

/** Hurts real processes at random, and judges what came of it: `npm run chaos -- --help`. */
import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { usageOrExit } from '../../proto/program-options.js';
import { outputFlushed } from '../../worker/output-flushed.js';
import { parseChaosOptions, SEED_MAX } from './chaos-options.js';
import { renderReport } from './chaos-report.js';
import { runChaos, writeReport } from './chaos-run.js';
import { enterSandbox, EXIT_SIGINT, EXIT_SIGTERM, onSandboxEnd } from './sandbox.js';

const argv = process.argv.slice(2);
const options = usageOrExit(() => parseChaosOptions(argv));
const sandbox = await enterSandbox(fileURLToPath(import.meta.url), argv);
const controller = new AbortController();
const stop = (code: number): void => {
  // A second one does not wait for anything.
  if (controller.signal.aborted) process.exit(code);
  process.exitCode = code;
  tell('told to stop: ending all processes');
  controller.abort();
};
process.on('SIGINT', () => stop(EXIT_SIGINT)).on('SIGTERM', () => stop(EXIT_SIGTERM));
onSandboxEnd(sandbox, () => {
  if (!controller.signal.aborted) stop(EXIT_SIGTERM);
});

function tell(text: string): void {
  process.stderr.write(`chaos: ${text}\n`);
}

try {
  const seed = options.seed ?? randomInt(SEED_MAX);
  const noMount = sandbox.t === 'inside' ? null : sandbox.reason;
  const { report, keptIn } = await runChaos({ options, seed, noMount, signal: controller.signal, tell });
  process.stdout.write(renderReport(report));
  if (options.json !== null) writeReport(resolve(options.json), report);
  if (keptIn !== null) tell(`ledger, logs and store are kept in ${keptIn}`);
  if (!report.verdict.isGood) process.exitCode = 1;
} catch (error) {
  if (!controller.signal.aborted) throw error;
}
await outputFlushed();
// The pipe from whoever has put us here would keep this process.
process.exit();

import type { RunLimits } from './campaign/seed-run.js';
import type { SimReport } from './simulation.js';

/** Lines of the trace that a person reads; the command prints all of it. */
const SHOWN_LINES = 40;

/** What a person needs to know of a run that failed: the rule, what led there, and how to have it again. */
export function describeFailure(report: SimReport, limits: RunLimits = {}): string {
  const { newest } = report;
  return [
    `${summarizeFailure(report)}\n  ${report.violation?.details ?? ''}`,
    ...(newest.length === 0 ? [] : ['what led there:', ...newest.slice(-SHOWN_LINES).map((line) => `  ${line}`)]),
    `again: ${againCommand(report.seed, limits)}`,
  ].join('\n');
}

/** One line: which seed broke which rule, and when. */
export function summarizeFailure({ seed, violation, simulatedMs }: SimReport): string {
  return `seed ${seed} breaks a rule after ${Math.round(simulatedMs)} simulated ms: ${violation?.rule ?? 'none'}`;
}

function againCommand(seed: number, { maxFaults, maxTasks }: RunLimits): string {
  const faults = maxFaults === undefined ? '' : ` --faults ${maxFaults}`;
  const tasks = maxTasks === undefined ? '' : ` --tasks ${maxTasks}`;
  return `npm run sim -- --from ${seed} --seeds 1${faults}${tasks} --trace`;
}

import type { SimReport } from './simulation.js';

/** What a person needs to know of a seed that failed: the rule, what led there, and how to have it again. */
export function describeFailure({ seed, violation, newest, simulatedMs }: SimReport): string {
  const rule = violation === null ? 'none' : `${violation.rule}\n  ${violation.details}`;
  return [
    `seed ${seed} breaks a rule after ${Math.round(simulatedMs)} simulated ms: ${rule}`,
    'what led there:',
    ...newest.map((line) => `  ${line}`),
    `again: npm run build && node dist/test/sim/main.js --seed ${seed} --trace`,
  ].join('\n');
}

/** Runs seeds of the simulation: `node dist/test/sim/main.js --seed N [--count N] [--trace]`. */
import { parseArgs } from 'node:util';
import { describeFailure } from './describe-failure.js';
import { simulate } from './simulation.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
  },
});

const from = Number(values.seed);
const count = Number(values.count);
if (!Number.isInteger(from) || !Number.isInteger(count) || count < 1) {
  console.error(`--seed ${values.seed} --count ${values.count}: both must be whole numbers, the count at least 1`);
  process.exit(2);
}
let failed = 0;
for (let seed = from; seed < from + count; seed += 1) {
  const report = await simulate(seed, values.trace ? { print: (line) => console.log(line) } : {});
  if (report.violation === null) {
    const { simulatedMs, events, ends, attempts, hash } = report;
    const seconds = Math.round(simulatedMs / 1_000);
    console.log(
      `seed ${seed}: ok, ${seconds} s, ${events} events, ${attempts} attempts, ${JSON.stringify(ends)} ${hash.slice(0, 8)}`,
    );
  } else {
    failed += 1;
    console.log(describeFailure(report));
  }
}
if (count > 1) console.log(`${count - failed} of ${count} seeds hold`);
process.exitCode = failed === 0 ? 0 : 1;

/** Measures the floors and Remuda: `npm run bench -- --help`. */
import { resolve } from 'node:path';
import { measureContenders, rowNames, runBench } from './bench-run.js';
import { FLOOR_CONTENDERS } from './floor-contenders.js';
import { REMUDA_CONTENDERS } from './remuda-contenders.js';
import { REMUDA_TABLES } from './remuda-tables.js';
import { resultTables } from './report.js';

const CONTENDERS = [...FLOOR_CONTENDERS, ...REMUDA_CONTENDERS];

const PROGRAM = {
  command: 'npm run bench',
  description: 'Measures the floors and Remuda, in turn, and shows both.',
  examples: ['--quick --only pipe/64 --only memory-thread/64', '--json bench.json --markdown bench.md'],
  own: { profile: ['FOLDER', 'write a CPU profile of each coordinator'] },
} as const;

await runBench(process.argv.slice(2), rowNames(CONTENDERS), PROGRAM, async (options, folder, signal) => {
  const { profile } = options.own;
  const scene = { folder, warmMs: options.warmMs, profileFolder: profile === null ? null : resolve(profile) };
  const report = await measureContenders(CONTENDERS, PROGRAM, options, scene, signal);
  return { report, tables: resultTables(REMUDA_TABLES, report.results) };
});

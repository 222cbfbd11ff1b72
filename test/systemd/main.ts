/**
 * `npm run test:systemd`: the shipped units under a real systemd. Where that cannot run it says so in one line and is well, except
 * with REMUDA_SYSTEMD=required. Arguments are vitest's.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ROOT } from '../support/programs.js';
import { obstacle } from './obstacle.js';

/** `.ci/run.mjs` looks for it. */
const SKIPPED = 'systemd tests skipped';

const reason = await obstacle();
if (reason === undefined) {
  const args = [
    `${ROOT}node_modules/vitest/vitest.mjs`,
    'run',
    '--config',
    'test/systemd/vitest.config.ts',
    ...process.argv.slice(2),
  ];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
} else {
  process.stdout.write(`${SKIPPED}: ${reason}\n`);
  if (process.env['REMUDA_SYSTEMD'] === 'required') process.exitCode = 1;
}

#!/usr/bin/env node
/** The program `remuda-worker`: options and variables in, exit status out. */
import { fileURLToPath } from 'node:url';
import { usageOrExit } from '../proto/program-options.js';
import { STOP_ON_STDIN_EOF_ENV } from '../proto/stdin-guard.js';
import { parseMainConfig } from './main-config.js';
import { SUPERVISION_ENV } from './supervision.js';
import { runWorkerProgram } from './worker-program.js';

const config = usageOrExit(() => parseMainConfig(process.argv.slice(2), process.env));
// They are for this process alone: a worker that a handler starts must not take them for its own.
for (const name of [...Object.values(SUPERVISION_ENV), STOP_ON_STDIN_EOF_ENV])
  Reflect.deleteProperty(process.env, name);
process.exit(
  await runWorkerProgram({
    config,
    cwd: process.cwd(),
    env: process.env,
    script: fileURLToPath(import.meta.url),
    // Touching it opens it: only whoever asked for the guard pays for it.
    stdin: config.stopOnStdinEnd ? process.stdin : undefined,
  }),
);

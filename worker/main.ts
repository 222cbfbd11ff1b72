#!/usr/bin/env node
/** The program `remuda-worker`: options and variables in, exit status out. */
import { fileURLToPath } from 'node:url';
import { UsageExit } from '../proto/program-options.js';
import { parseMainConfig, type MainConfig } from './main-config.js';
import { STOP_ON_STDIN_EOF_ENV } from './stdin-guard.js';
import { SUPERVISION_ENV } from './supervision.js';
import { runWorkerProgram } from './worker-program.js';

function readConfig(): MainConfig {
  try {
    return parseMainConfig(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof UsageExit)) throw error;
    (error.code === 0 ? process.stdout : process.stderr).write(`${error.text}\n`);
    process.exit(error.code);
  }
}

const config = readConfig();
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

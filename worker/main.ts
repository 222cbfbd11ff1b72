#!/usr/bin/env node
/** The program `remuda-worker`: options and variables in, exit status out. */
import { fileURLToPath } from 'node:url';
import { usageOrExit } from '../proto/program-options.js';
import { parseMainConfig } from './main-config.js';
import { outputFlushed } from './output-flushed.js';
import { forgetSupervision, journalPath } from './supervision.js';
import { runWorkerProgram } from './worker-program.js';

const toJournal = journalPath(2, process.env) !== undefined;
const config = usageOrExit(() => parseMainConfig(process.argv.slice(2), process.env), toJournal);
const journal = journalPath(1, process.env);
forgetSupervision(process.env);
const exitCode = await runWorkerProgram({
  config,
  cwd: process.cwd(),
  env: process.env,
  script: fileURLToPath(import.meta.url),
  // Touching it opens it: only whoever asked for the guard pays for it.
  stdin: config.stopOnStdinEnd ? process.stdin : undefined,
  journal,
});
await outputFlushed();
process.exit(exitCode);

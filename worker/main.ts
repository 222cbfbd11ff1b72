#!/usr/bin/env node
/** The program `remuda-worker`: options and variables in, exit status out. */
import { fileURLToPath } from 'node:url';
import { usageOrExit } from '../proto/program-options.js';
import { takeServiceManager } from '../proto/service-manager.js';
import { parseMainConfig } from './main-config.js';
import { outputFlushed } from './output-flushed.js';
import { forgetSupervision, journalPath, runtimeDirectory } from './supervision.js';
import { runWorkerProgram } from './worker-program.js';

const toJournal = journalPath(2, process.env) !== undefined;
const config = usageOrExit(() => parseMainConfig(process.argv.slice(2), process.env), toJournal);
const journal = journalPath(1, process.env);
forgetSupervision(process.env);
// Taken in any case: what this process starts must not speak in its name.
const serviceManager = takeServiceManager(process.env, process.pid);
const isOnItsOwn = config.supervised === undefined;
const exitCode = await runWorkerProgram({
  config,
  nowMs: () => performance.now(),
  cwd: process.cwd(),
  env: process.env,
  script: fileURLToPath(import.meta.url),
  // Touching it opens it: only whoever asked for the guard pays for it.
  stdin: config.stopOnStdinEnd ? process.stdin : undefined,
  journal,
  serviceManager: isOnItsOwn ? serviceManager : undefined,
  runtimeDirectory: isOnItsOwn ? runtimeDirectory(process.env) : undefined,
});
await outputFlushed();
process.exit(exitCode);

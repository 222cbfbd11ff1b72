#!/usr/bin/env node
/** The program `remuda`: arguments and variables in, exit status out. */
import { setTimeout as delay } from 'node:timers/promises';
import type { CliContext } from './cli-context.js';
import { EXIT } from './exit-status.js';
import { Faults } from './faults.js';
import { statusWithOutput } from './output-status.js';
import { runProgram } from './program.js';
import { processTerminal } from './terminal.js';

/** After Ctrl-C or a time-out: how long whoever reads stdout may take for what is left. Nobody waits for one that has stalled. */
const LEAVE_MS = 500;

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const context: CliContext = {
  env: process.env,
  // A getter: touching stdin opens it.
  get stdin() {
    return process.stdin;
  },
  terminal: processTerminal(process),
  clock: { wallMs: () => Date.now(), monoMs: () => performance.now() },
  random: () => Math.random(),
  faults: new Faults(),
  onInterrupt: (listener) => {
    process.on('SIGINT', listener);
    return () => process.off('SIGINT', listener);
  },
  onStop: (listener) => {
    for (const signal of STOP_SIGNALS) process.on(signal, listener);
    return () => STOP_SIGNALS.forEach((signal) => process.off(signal, listener));
  },
  exitCode: 0,
};

const status = await runProgram(process.argv.slice(2), context);
// Not process.exit: what was written to a pipe must leave first.
process.exitCode = status;
const flushed = context.terminal.outFlushed();
if (status === EXIT.interrupted || status === EXIT.timedOut) {
  const late = delay(LEAVE_MS, 'late', { ref: false });
  if ((await Promise.race([flushed, late])) === 'late') process.exit();
}
await flushed;
process.exitCode = statusWithOutput(status, context);

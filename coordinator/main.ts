#!/usr/bin/env node
/** The program `remuda-coordinator`: options and variables in, exit status out. */
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { pino } from 'pino';
import { UsageExit } from '../proto/program-options.js';
import { parseConfig, type CoordinatorConfig } from './config.js';
import { runProgram } from './program.js';

function readConfig(): CoordinatorConfig {
  try {
    return parseConfig(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof UsageExit)) throw error;
    (error.code === 0 ? process.stdout : process.stderr).write(`${error.text}\n`);
    process.exit(error.code);
  }
}

// What grpc-js has to say stands in our own errors, and its lines are no JSON.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

const config = readConfig();
await runProgram(config, pino({ name: 'remuda-coordinator', level: config.logLevel }));

#!/usr/bin/env node
/** The program `remuda-coordinator`: options and variables in, exit status out. */
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { isJournal } from '../proto/journal.js';
import { programLog, warnOfStrays } from '../proto/program-log.js';
import { strayVariables, usageOrExit } from '../proto/program-options.js';
import { takeServiceManager } from '../proto/service-manager.js';
import { coordinatorVariables, parseConfig } from './config.js';
import { takePassedSockets } from './passed-sockets.js';
import { runProgram } from './program.js';

// What grpc-js has to say stands in our own errors, and its lines are no JSON.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

const config = usageOrExit(
  () => {
    const passed = takePassedSockets(process.env, process.pid);
    return parseConfig(process.argv.slice(2), process.env, passed);
  },
  isJournal(2, process.env),
);
const journal = isJournal(1, process.env) ? 'direct' : undefined;
const log = programLog(config.logLevel, { name: 'remuda-coordinator', journal });
warnOfStrays(log, 'remuda-coordinator', strayVariables(process.env, coordinatorVariables()));
await runProgram(config, log, takeServiceManager(process.env, process.pid));

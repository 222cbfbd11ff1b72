#!/usr/bin/env node
/** The program `remuda-coordinator`: options and variables in, exit status out. */
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { pino } from 'pino';
import { parseConfig, UsageExit, type CoordinatorConfig } from './config.js';
import { Coordinator } from './coordinator.js';

/** A stop that takes longer leaves the rest to the next start: everything acknowledged is in the store. */
const STOP_MS = 5_000;

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
const log = pino({ name: 'remuda-coordinator', level: config.logLevel });

function exitFatally(error: unknown, exitCode: number): never {
  log.fatal({ err: error, exit_code: exitCode }, 'fatal');
  process.exit(exitCode);
}

process.on('uncaughtException', (error) => exitFatally(error, 70));
process.on('unhandledRejection', (error) => exitFatally(error, 70));

try {
  const coordinator = new Coordinator(config, { log, onFatal: exitFatally });
  let stopping = false;
  const stop = (cause: string): void => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ cause }, 'stopping');
    setTimeout(() => exitFatally(new Error(`not stopped after ${STOP_MS} ms`), 1), STOP_MS).unref();
    coordinator.stop().then(
      () => {
        log.info('stopped');
        process.exit(0);
      },
      (error: unknown) => exitFatally(error, 70),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // Whoever started us holds the other end and is gone when it closes, however it ended.
  if (process.env.REMUDA_STOP_ON_STDIN_EOF === '1') process.stdin.on('end', () => stop('stdin closed')).resume();
  await coordinator.start();
} catch (error) {
  process.stderr.write(`remuda-coordinator: cannot start: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

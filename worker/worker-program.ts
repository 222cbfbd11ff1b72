import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { drainOnSignals, drainOnStdinEnd } from './drain-on-signals.js';
import { FleetWorker } from './fleet-worker.js';
import { loadHandlersFile, type LoadedHandlers } from './handlers-file.js';
import { childArguments, type MainConfig } from './main-config.js';
import { failedStart, guardOwnProcess, leftStatus, runHook } from './own-process.js';
import { EXIT_REFUSED, EXIT_SUPERSEDED } from './session-effects.js';
import { isJournal, type JournalPath } from '../proto/journal.js';
import { programLog } from '../proto/program-log.js';
import { endStatus } from './supervised-child.js';
import { Supervisor, type SupervisorEvent } from './supervisor.js';
import { compileWorkerOptions } from './worker-options.js';

/** What the program has from its process. */
export interface ProgramContext {
  readonly config: MainConfig;
  /** Absolute. */
  readonly cwd: string;
  /** For children. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The program's own file, for children. */
  readonly script: string;
  /** Drain soon when it ends. Undefined: it is not looked at. */
  readonly stdin: Readable | undefined;
  /** How standard output comes into the systemd journal. Undefined: it does not. */
  readonly journal: JournalPath | undefined;
}

/** Runs `remuda-worker` to its end. Fulfilled with the exit status. */
export async function runWorkerProgram(context: ProgramContext): Promise<number> {
  const { config, journal } = context;
  const { logLevel, processes } = config;
  const logger = programLog(logLevel, { journal });
  return processes === undefined ? runWorker(context, logger) : supervise(context, processes, logger);
}

async function runWorker({ config, cwd, stdin, journal }: ProgramContext, logger: Logger): Promise<number> {
  const { address, slots, prefetch, labels, session, workerId, supervised, logLevel, drainTimeoutMs } = config;
  const options = compileWorkerOptions({
    address,
    slots,
    prefetch,
    labels,
    session,
    logger,
    onStuck: 'exit',
    ...(workerId === undefined ? {} : { workerId }),
  });
  let loaded: LoadedHandlers | undefined;
  const worker: FleetWorker = new FleetWorker(options, {
    supervised,
    ownsProcess: { logLevel, journal },
    beforeHello: async () => {
      loaded = await loadHandlersFile(config.handlers, cwd);
      for (const { type, run, timeoutMs, slots: cap } of loaded.handlers.values()) {
        worker.addHandler({ type, run, timeoutMs, slots: cap });
      }
      await runHook('setup', loaded.setup);
    },
  });
  guardOwnProcess(worker, { logger, supervised, drainTimeoutMs, stdin });
  try {
    await worker.start();
  } catch (error) {
    // A session that ended has a status of its own.
    if (worker.exit === undefined) return failedStart(worker, error, logger);
  }
  return leftStatus(worker, loaded?.teardown, logger);
}

async function supervise(
  { config, env, script, stdin }: ProgramContext,
  processes: number,
  logger: Logger,
): Promise<number> {
  const { drainTimeoutMs } = config;
  const journal = [1, 2].filter((fd) => isJournal(fd, env));
  let exitCode = 0;
  const supervisor: Supervisor = new Supervisor({
    processes,
    command: (index) => ({
      command: process.execPath,
      args: [...process.execArgv, script, ...childArguments(config, index)],
      env,
    }),
    output: () => ({ stdout: process.stdout, stderr: process.stderr, journal }),
    onEvent: (event) => {
      logChild(logger, event);
      // The children's own final status; of several the one that says that all of them were told something wrong.
      if (event.name === 'child-ended' && event.kind === 'final' && exitCode !== EXIT_REFUSED) {
        exitCode = endStatus(event.end) ?? 1;
      }
      // Nobody is left to supervise.
      if (event.name === 'place-freed' && supervisor.places().length === 0) supervisor.drain(0);
    },
  });
  // When the reader is slow, every child's output waits for it, and perhaps what an ended one has left.
  for (const output of [process.stdout, process.stderr]) {
    output.setMaxListeners(output.getMaxListeners() + 2 * processes);
  }
  drainOnSignals(logger, {
    supervised: false,
    drain: () => supervisor.drain(drainTimeoutMs),
    kill: () => supervisor.killAll(),
  });
  drainOnStdinEnd(logger, stdin, (drainMs) => supervisor.drain(Math.min(drainMs, drainTimeoutMs)));
  logger.info({ processes }, 'supervising');
  supervisor.start();
  await supervisor.done;
  logger.info({ exit_code: exitCode }, 'all processes have ended');
  return exitCode;
}

function logChild(logger: Logger, event: SupervisorEvent): void {
  const { index } = event;
  switch (event.name) {
    case 'child-started':
      logger.info({ index, child_pid: event.pid, incarnation: event.incarnation }, 'child started');
      break;
    case 'child-ready':
      logger.info({ index, child_pid: event.pid }, 'child ready');
      break;
    case 'place-freed':
      break;
    case 'child-ended': {
      const { end, kind, restartInMs } = event;
      const fields = {
        index,
        child_pid: end.pid,
        exit_code: end.code,
        signal: end.signal,
        kind,
        ...(end.error === undefined ? {} : { err: end.error }),
        ...(end.said === undefined ? {} : { said: end.said.message }),
        ...(restartInMs === undefined ? {} : { restart_in_ms: Math.round(restartInMs) }),
      };
      if (kind === 'failed') logger.warn(fields, 'child ended; it is started again');
      else if (kind === 'final') logger.error(fields, finalMessage(endStatus(end)));
      else logger.info(fields, kind === 'recycled' ? 'child replaced: a handler was stuck' : 'child ended');
    }
  }
}

function finalMessage(code: number | null): string {
  return code === EXIT_SUPERSEDED
    ? 'child ended for good: another process has its worker_id'
    : 'child ended for good: what it was told to do cannot work';
}

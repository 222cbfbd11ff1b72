import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { FleetWorker } from './fleet-worker.js';
import { HandlersFileError, loadHandlersFile, type LoadedHandlers, type ProcessHook } from './handlers-file.js';
import { childArguments, type MainConfig } from './main-config.js';
import { EXIT_REFUSED, EXIT_SUPERSEDED } from './session-effects.js';
import { programLog } from '../proto/program-log.js';
import { onStdinEnd } from '../proto/stdin-guard.js';
import { endStatus } from './supervised-child.js';
import { Supervisor, type SupervisorEvent } from './supervisor.js';
import { compileWorkerOptions } from './worker-options.js';

/** How long handlers may finish after the end of stdin, in milliseconds: nobody is left to wait for them. */
const ORPHAN_DRAIN_MS = 3_000;

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
}

/** How long teardown may take, in milliseconds. */
const TEARDOWN_MS = 10_000;

/** Runs `remuda-worker` to its end. Fulfilled with the exit status. */
export async function runWorkerProgram(context: ProgramContext): Promise<number> {
  const { logLevel, processes } = context.config;
  const logger = programLog(logLevel);
  return processes === undefined ? runWorker(context, logger) : supervise(context, processes, logger);
}

async function runWorker({ config, cwd, stdin }: ProgramContext, logger: Logger): Promise<number> {
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
    ...(supervised === undefined
      ? {}
      : { incarnation: supervised.incarnation, replaces: supervised.replaces, supervisorFd: supervised.fd }),
    ownsProcess: { logLevel },
    beforeHello: async () => {
      loaded = await loadHandlersFile(config.handlers, cwd);
      for (const { type, run, timeoutMs, slots: cap } of loaded.handlers.values()) {
        worker.addHandler({ type, run, timeoutMs, slots: cap });
      }
      await runHook('setup', loaded.setup);
    },
  });
  onUserError(logger);
  drainOnSignals(logger, supervised !== undefined, () => void worker.stop({ drainTimeoutMs }));
  drainOnStdinEnd(logger, stdin, (drainMs) => void worker.stop({ drainTimeoutMs: Math.min(drainMs, drainTimeoutMs) }));
  try {
    await worker.start();
  } catch (error) {
    // A session that ended has a status of its own.
    if (worker.exit === undefined) return failedStart(error, logger);
  }
  const exit = await worker.left;
  await tearDown(loaded?.teardown, logger);
  if (exit.code !== 0) logger.error({ exit_code: exit.code }, exit.message);
  else logger.info({ exit_code: 0 }, exit.message);
  return exit.code < 0 ? 1 : exit.code;
}

/** The exit status when the handlers could not be set up. */
function failedStart(error: unknown, logger: Logger): number {
  if (error instanceof HandlersFileError) {
    logger.fatal(error.message);
    return EXIT_REFUSED;
  }
  logger.fatal({ err: error }, error instanceof Error ? error.message : String(error));
  return 1;
}

async function runHook(name: string, hook: ProcessHook | undefined): Promise<void> {
  try {
    await hook?.();
  } catch (error) {
    throw new Error(`${name}() of the handlers file failed: ${String(error)}`, { cause: error });
  }
}

async function tearDown(teardown: ProcessHook | undefined, logger: Logger): Promise<void> {
  if (teardown === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${TEARDOWN_MS} ms`)), TEARDOWN_MS);
  });
  try {
    await Promise.race([runHook('teardown', teardown), late]);
  } catch (error) {
    logger.error({ err: error }, 'teardown() failed; ending all the same');
  } finally {
    clearTimeout(timer);
  }
}

/** As Node does by itself, with a line in the log: whatever state user code has left behind, a fresh process has not. */
function onUserError(logger: Logger): void {
  const die = (what: string) => (error: unknown) => {
    logger.fatal({ err: error }, `${what} in user code: the process ends, its tasks run elsewhere`);
    process.exit(1);
  };
  process.on('uncaughtException', die('uncaught exception'));
  process.on('unhandledRejection', die('unhandled rejection'));
}

/** The first signal drains, the second ends. Supervised, the terminal's SIGINT is the supervisor's business alone. */
function drainOnSignals(logger: Logger, supervised: boolean, drain: () => void, kill?: () => void): void {
  let asked = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (!asked) {
      asked = true;
      logger.info({ signal }, 'draining; a second signal ends at once');
      drain();
      return;
    }
    logger.warn({ signal }, 'second signal: ending at once');
    kill?.();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', supervised ? () => undefined : onSignal);
}

/** Whoever started this process is gone: what runs has a moment. */
function drainOnStdinEnd(logger: Logger, stdin: Readable | undefined, drain: (drainMs: number) => void): void {
  if (stdin === undefined) return;
  // Whoever is gone does not read our output either: that must not cut the drain short.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined);
  onStdinEnd(stdin, () => {
    logger.info({ drain_ms: ORPHAN_DRAIN_MS }, 'stdin has ended: draining');
    drain(ORPHAN_DRAIN_MS);
  });
}

async function supervise(
  { config, env, script, stdin }: ProgramContext,
  processes: number,
  logger: Logger,
): Promise<number> {
  const { drainTimeoutMs } = config;
  let exitCode = 0;
  const supervisor: Supervisor = new Supervisor({
    processes,
    command: (index) => ({
      command: process.execPath,
      args: [...process.execArgv, script, ...childArguments(config, index)],
      env,
    }),
    output: () => ({ stdout: process.stdout, stderr: process.stderr }),
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
  drainOnSignals(
    logger,
    false,
    () => supervisor.drain(drainTimeoutMs),
    () => supervisor.killAll(),
  );
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

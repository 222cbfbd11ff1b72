import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { ServiceManagerAddress } from '../proto/service-manager.js';
import { FleetWorker } from './fleet-worker.js';
import { loadHandlersFile, type LoadedHandlers } from './handlers-file.js';
import { incarnationFiles, type IncarnationFiles } from './incarnation-files.js';
import type { MainConfig } from './main-config.js';
import { failedStart, guardOwnProcess, leftStatus, runHook } from './own-process.js';
import type { JournalPath } from '../proto/journal.js';
import { programLog, warnOfStrays } from '../proto/program-log.js';
import { superviseWorkers } from './supervising-program.js';
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
  /** Who is told that the program is ready, how it is, and that it makes progress. Undefined: nobody. */
  readonly serviceManager: ServiceManagerAddress | undefined;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Where it remembers what it has started, beyond its own life. Undefined: nowhere. */
  readonly runtimeDirectory: string | undefined;
}

/** Runs `remuda-worker` to its end. Fulfilled with the exit status. */
export async function runWorkerProgram(context: ProgramContext): Promise<number> {
  const { config, journal } = context;
  const { logLevel, processes } = config;
  const logger = programLog(logLevel, { journal });
  warnOfStrays(logger, 'remuda-worker', config.strayVariables);
  const incarnations = incarnationFiles(context.runtimeDirectory, logger);
  if (processes === undefined) return runWorker(context, incarnations, logger);
  return superviseWorkers(context, { processes, incarnations, logger });
}

async function runWorker(
  { config, cwd, stdin, journal, serviceManager }: ProgramContext,
  incarnations: IncarnationFiles | undefined,
  logger: Logger,
): Promise<number> {
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
    // A default id has the process id in it: nobody replaces it.
    ownsProcess: { logLevel, journal, serviceManager, incarnations: workerId === undefined ? undefined : incarnations },
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

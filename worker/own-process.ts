import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { drainOnSignals, drainOnStdinEnd } from './drain-on-signals.js';
import { NoHandlersError, type FleetWorker } from './fleet-worker.js';
import { HandlersFileError, type ProcessHook } from './handlers-file.js';
import { endGroupAtExit } from './own-group.js';
import { EXIT_REFUSED } from './session-effects.js';
import type { Supervision } from './supervision.js';
import { thrownText } from './thrown.js';

/** What there is to know of a process that is its worker's own. */
export interface OwnProcessOptions {
  readonly logger: Logger;
  readonly supervised: Supervision | undefined;
  /** How long what runs may take after a signal. */
  readonly drainTimeoutMs: number;
  /** Drain soon when it ends. Undefined: it is not looked at. */
  readonly stdin: Readable | undefined;
  /** An uncaught error that a fresh process would meet again: the status says so. Default: none is. */
  readonly isFinal?: (error: unknown) => boolean;
}

/** How long teardown may take, in milliseconds. */
const TEARDOWN_MS = 10_000;

/** Signals drain the worker, and an error that user code does not catch ends the process. Once a process. */
export function guardOwnProcess(worker: FleetWorker, options: OwnProcessOptions): void {
  const { logger, supervised, drainTimeoutMs, stdin } = options;
  endOnUserErrors(worker, options);
  drainOnSignals(logger, {
    supervised: supervised !== undefined,
    drain: () => void worker.stop({ drainTimeoutMs }),
  });
  drainOnStdinEnd(logger, stdin, (drainMs) => void worker.stop({ drainTimeoutMs: Math.min(drainMs, drainTimeoutMs) }));
}

/** As Node does by itself, with a line in the log: whatever state user code has left behind, a fresh process has not. */
function endOnUserErrors(worker: FleetWorker, { logger, supervised, isFinal }: OwnProcessOptions): void {
  const parentPid = process.ppid;
  const die = (what: string) => (error: unknown) => {
    logger.fatal({ err: error }, `${what} in user code: the process ends, its tasks run elsewhere`);
    const code = isFinal?.(error) === true ? EXIT_REFUSED : 1;
    worker.sayEnding({ code, message: `${what} in user code: ${thrownText(error)}` });
    // It may be the very end of the parent that user code has met, in a pipe that nobody reads: the session tells it later.
    if (supervised?.ownGroup === true && process.ppid !== parentPid) endGroupAtExit();
    process.exit(code);
  };
  process.on('uncaughtException', die('uncaught exception'));
  process.on('unhandledRejection', die('unhandled rejection'));
}

/** Logs why the worker could not be started and lets its supervisor know. Returns the exit status. */
export function failedStart(worker: FleetWorker, error: unknown, logger: Logger): number {
  const exit = startFailure(error);
  if (exit.code === EXIT_REFUSED) logger.fatal(exit.message);
  else logger.fatal({ err: error }, error instanceof Error ? error.message : String(error));
  worker.sayEnding(exit);
  return exit.code;
}

function startFailure(error: unknown): { code: number; message: string } {
  if (error instanceof HandlersFileError || error instanceof NoHandlersError) {
    return { code: EXIT_REFUSED, message: error.message };
  }
  // Where in the hook it happened is what its author needs, not where the hook was called.
  if (error instanceof HookError) return { code: 1, message: `${error.hook}: ${thrownText(error.cause)}` };
  return { code: 1, message: thrownText(error) };
}

/** Waits until the worker has left, tears down and logs how it ended. Fulfilled with the exit status. */
export async function leftStatus(
  worker: FleetWorker,
  teardown: ProcessHook | undefined,
  logger: Logger,
): Promise<number> {
  const exit = await worker.left;
  await tearDown(teardown, logger);
  if (exit.code !== 0) logger.error({ exit_code: exit.code }, exit.message);
  else logger.info({ exit_code: 0 }, exit.message);
  return exit.code < 0 ? 1 : exit.code;
}

/** A hook of the handlers file has thrown. */
class HookError extends Error {
  override readonly name = 'HookError';

  constructor(
    readonly hook: string,
    cause: unknown,
  ) {
    super(`${hook}: ${String(cause)}`, { cause });
  }
}

/**
 * Runs `setup` or `teardown` of a handlers file.
 *
 * @throws {HookError} with what the hook has thrown as its cause
 */
export async function runHook(name: string, hook: ProcessHook | undefined): Promise<void> {
  try {
    await hook?.();
  } catch (error) {
    throw new HookError(`${name}() of the handlers file failed`, error);
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

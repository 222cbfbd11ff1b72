import type { Logger } from 'pino';
import { every } from '../proto/every.js';
import { isJournal } from '../proto/journal.js';
import { beatMs, ServiceManager } from '../proto/service-manager.js';
import { drainOnSignals, drainOnStdinEnd } from './drain-on-signals.js';
import type { IncarnationFiles } from './incarnation-files.js';
import { childArguments } from './main-config.js';
import { ServiceNotices } from './service-notices.js';
import { EXIT_REFUSED, EXIT_SUPERSEDED, LEFT_WELL } from './session-effects.js';
import { endStatus } from './supervised-child.js';
import { Supervisor, type IncarnationLedger, type SupervisorEvent } from './supervisor.js';
import type { ProgramContext } from './worker-program.js';

/** How `remuda-worker --processes` supervises. */
export interface SupervisingOptions {
  readonly processes: number;
  /** Undefined: what was started is forgotten with this process. */
  readonly incarnations: IncarnationFiles | undefined;
  readonly logger: Logger;
}

/** After how long without a sign of life a worker process is ended, in milliseconds, where the unit has no WatchdogSec=. */
const SILENCE_MS = 60_000;

/**
 * Runs `remuda-worker --processes` to its end: it starts and supervises the workers, and works itself not at all. Fulfilled with
 * the exit status.
 */
export async function superviseWorkers(
  context: ProgramContext,
  { processes, incarnations, logger }: SupervisingOptions,
): Promise<number> {
  const { config, env, script, stdin, serviceManager } = context;
  const { drainTimeoutMs } = config;
  const journal = [1, 2].filter((fd) => isJournal(fd, env));
  let exitCode = 0;
  let lastSaid = '';
  const notices = openNotices(context, processes, logger);
  const supervisor: Supervisor = new Supervisor({
    processes,
    command: (index) => ({
      command: process.execPath,
      args: [...process.execArgv, script, ...childArguments(config, index)],
      env,
    }),
    output: () => ({ stdout: process.stdout, stderr: process.stderr, journal }),
    ...(incarnations === undefined ? {} : { ledger: ledgerIn(incarnations) }),
    ...(serviceManager === undefined
      ? {}
      : { watch: { pulseMs: beatMs(serviceManager), silenceMs: silenceMs(context) } }),
    onEvent: (event) => {
      logChild(logger, event);
      tellOf(notices, event);
      if (event.name === 'child-ended' && event.restartInMs === undefined) {
        const { end, kind } = event;
        // The children's own final status; of several the one that says that all of them were told something wrong.
        if (kind === 'final' && exitCode !== EXIT_REFUSED) exitCode = endStatus(end) ?? 1;
        if (end.said !== undefined && end.said.message !== LEFT_WELL) lastSaid = end.said.message;
      }
      // Nobody is left to supervise.
      if (event.name === 'place-freed' && supervisor.places().length === 0) supervisor.drain(0);
    },
  });
  // When the reader is slow, every child's output waits for it, and perhaps what an ended one has left.
  for (const output of [process.stdout, process.stderr]) {
    output.setMaxListeners(output.getMaxListeners() + 2 * processes);
  }
  const drain = (drainMs: number): void => {
    notices?.draining(drainMs);
    supervisor.drain(drainMs);
  };
  drainOnSignals(logger, { supervised: false, drain: () => drain(drainTimeoutMs), kill: () => supervisor.killAll() });
  drainOnStdinEnd(logger, stdin, (drainMs) => drain(Math.min(drainMs, drainTimeoutMs)));
  logger.info({ processes }, 'supervising');
  supervisor.start();
  await supervisor.done;
  logger.info({ exit_code: exitCode }, 'all processes have ended');
  await notices?.ended(lastWords(exitCode, lastSaid));
  return exitCode;
}

/** A session beside the handlers stands still with them, and how long they may is for their time-outs to say. */
function silenceMs({ config: { session }, serviceManager }: ProgramContext): number | undefined {
  return session === 'inline' ? undefined : (serviceManager?.watchdogMs ?? SILENCE_MS);
}

function openNotices(
  { config: { address }, serviceManager, nowMs }: ProgramContext,
  processes: number,
  logger: Logger,
): ServiceNotices | undefined {
  if (serviceManager === undefined) return undefined;
  const period = beatMs(serviceManager);
  const manager = new ServiceManager(serviceManager, (message) => {
    logger.error({ detail: message }, 'notify-failed');
  });
  const notices = new ServiceNotices({ manager, address, processes, beatMs: period, nowMs });
  every(period, () => {
    notices.beat();
  });
  return notices;
}

function tellOf(notices: ServiceNotices | undefined, event: SupervisorEvent): void {
  if (event.name === 'child-pulse') notices?.pulse(event.index, event.pulse);
  else if (event.name === 'child-ended') notices?.gone(event.index, event.restartInMs !== undefined);
}

function ledgerIn(files: IncarnationFiles): IncarnationLedger {
  return {
    ended: (index) => files.ended(String(index)),
    started: (index, ...rest) => {
      files.started(String(index), ...rest);
    },
  };
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
    case 'child-pulse':
    case 'place-freed':
      break;
    case 'child-silent':
      logger.error(
        { index, child_pid: event.pid, silence_ms: Math.round(event.silenceMs) },
        'child gives no sign of life: SIGKILL',
      );
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

function lastWords(exitCode: number, lastSaid: string): string {
  const words = exitCode === 0 ? 'all processes have left' : finalMessage(exitCode);
  return lastSaid === '' ? words : `${words} (${lastSaid})`;
}

import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { onStdinEnd } from '../proto/stdin-guard.js';

/** How long handlers may finish after the end of stdin, in milliseconds: nobody is left to wait for them. */
const ORPHAN_DRAIN_MS = 3_000;

/** What is done on the signals that end a process. */
export interface SignalActions {
  /** The terminal's SIGINT is the supervisor's business alone. */
  readonly supervised: boolean;
  readonly drain: () => void;
  /** Before the end at the second signal. Default: nothing. */
  readonly kill?: () => void;
}

/** SIGTERM and SIGINT: the first one drains, the second one ends the process. */
export function drainOnSignals(logger: Logger, { supervised, drain, kill }: SignalActions): void {
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

/** Whoever started this process is gone with the end of `stdin`: what runs has a moment. Undefined: nobody looks at it. */
export function drainOnStdinEnd(logger: Logger, stdin: Readable | undefined, drain: (drainMs: number) => void): void {
  if (stdin === undefined) return;
  // Whoever is gone does not read our output either: that must not cut the drain short.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined);
  onStdinEnd(stdin, () => {
    logger.info({ drain_ms: ORPHAN_DRAIN_MS }, 'stdin has ended: draining');
    drain(ORPHAN_DRAIN_MS);
  });
}

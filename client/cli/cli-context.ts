import type { Readable } from 'node:stream';
import type { Terminal } from './terminal.js';

/** How a program is asked to stop. */
export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** What the commands have of their process. */
export interface CliContext {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: Readable;
  readonly terminal: Terminal;
  /** Calls back at each SIGINT until told to stop: the process does not end by itself meanwhile. */
  readonly onInterrupt: (listener: () => void) => () => void;
  /** Calls back at each SIGINT, SIGTERM and SIGHUP until told to stop. */
  readonly onStop: (listener: (signal: StopSignal) => void) => () => void;
  /** What to exit with; a command sets it. */
  exitCode: number;
}

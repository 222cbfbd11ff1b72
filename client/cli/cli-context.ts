import type { Readable } from 'node:stream';
import type { Faults } from './faults.js';
import type { Terminal } from './terminal.js';

/** How a program is asked to stop. */
export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** The clocks of a process. */
export interface Clock {
  /** Milliseconds since 1970: for what people read, and for times that the coordinator is told. */
  wallMs(): number;
  /** Milliseconds of a clock that only goes forward: for how long something takes. */
  monoMs(): number;
}

/** What the commands have of their process. */
export interface CliContext {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: Readable;
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
  /** What is wrong with the command line; told in one message before anything is done. */
  readonly faults: Faults;
  /** Calls back at each SIGINT until told to stop: the process does not end by itself meanwhile. */
  readonly onInterrupt: (listener: () => void) => () => void;
  /** Calls back at each SIGINT, SIGTERM and SIGHUP until told to stop. */
  readonly onStop: (listener: (signal: StopSignal) => void) => () => void;
  /** The command that shows again what stdout does not take; a command sets it that has one. */
  seeLine?: string;
  /** What to exit with; a command sets it. */
  exitCode: number;
}

import type { JournalPath } from '../proto/journal.js';
import type { ServiceManagerAddress } from '../proto/service-manager.js';

/** What a session is opened with, before it is told to dial. Plain data: it may cross to a thread. */
export interface SessionSetup {
  /** The process is the worker's own: the session sees to it that it ends when the session is over. */
  readonly ownsProcess: boolean;
  /** A stuck handler ends the process by SIGKILL. */
  readonly killWhenStuck: boolean;
  /**
   * Write the session's log lines to standard output, as JSON, and as the journal wants them if they come into it. Undefined: the
   * handlers' side is told, nobody else.
   */
  readonly log: { readonly level: string; readonly journal: JournalPath | undefined } | undefined;
  /** The supervision socket. Undefined: nobody supervises. */
  readonly supervisorFd: number | undefined;
  /** How often the supervisor wants a sign of life, in milliseconds; undefined: never. */
  readonly pulseMs: number | undefined;
  /** Of a process that nobody supervises but a service manager. Undefined: there is none. */
  readonly serviceManager: ServiceManagerAddress | undefined;
  /** The process leads a group of its own, and nobody is left to report to when its supervisor is gone. */
  readonly ownGroup: boolean;
}

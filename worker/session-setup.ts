import type { JournalPath } from '../proto/journal.js';

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
  /** The process leads a group of its own, and nobody is left to report to when its supervisor is gone. */
  readonly ownGroup: boolean;
}

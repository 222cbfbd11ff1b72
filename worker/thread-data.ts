/** What a session thread is started with. */
export interface SessionThreadData {
  /** The process is the worker's own: the thread sees to it that it ends when the session is over. */
  readonly ownsProcess: boolean;
  /** A stuck handler ends the process by SIGKILL. */
  readonly killWhenStuck: boolean;
  /** Write the session's log lines to standard output, as JSON. Undefined: they are told to the main thread only. */
  readonly log: { readonly level: string } | undefined;
  /** The supervision socket. Undefined: nobody supervises. */
  readonly supervisorFd: number | undefined;
}

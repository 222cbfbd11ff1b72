import type { FromHandlers, FromSession, SessionExit } from './session-messages.js';

/** The handlers' end of the line to the session. */
export interface SessionPort {
  /** Says something to the session; `transfer` lists buffers that may be moved instead of copied. */
  post(message: FromHandlers, transfer: ArrayBuffer[]): void;
  /** Lets the supervisor know why the process is about to end. When it returns, the process may end. */
  sayEnding(exit: SessionExit): void;
  /** Whether the session alone keeps the process alive; it does unless told otherwise. */
  keepAlive(yes: boolean): void;
}

/** What the handlers' side hears. Never before the call that opened the port, or one of its own posts, has returned. */
export interface SessionPortListener {
  onMessage(message: FromSession): void;
  /** The session itself has failed, which is a bug: nothing comes any more. */
  onFailure(error: Error): void;
}

import type { Assignment } from '../proto/gen/remuda/v1/worker_service_pb.js';
import type { AbortCause } from './task-handler.js';
import type { AttemptKey, SessionEvent, SessionExit } from './session-messages.js';

/** What the session machine wants done. The host does it, in order, after each input. */
export type SessionEffect =
  /** Open a stream; say `opened` when frames can be written to it, or `ended`. */
  | { readonly kind: 'dial'; readonly sessionNumber: number }
  /** End the stream; `gently` lets what was written leave first. Nothing of that stream counts any more. */
  | { readonly kind: 'hangUp'; readonly sessionNumber: number; readonly gently: boolean }
  /** Enter these handlers. */
  | {
      readonly kind: 'run';
      readonly tasks: readonly { readonly key: AttemptKey; readonly assignment: Assignment }[];
      readonly maxResultBytes: number;
    }
  /** Abort a handler's signal. */
  | { readonly kind: 'abort'; readonly key: AttemptKey; readonly cause: AbortCause; readonly message: string }
  /** Tell the handlers that the worker is leaving. */
  | { readonly kind: 'draining' }
  /** A heartbeat is due: measure, then say `load`. */
  | { readonly kind: 'measure' }
  /** For the log and for listeners. */
  | { readonly kind: 'event'; readonly event: SessionEvent }
  /** The session is over, for good. */
  | { readonly kind: 'exit'; readonly exit: SessionExit };

/** How a worker ends that has left in good order. */
export const LEFT_WELL = 'the worker has left';
/** The process has lost its worker_id to another; systemd: RestartPreventExitStatus. */
export const EXIT_SUPERSEDED = 78;
/** The coordinator refused what the worker says of itself, or the flags are wrong: starting again would not help. */
export const EXIT_REFUSED = 2;
/** A handler is stuck: the process is to be ended by SIGKILL and started anew. Never an exit status by itself. */
export const EXIT_RECYCLE = -1;

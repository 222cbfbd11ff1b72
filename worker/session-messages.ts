/**
 * What the handlers' side and the session say to each other, over whatever SessionPort lies between them.
 *
 * The session owns everything about time: in a thread of its own it has timers also while handlers block the main thread. So
 * `started` leaves before the handler is entered, the session counts the time-out from its arrival, and `abort` is the
 * session's word.
 */
import type { SessionOptions } from './session-options.js';
import type { AbortCause } from './task-handler.js';
import type { FailureInfo } from './thrown.js';

/** The fence in one string; unique in a process. */
export type AttemptKey = string;

/** One attempt to be entered now: the session sends it only when a slot is free. */
export interface RunMessage {
  readonly key: AttemptKey;
  readonly taskId: string;
  readonly attempt: number;
  readonly type: string;
  readonly contentType: string;
  /** Owns its ArrayBuffer: it can be transferred, and the handler that gets it may do with it what it likes. */
  readonly data: Uint8Array<ArrayBuffer>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly traceparent: string;
  readonly failureCount: number;
  /** Bound of the result in bytes. */
  readonly maxResultBytes: number;
}

/**
 * True for an attempt after the first, by its number: the one before it may have cost its process. It is entered only when the
 * frame that says `started` is with the system.
 */
export function isRepeat(attempt: number): boolean {
  return attempt > 1;
}

/** How a handler ended. What outcome that makes is the session machine's to say: it knows of aborts first. */
export type Settlement =
  | { readonly kind: 'returned'; readonly contentType: string; readonly data: Uint8Array }
  | { readonly kind: 'threw'; readonly failure: FailureInfo }
  /** Payload or result had no acceptable form: FAILED, whatever else happened to the attempt. */
  | { readonly kind: 'refused'; readonly failure: FailureInfo };

/** What the handlers' side says. */
export type FromHandlers =
  /** Dial. Before it the session only watches the supervisor. */
  | { readonly t: 'start'; readonly options: SessionOptions }
  | { readonly t: 'started'; readonly key: AttemptKey }
  | { readonly t: 'settled'; readonly key: AttemptKey; readonly settlement: Settlement; readonly runMs: number }
  | {
      readonly t: 'progress';
      readonly key: AttemptKey;
      readonly number: number;
      readonly contentType: string;
      readonly data: Uint8Array;
    }
  | { readonly t: 'leave'; readonly drainTimeoutMs: number };

/** A thing that happened to the session, for the log and for listeners. `name` is stable. */
export type SessionEvent =
  | {
      readonly name: 'welcome';
      readonly sessionNumber: number;
      readonly coordinatorVersion: string;
      readonly leaseMs: number;
      readonly heartbeatIntervalMs: number;
    }
  | {
      readonly name: 'disconnected';
      readonly sessionNumber: number;
      /** Name of the gRPC status code. */
      readonly code: string;
      /** ErrorInfo.reason; empty if there is none. */
      readonly reason: string;
      readonly message: string;
      /** When the next dial comes; undefined: never. */
      readonly retryInMs: number | undefined;
      /** Dials in a row that got no welcome. */
      readonly failures: number;
    }
  | { readonly name: 'lease-lost'; readonly attempts: number }
  /** The coordinator restarts: what runs may run on for so long without it. */
  | { readonly name: 'hold'; readonly holdMs: number }
  | { readonly name: 'draining'; readonly deadlineMs: number; readonly cause: LeaveCause }
  | {
      readonly name: 'stuck';
      readonly taskId: string;
      readonly attempt: number;
      readonly type: string;
      readonly message: string;
    }
  | { readonly name: 'refused-assignment'; readonly taskId: string; readonly attempt: number; readonly message: string }
  | { readonly name: 'report-refused'; readonly taskId: string; readonly attempt: number; readonly reason: string }
  | { readonly name: 'undelivered'; readonly taskIds: readonly string[]; readonly message: string }
  | { readonly name: 'superseded'; readonly message: string };

/** Who began a departure. */
export type LeaveCause =
  /** stop() or a signal. */
  | 'asked'
  /** The coordinator's word, for instance by an operator. */
  | 'coordinator'
  /** A handler is stuck and the process is to be replaced. */
  | 'recycle';

/** What the session ended with. */
export interface SessionExit {
  /** 0 left in good order; 2 refused for good; 78 superseded; RECYCLED_EXIT a stuck handler. */
  readonly code: number;
  readonly message: string;
}

/** What the session says. */
export type FromSession =
  | { readonly t: 'run'; readonly tasks: readonly RunMessage[] }
  | { readonly t: 'abort'; readonly key: AttemptKey; readonly cause: AbortCause; readonly message: string }
  | { readonly t: 'draining' }
  /** The supervisor's process is gone; the session leaves by itself. */
  | { readonly t: 'orphaned' }
  | { readonly t: 'event'; readonly event: SessionEvent }
  | { readonly t: 'exit'; readonly exit: SessionExit };

/**
 * What goes to a session thread: beside the messages its question whether the handlers' loop turns is answered, and it is told
 * that the process is about to end: the sender waits until `told`, of one element, is 1.
 */
export type ToThread =
  | FromHandlers
  | { readonly t: 'pong'; readonly number: number }
  | { readonly t: 'ending'; readonly exit: SessionExit; readonly told: Int32Array<SharedArrayBuffer> };

/** What comes from a session thread; a ping is to be answered at once with a pong of its number. */
export type FromThread = FromSession | { readonly t: 'ping'; readonly number: number };

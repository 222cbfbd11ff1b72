import type { Hello } from '../proto/gen/remuda/v1/worker_service_pb.js';
import type { SessionExit } from './session-messages.js';
import type { WorkerLink } from './worker-link.js';

/** Where the stream stands. */
export type SessionState =
  /** Not started. */
  | { readonly t: 'Idle' }
  /** No stream; the next dial comes by itself. */
  | { readonly t: 'BackingOff'; readonly dialAtMs: number }
  /** The host opens a stream. */
  | { readonly t: 'Dialling'; readonly sessionNumber: number; readonly giveUpAtMs: number }
  /** Hello has been said, or waits to be written; nothing else may be said before the answer. */
  | {
      readonly t: 'AwaitingWelcome';
      readonly sessionNumber: number;
      readonly giveUpAtMs: number;
      readonly link: WorkerLink;
      readonly hello: Hello;
    }
  /** Welcomed. */
  | {
      readonly t: 'Open';
      readonly sessionNumber: number;
      readonly link: WorkerLink;
      readonly sinceMs: number;
      readonly heartbeatIntervalMs: number;
      /** A frame that is unacknowledged for this long means that the stream is dead: half a lease, +-10 %. */
      readonly ackTimeoutMs: number;
    }
  /** Another process has the id; handlers clean up. */
  | { readonly t: 'Superseded'; readonly exitAtMs: number; readonly message: string }
  /** Over. */
  | { readonly t: 'Left'; readonly exit: SessionExit };

import type { FleetError } from '../proto/fleet-error.js';
import type { StreamResult, StreamSubmitAck, SubmitTaskRequest } from '../proto/gen/remuda/v1/task_service_pb.js';
import type { StreamEnd } from './frame-stream.js';

/** `submit` ends with the acknowledgement, `run` with the task's end, `result` awaits the end of a task that is there already. */
export type CallKind = 'submit' | 'run' | 'result';

/** What becomes of a task when its `run` is aborted. */
export type OnAbandon = 'cancel' | 'keep';

/** How far a call has come at the coordinator. */
export type CallStage =
  /** Nothing of it was sent. */
  | 'unsent'
  /** It was sent, and whether the coordinator has it is not known. */
  | 'unacknowledged'
  /** The coordinator has the task. */
  | 'accepted';

/** A call as its caller makes it. */
export interface StreamCall {
  /** Unique in this client. */
  readonly callId: number;
  readonly kind: CallKind;
  /** UUID in lower case. */
  readonly taskId: string;
  /** What to submit; undefined for `result`. */
  readonly task: SubmitTaskRequest | undefined;
  /** What the task takes in a frame, about; 0 for `result`. */
  readonly bytes: number;
  /** Until when a task that nothing was sent of may wait to be sent, monotonic milliseconds. Infinity: as long as its caller does. */
  readonly deadlineMs: number;
}

/** What a task stream's machine wants done. */
export type StreamEffect =
  /** Open a stream on a connection of its own. */
  | { readonly kind: 'dial'; readonly streamNumber: number }
  /** End that stream; `gently` lets what was written leave first. */
  | { readonly kind: 'hangUp'; readonly streamNumber: number; readonly gently: boolean }
  /** The task is durable. A `submit` is over. */
  | { readonly kind: 'accepted'; readonly callId: number; readonly ack: StreamSubmitAck }
  /** The task has ended, and the call with it. */
  | { readonly kind: 'ended'; readonly callId: number; readonly result: StreamResult }
  /** The call is over without the answer it wanted. */
  | { readonly kind: 'failed'; readonly callId: number; readonly error: FleetError }
  /** The task's caller is gone and wants it cancelled. */
  | { readonly kind: 'cancel'; readonly taskId: string }
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected'; readonly end: StreamEnd }
  /** After close(): nothing follows. */
  | { readonly kind: 'closed' };

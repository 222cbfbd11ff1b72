import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../proto/fleet-error.js';
import type { CallKind, CallStage, OnAbandon } from './stream-call.js';

/** Reason of an error about a call that was given up before anything of it was sent. */
export const NOT_SENT = 'NOT_SENT';
/** Reason of an error about a submit that was given up before its acknowledgement. */
export const ACCEPTANCE_UNKNOWN = 'ACCEPTANCE_UNKNOWN';
/** Reason of an error about waiting that was given up, for a task that the coordinator has. */
export const WAIT_ABORTED = 'WAIT_ABORTED';
/** Reason of an error about a task whose deadline passed before it was sent; EXPIRED tasks have it too. */
export const DEADLINE_PASSED = 'DEADLINE_PASSED';
/** Reason of an error about a client that is closed. */
export const CLIENT_CLOSED = 'CLIENT_CLOSED';

/** A call whose signal was aborted, by how far it had come. */
export function abortedError(
  { kind, taskId }: { readonly kind: CallKind; readonly taskId: string },
  stage: CallStage,
  onAbandon: OnAbandon,
  signal: AbortSignal | undefined,
): FleetError {
  const options = { metadata: { task_id: taskId }, cause: signal?.reason as unknown };
  const cancels = kind === 'run' && onAbandon === 'cancel';
  switch (stage) {
    case 'unsent':
      return new FleetError(
        Code.CANCELLED,
        NOT_SENT,
        `aborted before task ${taskId} was sent: it does not exist`,
        options,
      );
    case 'unacknowledged': {
      const what = cancels
        ? 'if it has it, it is cancelled'
        : 'see with get(), or submit it again with the same taskId, which makes it the same task';
      const message = `aborted before the coordinator had said whether it accepted task ${taskId}; ${what}`;
      return new FleetError(Code.CANCELLED, ACCEPTANCE_UNKNOWN, message, options);
    }
    case 'accepted': {
      const what = cancels
        ? "which is being cancelled; run() with onAbandon: 'keep' would let it go on"
        : 'which goes on; result() waits for it again';
      return new FleetError(Code.CANCELLED, WAIT_ABORTED, `aborted while waiting for task ${taskId}, ${what}`, options);
    }
  }
}

/** A task whose deadline has passed while it waited for its turn: to submit it would be to be told that its deadline is no deadline. */
export function deadlinePassedError(taskId: string): FleetError {
  const message =
    `the deadline of task ${taskId} passed while it waited in this client for its turn; it was never sent. Submit fewer at a time, ` +
    'raise maxInFlight, or give it more time';
  return new FleetError(Code.DEADLINE_EXCEEDED, DEADLINE_PASSED, message, { metadata: { task_id: taskId } });
}

/** A call that was under way when the client was closed. */
export function closedError(taskId: string, stage: CallStage): FleetError {
  const what = {
    unsent: `task ${taskId} was not sent`,
    unacknowledged: `whether the coordinator accepted task ${taskId} is not known; see with get() of another client`,
    accepted: `task ${taskId} goes on; see with get() or result() of another client`,
  }[stage];
  const message = `the client was closed meanwhile; ${what}`;
  return new FleetError(Code.FAILED_PRECONDITION, CLIENT_CLOSED, message, { metadata: { task_id: taskId } });
}

/** A call of a client that is closed. */
export function clientClosed(): FleetError {
  const message = 'the client is closed; make another one with createClient()';
  return new FleetError(Code.FAILED_PRECONDITION, CLIENT_CLOSED, message);
}

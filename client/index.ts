/**
 * `remuda/client`: submit tasks, and get their results.
 *
 * ```ts
 * import { createClient, TaskFailedError } from 'remuda/client';
 *
 * interface Tasks {
 *   'file.checksum': { in: { path: string }; out: { sha256: string; bytes: number } };
 * }
 *
 * const client = createClient<Tasks>({ address: '127.0.0.1:7070' });
 * try {
 *   const { sha256 } = await client.run('file.checksum', { path: 'README.md' }, { timeoutMs: 30_000 });
 *   console.log(sha256);
 * } catch (error) {
 *   if (!(error instanceof TaskFailedError)) throw error;
 *   console.error(error.message, error.attempts);
 * } finally {
 *   await client.close();
 * }
 * ```
 *
 * All times are milliseconds. A call that waits can be given up with an AbortSignal.
 */
export { createClient } from './create-client.js';
export type { ClientOptions } from './client-options.js';
export type {
  AnyTasks,
  Client,
  ClientEvents,
  ClientStats,
  CloseOptions,
  InputOf,
  ListOptions,
  OutputOf,
  SubmitItem,
  SubmitReceipt,
  TaskChange,
  TaskMap,
  TaskShape,
  TypeOf,
} from './client.js';
export type { RetryOptions, RunOptions, SubmitOptions, TaskOptions, WaitOptions } from './submit-options.js';
export type { OnAbandon } from './stream-call.js';
export type { StreamEnd } from './frame-stream.js';
export type {
  AttemptChargeName,
  AttemptInfo,
  AttemptOutcomeName,
  FailureInfo,
  TaskInfo,
  TaskOptionsInfo,
  TaskStateName,
  WaitingReasonName,
} from './task-info.js';
export type { PayloadContent } from '../proto/payload-content.js';
export { isTaskFailedError, TaskFailedError } from './task-failed-error.js';
export { FleetError, isFleetError, type FieldViolation, type QuotaViolation } from '../proto/fleet-error.js';
export { ACCEPTANCE_UNKNOWN, CLIENT_CLOSED, DEADLINE_PASSED, NOT_SENT, WAIT_ABORTED } from './call-errors.js';
export { RESULT_NOT_JSON } from './payload-value.js';
export { DEFAULT_ADDRESS } from './address.js';

// What is above is for programs that submit tasks. What is below is for those that call the contract themselves.
export {
  CONNECTION_LOST,
  COORDINATOR_UNREACHABLE,
  MAX_PAYLOAD_BYTES,
  NOT_A_COORDINATOR,
  RpcChannel,
  type RpcCallOptions,
  type RpcChannelOptions,
} from './rpc.js';

import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import type { Input } from '../core/inputs.js';
import type { ReplyToken } from '../core/task.js';
import type { Engine, EngineReply } from '../engine.js';

/** The part of the engine that services use. */
export type AskedEngine = Pick<Engine, 'append' | 'ask' | 'forget' | 'abandon' | 'refusal' | 'seen' | 'wasPurged'>;

/** What an input takes beside its payload, roughly; also what each id takes of one that names many. */
export const INPUT_BYTES = 512;

/**
 * Asks the engine for something that is answered once.
 *
 * @param payloadBytes What the input carries beside its own few fields.
 * @throws FleetError RESOURCE_EXHAUSTED / INBOX_FULL; UNAVAILABLE / COORDINATOR_STOPPING
 */
export function askOnce(
  engine: AskedEngine,
  make: (token: ReplyToken) => Input,
  payloadBytes = 0,
): Promise<EngineReply> {
  return new Promise((resolve, reject) => {
    if (engine.refusal?.reason === 'COORDINATOR_STOPPING') {
      reject(refused(engine.refusal));
      return;
    }
    const token = engine.ask(make, INPUT_BYTES + payloadBytes, (reply) => {
      if (token !== null) engine.forget(token);
      if (reply.kind === 'stopped') reject(stoppedFirst());
      else resolve(reply);
    });
    if (token === null) reject(inboxFull());
  });
}

/**
 * Asks the engine for a task's end: `onReply` hears that it was submitted, and then that it has ended.
 *
 * @returns The token to abandon it by.
 * @throws FleetError RESOURCE_EXHAUSTED / INBOX_FULL
 */
export function askAndWait(
  engine: AskedEngine,
  make: (token: ReplyToken) => Input,
  payloadBytes: number,
  onReply: (reply: EngineReply) => void,
): ReplyToken {
  const token = engine.ask(make, INPUT_BYTES + payloadBytes, onReply);
  if (token === null) throw inboxFull();
  return token;
}

/**
 * Refuses new work while it could not be made durable.
 *
 * @throws FleetError UNAVAILABLE / STORE_UNAVAILABLE or COORDINATOR_STOPPING
 */
export function requireOpenDoor(engine: Pick<Engine, 'refusal'>): void {
  if (engine.refusal !== null) throw refused(engine.refusal);
}

/** Why something is refused for now, as an error that invites a repeat. */
export function refused({ reason, message }: NonNullable<Engine['refusal']>): FleetError {
  return new FleetError(Code.UNAVAILABLE, reason, message, { retryDelayMs: 1_000 });
}

/** The coordinator stopped with the question open. */
export function stoppedFirst(): FleetError {
  const message =
    'the coordinator stopped before it could answer; whether it was done is not known: ask again in a moment, with the same task_id';
  return new FleetError(Code.UNAVAILABLE, 'COORDINATOR_STOPPING', message, { retryDelayMs: 1_000 });
}

/** A call waits for its task when the coordinator stops. */
export function callInterrupted(): FleetError {
  const message =
    'the coordinator is stopping; the task goes on: repeat the call with the same task_id, or read it with GetTask';
  return new FleetError(Code.UNAVAILABLE, 'COORDINATOR_STOPPING', message, { retryDelayMs: 1_000 });
}

function inboxFull(): FleetError {
  const message = 'the coordinator has more calls waiting than it takes; send fewer at once and try again';
  return new FleetError(Code.RESOURCE_EXHAUSTED, 'INBOX_FULL', message, {
    retryDelayMs: 100,
    quota: { subject: 'coordinator', description: 'calls that wait for the next step' },
  });
}

/** A reply that the core never gives to this question. */
export function unexpectedReply(reply: EngineReply): Error {
  return new Error(`the engine answered with ${reply.kind}, which does not answer the question`);
}

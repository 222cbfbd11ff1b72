import { status as Code } from '@grpc/grpc-js';
import { FleetError, type FieldViolation } from '../proto/fleet-error.js';
import type { Payload } from '../proto/gen/remuda/v1/payload_pb.js';
import { encodeJson } from '../proto/json-value.js';
import { isJson, type PayloadContent } from '../proto/payload-content.js';
import { parseJson, PAYLOAD_NOT_JSON, payloadContent } from '../proto/payload.js';

/** Reason of an error about a result that says it is JSON and is none. */
export const RESULT_NOT_JSON = 'RESULT_NOT_JSON';

/** Why a payload cannot be sent. */
export interface PayloadFault {
  readonly reason: 'PAYLOAD_NOT_JSON' | 'PAYLOAD_TOO_LARGE';
  /** What is wrong, and where in the payload. */
  readonly violation: FieldViolation;
}

/** A payload's bytes, a copy of what was given: bytes as they are, everything else as JSON, `undefined` as null. */
export function encodePayload(payload: unknown, maxBytes: number): { readonly data: Uint8Array } | PayloadFault {
  const encoded =
    payload instanceof Uint8Array
      ? { ok: true as const, data: new Uint8Array(payload) }
      : encodeJson('payload', payload);
  if (!encoded.ok) {
    return { reason: PAYLOAD_NOT_JSON, violation: { field: encoded.place, description: encoded.says } };
  }
  const { data } = encoded;
  if (data.byteLength <= maxBytes) return { data };
  const description =
    `has ${data.byteLength} bytes; at most ${maxBytes} are allowed: pass a reference to it, or raise the bound (maxPayloadBytes), here and ` +
    'at the coordinator (--max-payload-bytes)';
  return { reason: 'PAYLOAD_TOO_LARGE', violation: { field: 'payload', description } };
}

/**
 * A payload, result or progress as a value: JSON parsed, anything else as its bytes with their media type. Bytes that say they
 * are JSON and are none come as bytes too.
 */
export function payloadValue(payload: Payload | undefined): unknown {
  const content = payloadContent(payload);
  const value = isJson(content.contentType) ? parseJson(content.data) : undefined;
  return value === undefined ? bytesOf(content) : value;
}

/**
 * The result of a task as its `run` gives it.
 *
 * @throws FleetError DATA_LOSS / RESULT_NOT_JSON if its handler's worker said it was JSON and it is none
 */
export function resultValue(taskId: string, payload: Payload | undefined): unknown {
  const content = payloadContent(payload);
  if (!isJson(content.contentType)) return bytesOf(content);
  const value = parseJson(content.data);
  if (value !== undefined) return value;
  const message =
    `task ${taskId} succeeded, but the ${content.data.byteLength} bytes of its result are no JSON, which ${content.contentType} ` +
    "says they are; get() shows them, and the handler's worker must send another content type";
  throw new FleetError(Code.DATA_LOSS, RESULT_NOT_JSON, message, { metadata: { task_id: taskId } });
}

/** A copy: the bytes are a view of a whole frame, which would stay in memory with them. (Buffer.slice would be such a view too.) */
function bytesOf({ contentType, data }: PayloadContent): PayloadContent {
  return { contentType, data: new Uint8Array(data) };
}

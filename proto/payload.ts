import { create, fromJson, toJson, type JsonValue } from '@bufbuild/protobuf';
import { ValueSchema, type Value } from '@bufbuild/protobuf/wkt';
import { FleetError, quoted } from './fleet-error.js';
import { PayloadSchema, PayloadView, type Payload } from './gen/remuda/v1/payload_pb.js';
import { isJson, JSON_CONTENT_TYPE, type PayloadContent } from './payload-content.js';

/** `Payload.content_type` in characters, at most. */
export const MAX_CONTENT_TYPE_CHARS = 127;

/** Reason of errors about JSON that is none; also of the failure of an attempt whose payload is none. */
export const PAYLOAD_NOT_JSON = 'PAYLOAD_NOT_JSON';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * A payload as bytes. `value` becomes JSON text, nothing at all becomes JSON null, an empty content type becomes
 * `application/json`. `data` is not looked into and not copied: it may share the memory of the whole message.
 *
 * @param field Path of the payload in its request, for the error. Default `payload`.
 * @throws FleetError INVALID_ARGUMENT / PAYLOAD_NOT_JSON if `value` is no JSON value (NaN, an infinity, an empty Value), or
 *   comes with a content type that is not JSON
 */
export function payloadContent(payload: Payload | undefined, field = 'payload'): PayloadContent {
  const said = payload?.contentType ?? '';
  const contentType = said === '' ? JSON_CONTENT_TYPE : said;
  switch (payload?.body.case) {
    case 'data':
      return { contentType, data: payload.body.value };
    case 'value':
      if (contentType !== JSON_CONTENT_TYPE) {
        const description = `is ${quoted(said)}, but with \`value\` it must be empty or ${JSON_CONTENT_TYPE}; send other types as \`data\``;
        throw FleetError.invalid(PAYLOAD_NOT_JSON, [{ field: `${field}.content_type`, description }]);
      }
      return { contentType, data: valueText(payload.body.value, field) };
    case undefined:
      return { contentType, data: encoder.encode('null') };
  }
}

function valueText(value: Value, field: string): Uint8Array {
  try {
    return encoder.encode(JSON.stringify(toJson(ValueSchema, value)));
  } catch (error) {
    const description =
      'holds NaN, an infinity or an empty Value, for which JSON has no text; send a finite number or null';
    throw FleetError.invalid(PAYLOAD_NOT_JSON, [{ field: `${field}.value`, description }], { cause: error });
  }
}

/**
 * Content as a payload in the view asked for; undefined for PAYLOAD_VIEW_NONE. UNSPECIFIED and unknown views mean DATA.
 * Under VALUE, JSON that no google.protobuf.Value can hold (nested more than 100 messages deep, a number beyond a double)
 * stays `data`, like anything that is not JSON.
 */
export function payloadView(content: PayloadContent, view: PayloadView): Payload | undefined {
  if (view === PayloadView.NONE) return undefined;
  if (view === PayloadView.VALUE && isJson(content.contentType)) {
    const value = jsonValue(content.data);
    if (value !== undefined) {
      return create(PayloadSchema, { contentType: JSON_CONTENT_TYPE, body: { case: 'value', value } });
    }
  }
  return dataPayload(content);
}

function jsonValue(data: Uint8Array): Value | undefined {
  const json = parseJson(data);
  if (json === undefined) return undefined;
  try {
    const value = fromJson(ValueSchema, json);
    return isFinite(json) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** JSON text can hold 1e999; a Value that does cannot be written as JSON by its reader. Recursion is bounded by fromJson. */
function isFinite(json: JsonValue): boolean {
  if (typeof json === 'number') return Number.isFinite(json);
  return typeof json !== 'object' || json === null || Object.values(json).every(isFinite);
}

/**
 * A copy of bytes that were read from a message: they are a view into it, and would keep all of it in memory. (`slice()` copies
 * nothing: what grpc-js gives us are Buffers, whose `slice` is another view.)
 */
export function ownBytes(data: Uint8Array): Uint8Array {
  return new Uint8Array(data);
}

/** Content as a payload of bytes: what travels to workers and SDKs. */
export function dataPayload({ contentType, data }: PayloadContent): Payload {
  return create(PayloadSchema, { contentType, body: { case: 'data', value: data } });
}

/** JSON text as a value; undefined if it is none, or is no UTF-8. */
export function parseJson(data: Uint8Array): JsonValue | undefined {
  try {
    return JSON.parse(decoder.decode(data)) as JsonValue;
  } catch {
    return undefined;
  }
}

/**
 * Refuses content that says it is JSON and is none. Costs a parse: for the door, where a clear answer is worth it.
 *
 * @param field Path of the payload in its request. Default `payload`.
 * @throws FleetError INVALID_ARGUMENT / PAYLOAD_NOT_JSON, with what the parser says and where
 */
export function requireJson({ contentType, data }: PayloadContent, field = 'payload'): void {
  if (!isJson(contentType)) return;
  try {
    JSON.parse(decoder.decode(data));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const description = `is no JSON (${why}); send one JSON value in UTF-8, or name another content_type`;
    throw FleetError.invalid(PAYLOAD_NOT_JSON, [{ field: `${field}.data`, description }], { cause: error });
  }
}

import { encodeJson } from '../proto/json-value.js';
import { BYTES_CONTENT_TYPE, JSON_CONTENT_TYPE, type PayloadContent } from '../proto/payload-content.js';

/** Why a value cannot be sent, ready for a report. */
export interface ContentFault {
  readonly reason: 'RESULT_NOT_JSON' | 'RESULT_TOO_LARGE';
  readonly message: string;
}

/**
 * Encodes what a handler returned: a `Uint8Array` as it is, everything else as JSON, `undefined` as null. A value that JSON
 * would quietly lose (a function, a Map, an Error, bytes within) is a fault that names its place; `undefined` properties, NaN
 * and toJSON() behave as in JSON.stringify.
 *
 * @param maxBytes bound of the encoded value
 */
export function encodeResult(value: unknown, maxBytes: number): PayloadContent | ContentFault {
  return encodeContent('result', value, maxBytes);
}

/** True for what {@link encodeResult} refused. */
export function isContentFault(encoded: PayloadContent | ContentFault): encoded is ContentFault {
  return 'reason' in encoded;
}

/** As {@link encodeResult}, with another word for the value in messages. */
export function encodeContent(what: string, value: unknown, maxBytes: number): PayloadContent | ContentFault {
  if (value instanceof Uint8Array) {
    const content = bounded(what, { contentType: BYTES_CONTENT_TYPE, data: value }, maxBytes);
    // A copy, because the session keeps the bytes until they are acknowledged: the handler may go on using its own.
    return isContentFault(content) ? content : { contentType: BYTES_CONTENT_TYPE, data: new Uint8Array(value) };
  }
  const encoded = encodeJson(what, value);
  if (!encoded.ok) return { reason: 'RESULT_NOT_JSON', message: `${encoded.place} ${encoded.says}` };
  return bounded(what, { contentType: JSON_CONTENT_TYPE, data: encoded.data }, maxBytes);
}

function bounded(what: string, content: PayloadContent, maxBytes: number): PayloadContent | ContentFault {
  const { byteLength } = content.data;
  if (byteLength <= maxBytes) return content;
  const message = `${what} is ${byteLength} bytes, the bound is ${maxBytes} bytes; store it elsewhere and return where it is`;
  return { reason: 'RESULT_TOO_LARGE', message };
}

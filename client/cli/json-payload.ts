import { parseJson, PAYLOAD_NOT_JSON } from '../../proto/payload.js';
import { MAX_PAYLOAD_BYTES } from '../rpc.js';
import { findJsonFault } from './json-fault.js';

/** Reason of a payload over the bound; the coordinator's own for the same. */
export const PAYLOAD_TOO_LARGE = 'PAYLOAD_TOO_LARGE';

/** Bytes that cannot be a payload, and why. */
export class PayloadError extends Error {
  override readonly name = 'PayloadError';

  constructor(
    /** PAYLOAD_NOT_JSON or PAYLOAD_TOO_LARGE. */
    readonly reason: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/**
 * The bytes, if they are one JSON value in UTF-8 within the bound; without a byte order mark, which editors put in front and
 * which is no JSON.
 *
 * @param source what to call them in the message
 * @throws PayloadError
 */
export function jsonPayload(bytes: Uint8Array, source: string): Uint8Array {
  if (bytes.byteLength > MAX_PAYLOAD_BYTES) throw payloadTooLarge(source, `${bytes.byteLength}`);
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const content = hasMark ? bytes.subarray(3) : bytes;
  // The parser is many times faster than the search for the fault, which most texts do not have.
  if (parseJson(content) !== undefined) return content;
  const text = utf8(content, source);
  if (text.trim() === '') throw new PayloadError(PAYLOAD_NOT_JSON, `${source} is empty; write null for no payload.`);
  const fault = findJsonFault(text);
  if (fault === undefined) return content;
  const { line, column, found } = fault;
  const where = `${found} at line ${line}, column ${column}`;
  throw new PayloadError(PAYLOAD_NOT_JSON, `${source} is no JSON: ${where} cannot stand there.`);
}

/** A payload over the bound. `bytes`: how many it has, as far as is known. */
export function payloadTooLarge(source: string, bytes: string): PayloadError {
  return new PayloadError(
    PAYLOAD_TOO_LARGE,
    `${source} has ${bytes} bytes; a payload's bound is ${MAX_PAYLOAD_BYTES}. Put the data where the worker can read it, and ` +
      'submit its path',
  );
}

function utf8(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new PayloadError(
      PAYLOAD_NOT_JSON,
      `${source} is not UTF-8 text, which JSON must be; save it as UTF-8, or submit the path of a file that the worker reads`,
      { cause: error },
    );
  }
}

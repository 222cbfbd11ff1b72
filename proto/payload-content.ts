/**
 * What a payload is beside its message. Without a library, so that a worker's handlers need not load one to have their payloads.
 */

/** Media type of a payload that names none. */
export const JSON_CONTENT_TYPE = 'application/json';

/** Media type of bytes that name none. */
export const BYTES_CONTENT_TYPE = 'application/octet-stream';

/** Bytes and what they are: a payload once `value` has been turned into JSON text. */
export interface PayloadContent {
  readonly contentType: string;
  readonly data: Uint8Array;
}

/** True for `application/json`, whatever its parameters and case. */
export function isJson(contentType: string): boolean {
  if (contentType === JSON_CONTENT_TYPE) return true;
  const [essence = ''] = contentType.split(';', 1);
  return essence.trim().toLowerCase() === JSON_CONTENT_TYPE;
}

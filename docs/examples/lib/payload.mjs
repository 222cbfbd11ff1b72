// @ts-check
import { quote, refuse } from './errors.mjs';

/** Payloads come from strangers: every handler checks its own, and says what it expected. */

/**
 * The payload as an object that has no other fields than these. An unknown field is refused and not ignored: it is
 * usually a misspelt option, and the task would then do something else than what was asked for.
 *
 * @param {unknown} payload
 * @param {{ fields: readonly string[], example: string }} expected `example`: a payload that is right, as JSON
 * @returns {Record<string, unknown>}
 */
export function readObject(payload, { fields, example }) {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw invalid(`The payload must be a JSON object such as ${example}, not ${quote(payload)}.`);
  }
  const unknown = Object.keys(payload).find((field) => !fields.includes(field));
  if (unknown !== undefined) {
    throw invalid(`The payload has an unknown field ${quote(unknown)}. Known fields: ${fields.join(', ')}.`);
  }
  return /** @type {Record<string, unknown>} */ (payload);
}

/**
 * @param {Record<string, unknown>} object
 * @param {string} field
 * @returns {string}
 */
export function readString(object, field) {
  const value = object[field];
  if (typeof value === 'string' && value !== '') return value;
  throw invalid(`The field "${field}" must be a string that is not empty${instead(value)}.`);
}

/**
 * @param {Record<string, unknown>} object
 * @param {string} field
 * @param {boolean} fallback the value of a missing field
 * @returns {boolean}
 */
export function readBoolean(object, field, fallback) {
  const value = object[field];
  if (value === undefined) return fallback;
  if (typeof value === 'boolean') return value;
  throw invalid(`The field "${field}" must be true or false${instead(value)}.`);
}

/**
 * @param {Record<string, unknown>} object
 * @param {string} field
 * @param {{ min: number, max: number }} bounds both inclusive
 * @returns {number}
 */
export function readInteger(object, field, { min, max }) {
  const value = object[field];
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalid(`The field "${field}" must be a whole number from ${min} to ${max}${instead(value)}.`);
}

/** @param {string} message */
export function invalid(message) {
  return refuse('INVALID_PAYLOAD', message);
}

/** @param {unknown} value */
function instead(value) {
  return value === undefined ? ', and it is missing' : `, not ${quote(value)}`;
}

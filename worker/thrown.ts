import { inspect } from 'node:util';
import { FAILURE_REASON_PATTERN, MAX_FAILURE_MESSAGE_BYTES, MAX_FAILURE_STACK_BYTES } from '../proto/bounds.js';

/** A failure in the form of remuda.v1.Failure. */
export interface FailureInfo {
  /** UPPER_SNAKE_CASE, at most 63 characters. */
  readonly reason: string;
  /** At most 4 KiB. */
  readonly message: string;
  /** At most 8 KiB; empty if there is none. */
  readonly stack: string;
  readonly nonRetryable: boolean;
}

const CAUSES_MAX = 5;

/** A failure with its texts cut to their bounds. */
export function failureInfo(reason: string, message: string, nonRetryable: boolean, stack = ''): FailureInfo {
  return {
    reason,
    message: cut(message, MAX_FAILURE_MESSAGE_BYTES),
    stack: cut(stack, MAX_FAILURE_STACK_BYTES),
    nonRetryable,
  };
}

/**
 * Describes whatever a handler threw: an Error with its reason, message, stack and causes, anything else in words. Never
 * throws, whatever the value's getters do.
 */
export function describeThrown(thrown: unknown): FailureInfo {
  try {
    if (thrown instanceof Error || isErrorLike(thrown)) return describeError(thrown);
    const message = `the handler threw ${inWords(thrown)}; throw an Error to get a stack trace`;
    return failureInfo(reasonOf(thrown), message, isFinal(thrown));
  } catch {
    return failureInfo('HANDLER_ERROR', 'the handler threw a value that cannot be described', false);
  }
}

/** Whatever user code threw, for people: an error's stack and causes, anything else in words. Never throws. */
export function thrownText(thrown: unknown): string {
  try {
    if (!isErrorLike(thrown)) return inWords(thrown);
    return stackOf(thrown) || thrown.message;
  } catch {
    return 'a value that cannot be described';
  }
}

interface ErrorLike {
  readonly name?: unknown;
  readonly message: string;
  readonly stack?: unknown;
  readonly cause?: unknown;
}

/** An Error of another realm, or a library's imitation of one. */
function isErrorLike(thrown: unknown): thrown is ErrorLike {
  return typeof thrown === 'object' && thrown !== null && typeof (thrown as ErrorLike).message === 'string';
}

function describeError(error: ErrorLike): FailureInfo {
  const name = typeof error.name === 'string' && error.name !== 'Error' ? error.name : '';
  const message = error.message === '' ? name || 'the handler threw an Error without a message' : error.message;
  return failureInfo(reasonOf(error), message, isFinal(error), stackOf(error));
}

function stackOf(error: ErrorLike): string {
  const parts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth <= CAUSES_MAX && current !== undefined && current !== null; depth += 1) {
    const text =
      isErrorLike(current) && typeof current.stack === 'string' ? current.stack : depth > 0 ? inWords(current) : '';
    if (text !== '') parts.push(depth === 0 ? text : `caused by: ${text}`);
    current = isErrorLike(current) ? current.cause : undefined;
  }
  return parts.join('\n');
}

function reasonOf(thrown: unknown): string {
  const reason = typeof thrown === 'object' && thrown !== null ? (thrown as { reason?: unknown }).reason : undefined;
  return typeof reason === 'string' && FAILURE_REASON_PATTERN.test(reason) ? reason : 'HANDLER_ERROR';
}

function isFinal(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && (thrown as { retryable?: unknown }).retryable === false;
}

function inWords(thrown: unknown): string {
  if (thrown === undefined || thrown === null) return String(thrown);
  if (typeof thrown === 'string') return `the string ${JSON.stringify(thrown)}`;
  return `the ${typeof thrown} ${inspect(thrown, { depth: 2, breakLength: Infinity, maxStringLength: 1_000 })}`;
}

/** Cuts to a number of UTF-8 bytes without leaving half a character. */
export function cut(text: string, maxBytes: number): string {
  // A UTF-16 unit takes at most three bytes, so most texts need no encoding at all.
  if (text.length * 3 <= maxBytes) return text;
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes - 3;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${bytes.toString('utf8', 0, end)}…`;
}

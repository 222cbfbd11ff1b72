// @ts-check

/**
 * A failure that tells the coordinator whether another attempt can help.
 *
 * The coordinator looks at two properties of whatever a handler throws: `retryable === false` ends the task without
 * another attempt, and `reason` (UPPER_SNAKE) is recorded as the failure's reason. Any error may carry them; this class
 * only makes sure that neither is forgotten.
 */
export class HandlerError extends Error {
  /**
   * @param {string} reason UPPER_SNAKE; what a program decides by
   * @param {boolean} retryable whether the same payload may succeed at another attempt
   * @param {string} message what happened, with which value, and what to do next
   * @param {unknown} [cause] the error behind it, kept for the worker's log
   */
  constructor(reason, retryable, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'HandlerError';
    this.reason = reason;
    this.retryable = retryable;
  }
}

/**
 * The payload is at fault: the same payload fails everywhere and always, so it must not be tried again.
 *
 * @param {string} reason
 * @param {string} message
 * @param {unknown} [cause]
 */
export function refuse(reason, message, cause) {
  return new HandlerError(reason, false, message, cause);
}

/**
 * The circumstances are at fault: a later attempt, perhaps on another worker, may succeed.
 *
 * @param {string} reason
 * @param {string} message
 * @param {unknown} [cause]
 */
export function mayPass(reason, message, cause) {
  return new HandlerError(reason, true, message, cause);
}

/**
 * What the system's error codes say about the path in the payload. A code that is not listed (EIO, ENOSPC, EMFILE, EBUSY,
 * ...) speaks of the machine and not of the payload, and may pass.
 *
 * @type {Readonly<Record<string, readonly [reason: string, sentence: string]>>}
 */
const LASTING = Object.freeze({
  ENOENT: [
    'PATH_NOT_FOUND',
    "does not exist. Check the spelling; relative paths start at the worker's root directory (REMUDA_EXAMPLES_ROOT).",
  ],
  ENOTDIR: ['PATH_NOT_FOUND', 'passes through something that is not a directory. Check the spelling.'],
  EISDIR: ['NOT_A_REGULAR_FILE', 'is a directory. Give the path of a regular file.'],
  ELOOP: ['PATH_NOT_FOUND', 'is a symbolic link that may not be followed, or one that leads back to itself.'],
  ENAMETOOLONG: ['PATH_NOT_FOUND', 'is longer than the file system allows. Give a shorter path.'],
  EACCES: ['PERMISSION_DENIED', "may not be used by the worker's user. Change its permissions and submit again."],
  EPERM: ['PERMISSION_DENIED', "may not be used by the worker's user. Change its permissions and submit again."],
  EROFS: ['PERMISSION_DENIED', 'is on a read-only file system. Choose another target.'],
});

/**
 * Turns an error of the operating system into one that says which path, and whether trying again can help. Anything else
 * (an abort, our own errors, a bug) is returned as it is.
 *
 * @param {unknown} error
 * @param {string} subject what was at work, e.g. `The path "a.txt"`
 * @returns {unknown}
 */
export function fromSystemError(error, subject) {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return error;
  const code = String(error.code);
  const lasting = LASTING[code];
  if (lasting !== undefined) return refuse(lasting[0], `${subject} ${lasting[1]}`, error);
  return mayPass(
    'IO_FAILED',
    `${subject} could not be used: ${code} in ${String(error.syscall)}. ` +
      "Another attempt may succeed; if none does, look at the worker's disk and limits.",
    error,
  );
}

/** A quoted value is cut to this many characters, so that a message stays a sentence. */
const QUOTED_CHARACTERS_MAX = 200;

/**
 * A value as JSON for a message, with quotes and control characters escaped, and cut when long.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function quote(value) {
  const json = JSON.stringify(value) ?? String(value);
  return json.length <= QUOTED_CHARACTERS_MAX ? json : `${json.slice(0, QUOTED_CHARACTERS_MAX)}...`;
}

// @ts-check
import { createHash } from 'node:crypto';
import { fromSystemError, mayPass, quote } from './errors.mjs';

/** @typedef {import('./root.mjs').SourceFile} SourceFile */
/** @typedef {Pick<SourceFile, 'path' | 'handle'>} OpenFile */

/** Large enough that calls do not matter, small enough that a chunk is worked off in well under a millisecond or two. */
const CHUNK_BYTES = 128 * 1024;

/**
 * Reads a file from its start to its end in chunks, one at a time: memory does not grow with the file. Each chunk is a
 * buffer of its own and may be kept.
 *
 * @param {OpenFile} file
 * @param {{ signal: AbortSignal, onBytes?: (count: number) => void }} options
 * @returns {AsyncGenerator<Buffer, void, void>}
 */
export async function* readChunks({ path, handle }, { signal, onBytes }) {
  let position = 0;
  for (;;) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    const { bytesRead } = await handle.read({ buffer, position }).catch((/** @type {unknown} */ error) => {
      throw fromSystemError(error, `The file ${quote(path)}`);
    });
    signal.throwIfAborted();
    if (bytesRead === 0) return;
    position += bytesRead;
    onBytes?.(bytesRead);
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * @param {OpenFile} file
 * @param {{ signal: AbortSignal, onBytes?: (count: number) => void }} options
 * @returns {Promise<string>} lower-case hex
 */
export async function sha256Of(file, options) {
  const hash = createHash('sha256');
  for await (const chunk of readChunks(file, options)) hash.update(chunk);
  return hash.digest('hex');
}

/**
 * Fails if the file was written to since it was opened: what was read may then be no state that the file ever had.
 *
 * @param {SourceFile} source
 */
export async function assertUnchanged({ path, handle, stats }) {
  const now = await handle.stat({ bigint: true });
  if (now.size === stats.size && now.mtimeNs === stats.mtimeNs) return;
  throw mayPass(
    'FILE_CHANGED',
    `The file ${quote(path)} was changed while it was read. Another attempt may succeed; if none does, ` +
      'submit again when nobody writes to it.',
  );
}

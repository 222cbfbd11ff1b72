// @ts-check
import { constants } from 'node:fs';
import { link, lstat, open, rename, unlink } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { fromSystemError, mayPass, quote, refuse } from './errors.mjs';
import { invalid } from './payload.mjs';
import { assertUnchanged, readChunks, sha256Of } from './read.mjs';
import { assertRegular } from './root.mjs';

/** @typedef {import('node:fs/promises').FileHandle} FileHandle */
/** @typedef {import('./context.mjs').TaskContext} TaskContext */
/** @typedef {import('./root.mjs').SourceFile} SourceFile */
/** @typedef {import('./root.mjs').TargetPlace} TargetPlace */

/**
 * @typedef {object} GzipJob
 * @property {SourceFile} source
 * @property {TargetPlace} place
 * @property {boolean} overwrite replace an existing target
 * @property {TaskContext} ctx
 * @property {(count: number) => void} onBytes called with the size of each chunk read
 */

/**
 * The level is written down because the same source must give the same bytes wherever the task runs. (The gzip header that
 * Node writes holds neither a name nor a time.)
 */
const GZIP_LEVEL = 6;

/** How many earlier attempts' leftovers are looked for. */
const LEFTOVERS_MAX = 10;

/**
 * Compresses a file to a target. The target appears in one step and complete, or not at all: everything is written to a
 * temporary file beside it, which is flushed to the disk and then takes the target's name.
 *
 * A task may run more than once: a worker can die between the last step here and its report. So an attempt after the first
 * accepts a target that holds exactly what it would have written.
 *
 * @param {GzipJob} job
 * @returns {Promise<number>} the target's size in bytes
 */
export async function gzipTo(job) {
  try {
    await checkTarget(job);
    await removeLeftovers(job);
    return await writeTarget(job);
  } catch (error) {
    throw fromSystemError(error, `The target ${quote(job.place.path)}`);
  }
}

/** @param {GzipJob} job */
async function writeTarget(job) {
  const { place, ctx } = job;
  const temporary = place.at(temporaryName(ctx.taskId, ctx.attempt));
  const handle = await openTemporary(temporary, job);
  try {
    await compress(job, handle);
    const { size } = await handle.stat();
    ctx.signal.throwIfAborted();
    await giveName(job, temporary, handle);
    return size;
  } finally {
    await handle.close();
    await removeIfThere(temporary).catch((/** @type {unknown} */ error) => {
      ctx.logger.warn({ err: error, target: place.path }, 'a temporary file could not be removed');
    });
  }
}

/**
 * Refuses what can be refused before any work is done. Whether the target exists is decided again, and finally, when the
 * finished file takes its name.
 *
 * @param {GzipJob} job
 */
async function checkTarget({ source, place, overwrite, ctx }) {
  const subject = `The target ${quote(place.path)}`;
  const existing = await lstat(place.at(place.name), { bigint: true }).catch(absent);
  if (existing === null) return;
  assertRegular(existing, subject);
  if (existing.dev === source.stats.dev && existing.ino === source.stats.ino) {
    throw invalid(`${subject} is the file to be compressed itself. Give another target.`);
  }
  if (!overwrite && ctx.attempt === 1) throw targetExists(place);
}

/**
 * Removes the temporary files of earlier attempts of this task: a worker that was killed could not do it.
 *
 * @param {GzipJob} job
 */
async function removeLeftovers({ place, ctx: { taskId, attempt } }) {
  for (let earlier = Math.max(1, attempt - LEFTOVERS_MAX); earlier < attempt; earlier += 1) {
    await removeIfThere(place.at(temporaryName(taskId, earlier)));
  }
}

/**
 * The name holds the attempt, so that an attempt that was given up for lost but still runs never shares a file with its
 * successor.
 *
 * @param {string} taskId
 * @param {number} attempt
 */
function temporaryName(taskId, attempt) {
  if (!/^[\w-]{1,100}$/.test(taskId)) throw new Error(`ctx.taskId must be a UUID, not ${quote(taskId)}`);
  return `.remuda-${taskId}-${attempt}.tmp`;
}

/**
 * @param {string} temporary
 * @param {GzipJob} job
 */
async function openTemporary(temporary, { source, place }) {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  // As gzip(1): whoever may not read the source may not read the target either.
  const mode = Number(source.stats.mode) & 0o666;
  try {
    return await open(temporary, flags, mode);
  } catch (error) {
    throw fromSystemError(error, `The directory of the target ${quote(place.path)}`);
  }
}

/**
 * @param {GzipJob} job
 * @param {FileHandle} temporary
 */
async function compress({ source, place, ctx: { signal }, onBytes }, temporary) {
  try {
    await pipeline(
      readChunks(source, { signal, onBytes }),
      createGzip({ level: GZIP_LEVEL }),
      async (/** @type {AsyncIterable<Buffer>} */ compressed) => {
        // On an open file, writeFile() goes on where the last one ended, and writes all of it.
        for await (const chunk of compressed) await temporary.writeFile(chunk);
      },
      { signal },
    );
    await assertUnchanged(source);
    await temporary.sync();
  } catch (error) {
    signal.throwIfAborted();
    throw fromSystemError(error, `The temporary file for ${quote(place.path)}`);
  }
}

/**
 * @param {GzipJob} job
 * @param {string} temporary
 * @param {FileHandle} handle of the temporary file
 */
async function giveName(job, temporary, handle) {
  const { place } = job;
  try {
    await (job.overwrite ? rename(temporary, place.at(place.name)) : takeFreeName(temporary, place.at(place.name)));
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw fromNaming(error, place);
    if (!(await isEarlierWork(job, handle))) throw targetExists(place);
    job.ctx.logger.info({ target: place.path }, 'the target is there already, written by an earlier attempt');
  }
  // Without this a power cut may forget the new name, although the file's content is safe.
  await place.directory.sync().catch((/** @type {unknown} */ error) => {
    if (!NO_DIRECTORY_SYNC.includes(codeOf(error))) throw error;
  });
}

/** What fsync() answers for a directory on file systems that cannot, some network ones. */
const NO_DIRECTORY_SYNC = ['EINVAL', 'ENOTSUP'];

/**
 * rename() replaces whatever has the name. link() refuses to, with no gap between the look and the deed; the temporary
 * name is removed afterwards like any other.
 *
 * @param {string} temporary
 * @param {string} target
 */
async function takeFreeName(temporary, target) {
  try {
    await link(temporary, target);
  } catch (error) {
    if (!NO_HARD_LINKS.includes(codeOf(error))) throw error;
    if ((await lstat(target).catch(absent)) !== null) throw Object.assign(new Error('exists'), { code: 'EEXIST' });
    await rename(temporary, target);
  }
}

/** What link() answers on file systems without hard links, such as FAT. */
const NO_HARD_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/**
 * Whether the target holds exactly what this attempt has written.
 *
 * @param {GzipJob} job
 * @param {FileHandle} temporary
 */
async function isEarlierWork({ place, ctx }, temporary) {
  if (ctx.attempt === 1) return false;
  const target = await open(place.at(place.name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const [theirs, ours] = [await target.stat(), await temporary.stat()];
    if (!theirs.isFile() || theirs.size !== ours.size) return false;
    const read = (/** @type {FileHandle} */ handle) => sha256Of({ path: place.path, handle }, ctx);
    return (await read(target)) === (await read(temporary));
  } finally {
    await target.close();
  }
}

/** @param {string} path */
async function removeIfThere(path) {
  await unlink(path).catch(absent);
}

/**
 * For `.catch()`: null if there is no such file; any other error goes on.
 *
 * @param {unknown} error
 */
function absent(error) {
  if (codeOf(error) !== 'ENOENT') throw error;
  return null;
}

/** @param {unknown} error */
function codeOf(error) {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** @param {TargetPlace} place */
function targetExists(place) {
  return refuse(
    'TARGET_EXISTS',
    `The target ${quote(place.path)} exists already. Give another target, or "overwrite": true to replace it.`,
  );
}

/**
 * @param {unknown} error
 * @param {TargetPlace} place
 */
function fromNaming(error, place) {
  if (codeOf(error) !== 'ENOENT') return fromSystemError(error, `The target ${quote(place.path)}`);
  return mayPass(
    'IO_FAILED',
    `The temporary file for ${quote(place.path)} or its directory was removed before it was complete. ` +
      'Another attempt may succeed.',
    error,
  );
}

// @ts-check
import { constants } from 'node:fs';
import { lstat, open, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, resolve, sep } from 'node:path';
import { fromSystemError, mayPass, quote, refuse } from './errors.mjs';
import { invalid } from './payload.mjs';

/** @typedef {import('node:fs/promises').FileHandle} FileHandle */
/** @typedef {import('node:fs').BigIntStats} BigIntStats */

/**
 * An open regular file below the root. Whoever gets it closes `handle`.
 *
 * @typedef {object} SourceFile
 * @property {string} path as in the payload
 * @property {FileHandle} handle
 * @property {BigIntStats} stats of the handle, taken when it was opened
 */

/**
 * A place for a file below the root, held by its open directory. Whoever gets it closes `directory`.
 *
 * @typedef {object} TargetPlace
 * @property {string} path as in the payload
 * @property {FileHandle} directory
 * @property {(name: string) => string} at the path of a name in that directory
 * @property {string} name the target's own name
 */

/** The longest path that Linux takes; a longer one is refused before it reaches the file system. */
const PATH_BYTES_MAX = 4096;

/**
 * One directory, and the only door to the files below it.
 *
 * Checking a path and then opening it by name leaves a gap in which a part of the path can be replaced by a symbolic
 * link. So the check that counts comes after opening, on the open file: where the kernel keeps the names of open files
 * (`/proc/self/fd`) that name must lie below the root; elsewhere the resolved name must still lead to the very same file.
 * Writing is done relative to the parent directory's open handle in the same manner.
 *
 * A symbolic link may be read through if its end lies below the root. A hard link is a name like any other.
 */
export class RootDirectory {
  /** @type {string} as configured, made absolute */ #given;
  /** @type {string} without symbolic links */ #real;
  /** @type {string} */ #fdDirectory;

  /**
   * @param {string} given
   * @param {string} real
   * @param {string} fdDirectory
   */
  constructor(given, real, fdDirectory) {
    this.#given = given;
    this.#real = real;
    this.#fdDirectory = fdDirectory;
  }

  /**
   * @param {string} path the directory; relative to the current one
   * @param {{ fdDirectory?: string }} [options] `fdDirectory`: where the kernel names open files; need not exist
   */
  static async open(path, { fdDirectory = '/proc/self/fd' } = {}) {
    const given = resolve(path);
    const real = await realpath(given);
    const stats = await lstat(real);
    if (!stats.isDirectory()) throw new Error(`${real} is not a directory`);
    return new RootDirectory(given, real, fdDirectory);
  }

  /** The root without symbolic links. */
  get path() {
    return this.#real;
  }

  /**
   * Opens a regular file for reading.
   *
   * @param {string} path from the payload
   * @returns {Promise<SourceFile>}
   */
  async openFile(path) {
    const subject = `The path ${quote(path)}`;
    try {
      const real = await realpath(this.#resolve(path));
      this.#assertInside(real, path);
      // Looking first, because opening a device can already do something.
      assertRegular(await lstat(real, { bigint: true }), subject);
      // O_NONBLOCK: opening a FIFO that took the file's place must not wait for a writer.
      const handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const stats = await handle.stat({ bigint: true });
        assertRegular(stats, subject);
        await this.#assertOpenedInside(handle, stats, real, path);
        return { path, handle, stats };
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (error) {
      throw fromSystemError(error, subject);
    }
  }

  /**
   * Opens the directory in which a target is to be written. The directory must exist.
   *
   * @param {string} target from the payload
   * @returns {Promise<TargetPlace>}
   */
  async openPlace(target) {
    const absolute = this.#resolve(target);
    const last = target.slice(target.lastIndexOf(sep) + 1);
    if (last === '' || last === '.' || absolute === this.#given || absolute === this.#real) {
      throw invalid(`The target ${quote(target)} names a directory. Give the path of a file.`);
    }
    const subject = `The directory of the target ${quote(target)}`;
    try {
      const real = await realpath(dirname(absolute));
      this.#assertInside(real, target);
      const directory = await open(real, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try {
        const stats = await directory.stat({ bigint: true });
        const named = await this.#assertOpenedInside(directory, stats, real, target);
        const base = named ? `${this.#fdDirectory}/${directory.fd}` : real;
        return { path: target, directory, at: (name) => `${base}/${name}`, name: basename(absolute) };
      } catch (error) {
        await directory.close();
        throw error;
      }
    } catch (error) {
      throw fromSystemError(error, subject);
    }
  }

  /**
   * The checks that need no file system, so that a path outside cannot even be asked about.
   *
   * @param {string} path
   */
  #resolve(path) {
    if (path.includes('\0')) throw invalid(`The path ${quote(path)} contains a NUL character. Remove it.`);
    if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
      throw invalid(`The path ${quote(path)} is longer than ${PATH_BYTES_MAX} bytes. Give a shorter one.`);
    }
    if (path.split(sep).includes('..')) {
      throw refuse('PATH_OUTSIDE_ROOT', `The path ${quote(path)} contains "..". Give a path without it.`);
    }
    if (!isAbsolute(path)) return resolve(this.#real, path);
    const absolute = resolve(path);
    if (!isBelow(this.#given, absolute)) this.#assertInside(absolute, path);
    return absolute;
  }

  /**
   * @param {string} real
   * @param {string} path from the payload
   */
  #assertInside(real, path) {
    if (isBelow(this.#real, real)) return;
    throw refuse(
      'PATH_OUTSIDE_ROOT',
      `The path ${quote(path)} leads outside the root directory ${this.#real}. ` +
        'Give a path below it, or start the worker with another REMUDA_EXAMPLES_ROOT.',
    );
  }

  /**
   * @param {FileHandle} handle
   * @param {BigIntStats} stats of the handle
   * @param {string} real the name it was opened by
   * @param {string} path from the payload
   * @returns {Promise<boolean>} whether the kernel names open files here
   */
  async #assertOpenedInside(handle, stats, real, path) {
    const name = await readlink(`${this.#fdDirectory}/${handle.fd}`).catch(() => null);
    if (name !== null) {
      this.#assertInside(name, path);
      return true;
    }
    this.#assertInside(await realpath(real), path);
    const now = await lstat(real, { bigint: true });
    if (now.dev === stats.dev && now.ino === stats.ino) return false;
    throw mayPass('FILE_CHANGED', `The path ${quote(path)} was replaced while it was opened. Submit again.`);
  }
}

/**
 * @param {string} root
 * @param {string} path absolute, normalised
 */
function isBelow(root, path) {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

/**
 * @param {BigIntStats} stats
 * @param {string} subject
 */
export function assertRegular(stats, subject) {
  if (stats.isFile()) return;
  throw refuse('NOT_A_REGULAR_FILE', `${subject} is ${kindOf(stats)}. Give the path of a regular file.`);
}

/** @param {BigIntStats} stats */
function kindOf(stats) {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  if (stats.isSymbolicLink()) return 'a symbolic link';
  return 'a device';
}

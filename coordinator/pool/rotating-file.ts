/**
 * A log file whose live part always has the same name, shared by any number of writers.
 *
 * Why not a package: sonic-boom (pino's own) opens again when told to, but tells neither when a line is in, which the workers'
 * output waits for, nor what of a batch was lost, and does not look at its file between two writes; pino-roll numbers the live
 * file; rotating-file-stream believes that it is alone. What is left is small: an append, a look, a chain of names.
 *
 * The rules that let writers share it, in one process or in several:
 * - Each append is whole lines in one write() with O_APPEND, which local file systems keep in one piece (NFS does not).
 * - At most a second after the name has come to mean another file (a rotation elsewhere, logrotate, rm) it is opened again.
 * - Who finds the live file full, by its real size, rotates it under a lock, `PATH.lock`, and looks again when it has that: two that
 *   shift the names at once would lose files in the middle. Nobody waits for the lock; appends go on, to a file a little too large.
 *   One that a killed process has left is taken away when it has been in the way for 10 s.
 */
import { constants, closeSync, existsSync, mkdirSync, openSync, type BigIntStats } from 'node:fs';
import { open, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Appended, LogSink } from './log-writer.js';

/** Options of a {@link RotatingFile}. */
export interface RotatingFileOptions {
  /** Of the live file; absolute. Full ones are `PATH.1`, the newest, to `PATH.N`. */
  readonly path: string;
  /** No file grows past it, unless a single append is larger. */
  readonly maxBytes: number;
  /** Full files that are kept beside the live one; at least 1. */
  readonly maxFiles: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** The full file stays the live one, and grows; told once until a rotation works again. */
  readonly onNotRotated: (error: Error) => void;
}

/** How long a file may be another's before that is noticed, in milliseconds. */
const CHECK_MS = 1_000;

/** Only its owner reads it: output of handlers may hold anything. */
const FILE_MODE = 0o600;

/** Also read, for the end that is there; and never waiting for the other end of a pipe. */
const OPEN_FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

const NEWLINE = Buffer.from('\n');

/** A rotation takes milliseconds: a lock that is older than this belongs to nobody. */
const LOCK_MS_MAX = 10_000;

/** Tries to open a log file, with its folder; the error if that fails. */
export function openingFault(path: string): Error | undefined {
  try {
    makeFolder(dirname(path));
    closeSync(openSync(path, OPEN_FLAGS, FILE_MODE));
    return undefined;
  } catch (error) {
    return asError(error);
  }
}

/** One writer of the log file. Opens it, and makes its folder, when there is something to write. */
export class RotatingFile implements LogSink {
  readonly #options: RotatingFileOptions;
  #handle: FileHandle | undefined;
  /** As far as known: another writer's lines count from the next look. */
  #size = 0;
  /** The file ends in the middle of a line, which somebody could not finish. */
  #isTorn = false;
  #lookMs = -Infinity;
  #cannotRotate = false;
  /** Another's lock, and since when it has been in the way. */
  #lockSeen: { readonly id: string; readonly sinceMs: number } | undefined;

  constructor(options: RotatingFileOptions) {
    this.#options = options;
  }

  async append(lines: Buffer): Promise<Appended> {
    let bytes = 0;
    try {
      const handle = await this.#live(lines.length);
      const start = this.#isTorn ? 1 : 0;
      const data = this.#isTorn ? Buffer.concat([NEWLINE, lines]) : lines;
      for (let done = 0; done < data.length; bytes = Math.max(0, done - start)) {
        const { bytesWritten } = await handle.write(data, done);
        if (bytesWritten === 0) throw new Error(`${this.#options.path} takes no more`);
        done += bytesWritten;
        this.#size += bytesWritten;
      }
      this.#isTorn = false;
      return { bytes, error: undefined };
    } catch (error) {
      // Opened anew for the next attempt, which also looks where this one has stopped.
      await this.close();
      return { bytes, error: asError(error) };
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  /** The file to append so many bytes to. */
  async #live(bytes: number): Promise<FileHandle> {
    const nowMs = this.#options.nowMs();
    const isDue = nowMs >= this.#lookMs;
    if (this.#handle !== undefined && !isDue && (this.#fits(bytes) || this.#cannotRotate)) return this.#handle;
    this.#lookMs = nowMs + CHECK_MS;
    const handle = await this.#current();
    if (this.#fits(bytes)) return handle;
    await this.#rotate(bytes);
    return this.#current();
  }

  #fits(bytes: number): boolean {
    return this.#size === 0 || this.#size + bytes <= this.#options.maxBytes;
  }

  /** The file that has the name now, with its size of now. */
  async #current(): Promise<FileHandle> {
    const { path } = this.#options;
    if (this.#handle !== undefined) {
      const [ours, named] = await Promise.all([this.#handle.stat({ bigint: true }), statIfThere(path)]);
      if (ours.dev === named?.dev && ours.ino === named.ino) {
        this.#size = sizeOf(ours);
        return this.#handle;
      }
      await this.close();
    }
    makeFolder(dirname(path));
    const handle = await open(path, OPEN_FLAGS, FILE_MODE);
    this.#handle = handle;
    this.#size = sizeOf(await handle.stat({ bigint: true }));
    this.#isTorn = this.#size > 0 && !(await endsLine(handle, this.#size));
    return handle;
  }

  /** Unless another does it, or has done it: so that so many bytes fit. */
  async #rotate(bytes: number): Promise<void> {
    const { path, maxFiles, onNotRotated } = this.#options;
    try {
      if (!(await this.#lock())) return;
      try {
        await this.#current();
        for (let number = this.#fits(bytes) ? 0 : maxFiles; number > 0; number -= 1) {
          const from = number === 1 ? path : `${path}.${number - 1}`;
          await rename(from, `${path}.${number}`).catch(unlessMissing);
        }
      } finally {
        await unlink(this.#lockPath).catch(unlessMissing);
      }
      this.#cannotRotate = false;
    } catch (error) {
      if (!this.#cannotRotate) onNotRotated(asError(error));
      this.#cannotRotate = true;
    }
  }

  get #lockPath(): string {
    return `${this.#options.path}.lock`;
  }

  /** False: another has it. */
  async #lock(): Promise<boolean> {
    try {
      await (await open(this.#lockPath, 'wx', FILE_MODE)).close();
      return true;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const held = await statIfThere(this.#lockPath);
    const id = held === undefined ? '' : `${held.ino}:${held.ctimeNs}`;
    const nowMs = this.#options.nowMs();
    if (this.#lockSeen?.id !== id) this.#lockSeen = { id, sinceMs: nowMs };
    else if (nowMs - this.#lockSeen.sinceMs >= LOCK_MS_MAX) await unlink(this.#lockPath).catch(unlessMissing);
    return false;
  }
}

async function statIfThere(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    unlessMissing(error);
    return undefined;
  }
}

/** Pipes and devices have none, and are never rotated. */
function sizeOf(stats: BigIntStats): number {
  return stats.isFile() ? Number(stats.size) : 0;
}

/** In the middle of another writer's append it may not seem to: that costs an empty line. */
async function endsLine(handle: FileHandle, size: number): Promise<boolean> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return bytesRead === 0 || buffer[0] === NEWLINE[0];
}

function unlessMissing(error: unknown): void {
  if (codeOf(error) !== 'ENOENT') throw error;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/**
 * Makes a folder and those above it. Not by `recursive: true`: where the system says that a folder is missing which is there, as
 * below /proc, Node then tries for ever.
 */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another pool has made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

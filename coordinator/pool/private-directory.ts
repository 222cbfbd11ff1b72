import { chmodSync, lstatSync, mkdtempSync, rmSync, type Stats } from 'node:fs';
import { lstat, readdir, rmdir, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { isListenedOn, MAX_SOCKET_PATH_BYTES } from '../listen-address.js';

/** Where a private directory may be. */
export interface PrivateDirectoryPlaces {
  /** Taken if it is this user's alone. Default: the environment's XDG_RUNTIME_DIR. */
  readonly runtimeDir?: string | undefined;
  /** Otherwise. Default: the system's folder for temporary files (TMPDIR). */
  readonly temporaryDir?: string;
}

/** A directory that only this user can enter, and a socket's place in it. */
export interface PrivateDirectory {
  readonly path: string;
  /** Short enough for a socket; nothing is there yet. */
  readonly socketPath: string;
  /** Fulfilled, always, when what killed processes have left there is gone. Nobody has to wait for it. */
  readonly swept: Promise<void>;
  /** Removes it with all that is in it. At once, so that it can be done at a process's exit; never throws; may be repeated. */
  remove(): void;
}

const PREFIX = 'remuda-pool-';
const SOCKET = 'coordinator.sock';
const NAME = /^remuda-pool-[A-Za-z0-9]{6}$/;

/** Where paths are short. */
const SHORT_DIR = '/tmp';

/** Directories that a start looks at, at most: it must not take longer on a machine where many were killed. */
const SWEPT_MAX = 64;

/** A socket that is younger may be bound and not listened on yet, in milliseconds. */
const SOCKET_YOUNG_MS = 1_000;

/** A directory without a socket that is younger may belong to a pool that starts, in milliseconds. */
const EMPTY_YOUNG_MS = 24 * 3_600_000;

/**
 * Makes a fresh directory of mode 0700 for a socket, and clears away, meanwhile, what killed processes of this user have left
 * beside it.
 *
 * @throws FleetError FAILED_PRECONDITION / NO_PRIVATE_DIRECTORY if it cannot be made
 */
export function openPrivateDirectory(places: PrivateDirectoryPlaces = {}): PrivateDirectory {
  const { runtimeDir = process.env['XDG_RUNTIME_DIR'], temporaryDir = resolve(tmpdir()) } = places;
  const { path, folder } = makeIn(
    runtimeDir !== undefined && fits(runtimeDir) && isPrivate(runtimeDir) ? runtimeDir : undefined,
    fits(temporaryDir) ? temporaryDir : SHORT_DIR,
  );
  return {
    path,
    socketPath: join(path, SOCKET),
    swept: sweep(folder, path).catch(() => undefined),
    remove: () => {
      try {
        rmSync(path, { recursive: true, force: true });
      } catch {
        // The next start sweeps it.
      }
    },
  };
}

/** The socket's path is not longer than the kernel takes. */
function fits(folder: string): boolean {
  return Buffer.byteLength(join(folder, `${PREFIX}XXXXXX`, SOCKET)) <= MAX_SOCKET_PATH_BYTES;
}

/** As a login makes XDG_RUNTIME_DIR; one that `su` or a container has handed down may be somebody else's. */
function isPrivate(folder: string): boolean {
  if (!isAbsolute(folder)) return false;
  try {
    const stats = lstatSync(folder);
    return isOwnDirectory(stats) && (stats.mode & 0o777) === 0o700;
  } catch {
    return false;
  }
}

function isOwnDirectory(stats: Stats): boolean {
  return stats.isDirectory() && stats.uid === process.getuid?.();
}

function makeIn(preferred: string | undefined, folder: string): { readonly path: string; readonly folder: string } {
  if (preferred !== undefined) {
    try {
      return { path: makeDirectory(preferred), folder: preferred };
    } catch {
      // Full, or read-only: the other may not be.
    }
  }
  try {
    return { path: makeDirectory(folder), folder };
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    const message =
      `the pool's socket needs a directory of its own in ${folder}, which cannot be made (${cause}): ` +
      'make that folder writable, or set TMPDIR to one that is';
    const options = { metadata: { directory: folder }, cause: error };
    throw new FleetError(Code.FAILED_PRECONDITION, 'NO_PRIVATE_DIRECTORY', message, options);
  }
}

function makeDirectory(folder: string): string {
  const path = mkdtempSync(join(folder, PREFIX));
  // The umask may have taken bits away that the coordinator needs.
  chmodSync(path, 0o700);
  return path;
}

/** Removes directories beside our own whose processes were killed. */
async function sweep(folder: string, ours: string): Promise<void> {
  // The file system's clock, which also stamped the others.
  const nowMs = (await lstat(ours)).mtimeMs;
  const paths = (await readdir(folder)).filter((name) => NAME.test(name)).map((name) => join(folder, name));
  // Our name is random: each start looks at others, so that those in use, however many, do not hide the rest.
  const others = [...paths.filter((path) => path > ours).sort(), ...paths.filter((path) => path < ours).sort()];
  await Promise.all(others.slice(0, SWEPT_MAX).map((path) => sweepOne(path, nowMs).catch(() => undefined)));
}

async function sweepOne(path: string, nowMs: number): Promise<void> {
  // Not what a link leads to, and nobody else's.
  const directory = await lstat(path);
  if (!isOwnDirectory(directory)) return;
  const socketPath = join(path, SOCKET);
  const socket = await lstat(socketPath).catch(() => undefined);
  if (socket === undefined) {
    if (nowMs - directory.mtimeMs < EMPTY_YOUNG_MS) return;
  } else {
    if (!socket.isSocket() || nowMs - socket.mtimeMs < SOCKET_YOUNG_MS || (await isListenedOn(socketPath))) return;
    await unlink(socketPath);
  }
  // With anything else in it, it is not what it seems: that makes rmdir fail.
  await rmdir(path);
}

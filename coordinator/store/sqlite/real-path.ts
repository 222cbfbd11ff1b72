import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { StoreError } from '../store.js';

/** As Linux has it: more links in a row are a circle. */
const MAX_LINKS = 40;

/**
 * Where the file really is, or will be: two symbolic links to one file are one store, with one lock and one journal.
 *
 * @throws StoreError IO if its folder is missing, or if it is a folder, a circle of links, or a file with several names
 */
export function realStorePath(path: string): string {
  let at = resolve(path);
  for (let links = 0; links < MAX_LINKS; links += 1) {
    const real = join(realFolder(path, at), basename(at));
    const found = lstatSync(real, { throwIfNoEntry: false });
    // The link's target need not be there yet: SQLite makes it there, and not in the link's place.
    if (found?.isSymbolicLink() === true) {
      at = resolve(dirname(real), readlinkSync(real));
      continue;
    }
    if (found !== undefined) refuseUnfit(path, real);
    return real;
  }
  throw refusal(path, `it is a circle of symbolic links; name the file itself`);
}

function realFolder(path: string, at: string): string {
  const folder = dirname(at);
  try {
    const real = realpathSync(folder);
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') {
      throw refusal(path, `its folder ${folder} does not exist; make it (mkdir -p), or name another file`, error);
    }
    if (code !== 'ENOTDIR') {
      throw refusal(
        path,
        `its folder ${folder} cannot be entered (${code ?? String(error)}); check its permissions`,
        error,
      );
    }
  }
  throw refusal(path, `${folder} is not a folder; name a file in a folder`);
}

function refuseUnfit(path: string, real: string): void {
  const found = statSync(real);
  if (found.isDirectory()) throw refusal(path, `it is a folder; name a file in it: sqlite:${join(path, 'remuda.db')}`);
  if (!found.isFile()) throw refusal(path, `it is not a regular file; name another one`);
  if (found.nlink > 1) {
    throw refusal(
      path,
      `the file has ${found.nlink} names (hard links), and SQLite keeps a journal by name: used under two, it is destroyed; remove the other name, or make it a symbolic link`,
    );
  }
}

function refusal(path: string, what: string, cause?: unknown): StoreError {
  return new StoreError('IO', `store ${path}: ${what}`, { cause });
}

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mutate, transpile, type Mutation } from './mutation.js';
import type { ProductProject } from './product-project.js';

/** The top of the repository, from dist/test/sim/mutations as from test/sim/mutations. */
export const ROOT = topOf(fileURLToPath(new URL('.', import.meta.url)));
/** What the simulation is made of. */
const BUILT = ['proto', 'coordinator', 'worker', 'client', join('test', 'sim')];

/** A copy of the build in a temporary folder, in which one file at a time is broken. The work tree is only read. */
export class MutantTree {
  readonly folder = mkdtempSync(join(tmpdir(), 'remuda-mutants-'));

  constructor(private readonly project: ProductProject) {
    for (const part of BUILT) {
      cpSync(join(ROOT, 'dist', part), join(this.folder, 'dist', part), {
        recursive: true,
        filter: (path) => !/\.(map|d\.ts|tsbuildinfo)$/.test(path),
      });
    }
    cpSync(join(ROOT, 'package.json'), join(this.folder, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(this.folder, 'node_modules'));
  }

  /** A program of the copy, by its path below dist. */
  program(path: string): string {
    return join(this.folder, 'dist', path);
  }

  /**
   * Breaks the copy. Threads and processes that start from now on run the mutant.
   *
   * @returns Puts it right again
   * @throws {StaleMutation} if the mutation does not fit the source
   */
  apply(mutation: Mutation): () => void {
    const path = this.program(mutation.file.replace(/\.ts$/, '.js'));
    const before = readFileSync(path);
    const broken = mutate(mutation, this.project.read(mutation.file));
    writeFileSync(path, transpile(mutation, broken, this.project.options));
    return () => writeFileSync(path, before);
  }

  /** Removes the copy. */
  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function topOf(folder: string): string {
  return folder.replace(/\/(dist\/)?test\/sim\/mutations\/$/, '');
}

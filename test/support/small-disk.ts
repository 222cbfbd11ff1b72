/** A real file system that can really be full: a tmpfs of its own, for as long as a test runs. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'vitest';

export class SmallDisk implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'small-disk-'));

  /** Skips the test where this user cannot mount anything. */
  constructor(context: TestContext, mebibytes: number) {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'none', this.folder], { stdio: 'pipe' });
    } catch (error) {
      rmdirSync(this.folder);
      context.skip(`no tmpfs can be mounted here, so no disk can be filled: run it as root (${String(error)})`);
    }
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  /** Somebody else's data takes all but so much; what he had before is overwritten. */
  fill(leftBytes: number): void {
    this.empty();
    writeFileSync(this.#ballast, new Uint8Array(Math.max(0, this.freeBytes - leftBytes)));
  }

  /** Somebody else's data is gone. */
  empty(): void {
    rmSync(this.#ballast, { force: true });
  }

  /** What is open on it stays so, and its memory is free when nothing is any more. */
  [Symbol.dispose](): void {
    execFileSync('umount', ['--lazy', this.folder], { stdio: 'pipe' });
    rmdirSync(this.folder);
  }

  get #ballast(): string {
    return join(this.folder, 'ballast');
  }
}

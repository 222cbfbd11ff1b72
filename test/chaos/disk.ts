import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/** What the coordinator wants to see free before it takes new tasks, its slots' share included, and as much again. */
const SPARE_MIB = 384;
/** More than a task leaves in the store: in this time none is purged. */
const TASK_MIB = 0.02;

/** So that an empty disk is no fault before the run is over. */
export function diskMib({ forMs, rate }: { readonly forMs: number; readonly rate: number }): number {
  return SPARE_MIB + Math.ceil((forMs / 1_000) * rate * TASK_MIB);
}

/** The last bytes go in small pieces, so that nothing of use is left. */
const PIECES = [Buffer.alloc(4_194_304, 1), Buffer.alloc(4_096, 1)];

/** The disk under the store: a tmpfs of its own, which can be filled; or a plain folder, which cannot. */
export class ChaosDisk {
  readonly #filler: string;

  private constructor(
    readonly folder: string,
    /** Why it cannot be filled; null: it can. */
    readonly unfillable: string | null,
  ) {
    this.#filler = join(folder, 'filler');
  }

  /**
   * @param mayMount False outside a mount namespace of our own: what is mounted there would outlive a kill -9 of the harness
   */
  static make(folder: string, mayMount: boolean, mebibytes: number): ChaosDisk {
    mkdirSync(folder);
    if (!mayMount) return new ChaosDisk(folder, 'no mount namespace of our own to mount a tmpfs in');
    const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder]);
    if (status === 0) return new ChaosDisk(folder, null);
    return new ChaosDisk(folder, `mounting a tmpfs was refused: ${error?.message ?? String(stderr).trim()}`);
  }

  /** Leaves not a byte. In pieces: whoever fills it has connections to serve meanwhile. */
  async fill(): Promise<void> {
    const file = await open(this.#filler, 'a');
    try {
      for (const piece of PIECES) await fillWith(file, piece);
    } finally {
      await file.close();
    }
  }

  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  /** The mount is gone; what was on it, too. */
  unmount(): void {
    if (this.unfillable === null) spawnSync('umount', ['-l', this.folder]);
  }
}

async function fillWith(file: FileHandle, piece: Buffer): Promise<void> {
  try {
    // A short write is the last one but one.
    for (;;) await file.write(piece);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

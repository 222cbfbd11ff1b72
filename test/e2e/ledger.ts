import { existsSync, readFileSync, watch } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, within } from '../support/programs.js';

export const HANDLERS = `${ROOT}test/e2e/handlers.mjs`;

/** One entry of a handler. */
export interface LedgerEntry {
  readonly type: string;
  readonly taskId: string;
  readonly attempt: number;
  readonly pid: number;
}

/** A folder for one test: the store's file, and what the handlers did, written by themselves. */
export async function makeFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'remuda-e2e-'));
  const ledgerPath = join(folder, 'ledger');
  await writeFile(ledgerPath, '');
  const entries = (): LedgerEntry[] =>
    readFileSync(ledgerPath, 'utf8')
      .split('\n')
      // The last may be half written.
      .slice(0, -1)
      .map((line) => JSON.parse(line) as LedgerEntry);
  return {
    folder,
    store: `sqlite:${join(folder, 'remuda.db')}`,
    env: { E2E_LEDGER: ledgerPath },
    entries,
    /** Waits until handlers have been entered so often. */
    entered: async (count: number): Promise<void> => {
      const watcher = watch(ledgerPath);
      try {
        const enough = new Promise<void>((resolve) => {
          const look = (): void => {
            if (entries().length >= count) resolve();
          };
          watcher.on('change', look);
          look();
        });
        await within(enough, 30_000, () => `handlers were entered ${entries().length} times, not ${count}`);
      } finally {
        watcher.close();
      }
    },
    [Symbol.asyncDispose]: async () => {
      if (existsSync(folder)) await rm(folder, { recursive: true, force: true });
    },
  };
}

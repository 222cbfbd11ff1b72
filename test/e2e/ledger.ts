import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../support/programs.js';

export const HANDLERS = `${ROOT}test/e2e/handlers.mjs`;

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
  return {
    folder,
    store: `sqlite:${join(folder, 'remuda.db')}`,
    env: { E2E_LEDGER: ledgerPath },
    entries: (): LedgerEntry[] =>
      readFileSync(ledgerPath, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as LedgerEntry),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

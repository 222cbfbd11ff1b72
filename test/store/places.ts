/** Fresh folders and stores for the tests of SQLite's store, gone again after each test. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { SqliteStore, type SqliteStoreOptions } from '../../coordinator/store/sqlite/sqlite-store.js';
import { ROOT, startNode, type Program } from '../support/programs.js';

const cleanups: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Runs after the test, the newest first. */
export function afterTest(cleanup: () => Promise<unknown> | void): void {
  cleanups.push(cleanup);
}

/** An empty folder. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'remuda-store-'));
  afterTest(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A store on that file, not yet opened. */
export function storeAt(path: string, options: Omit<SqliteStoreOptions, 'path'> = {}): SqliteStore {
  const store = new SqliteStore({ path, ...options });
  afterTest(() => store.close());
  return store;
}

/** Another process on that file: see store-holder.ts. */
export function startHolder(
  path: string,
  mode: 'hold' | 'commit' | 'purge' | 'once',
  nodeArgs: readonly string[] = [],
): Program {
  const holder = startNode('holder', [`${ROOT}dist/test/store/store-holder.js`, path, mode], { nodeArgs });
  afterTest(() => {
    holder.kill('SIGKILL');
    return holder.exited;
  });
  return holder;
}

import { MemoryStore } from './memory-store.js';
import { SqliteStore } from './sqlite/sqlite-store.js';
import type { Store } from './store.js';

const SQLITE = 'sqlite:';
const MEMORY = 'memory:';

/**
 * The store that `--store` names, not yet opened.
 *
 * @param spec `sqlite:PATH`, or `memory:`, which is gone with the process.
 * @throws Error naming the value and both forms, if it is neither
 */
export function openStore(spec: string): Store {
  if (spec === MEMORY) return new MemoryStore();
  if (spec.startsWith(SQLITE)) {
    const path = spec.slice(SQLITE.length);
    // What SQLite takes for a database in memory or in a temporary file would lose everything without a word.
    if (path !== '' && path !== ':memory:' && !path.includes('\0')) return new SqliteStore({ path });
  }
  throw new Error(
    `store ${JSON.stringify(spec)}: use sqlite:PATH, for example sqlite:./remuda.db, or memory: to keep nothing on disk`,
  );
}

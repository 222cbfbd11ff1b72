import { MEMORY_STORE_BYTES, MemoryStore } from './memory-store.js';
import { SQLITE_STORE_BYTES, SqliteStore } from './sqlite/sqlite-store.js';
import type { Store } from './store.js';

const SQLITE = 'sqlite:';
const MEMORY = 'memory:';

/** What depends on the kind of store that `--store` names. */
export interface StoreDefaults {
  /** What it keeps outlives the process. */
  readonly isDurable: boolean;
  /** Bound of what it keeps, in bytes. */
  readonly limitBytes: number;
  /** Tasks whose submitter has acknowledged the result, at most; the oldest beyond go first. */
  readonly maxAcknowledged: number;
}

/**
 * The store that `--store` names, not yet opened.
 *
 * @param spec `sqlite:PATH`, or `memory:`, which is gone with the process.
 * @param limitBytes Bound of what it keeps; at it there is no room for new tasks. Default: {@link storeDefaults}.
 * @throws Error naming the value and both forms, if it is neither
 */
export function openStore(spec: string, limitBytes = storeDefaults(spec).limitBytes): Store {
  if (spec === MEMORY) return new MemoryStore({ limitBytes });
  if (spec.startsWith(SQLITE)) {
    const path = spec.slice(SQLITE.length);
    // What SQLite takes for a database in memory or in a temporary file would lose everything without a word.
    if (path !== '' && path !== ':memory:' && !path.includes('\0')) return new SqliteStore({ path, limitBytes });
  }
  throw new Error(
    `store ${JSON.stringify(spec)}: use sqlite:PATH, for example sqlite:./remuda.db, or memory: to keep nothing on disk`,
  );
}

/** The defaults of the store that `--store` names; of any, if it names none. */
export function storeDefaults(spec: string): StoreDefaults {
  return spec === MEMORY
    ? { isDurable: false, limitBytes: MEMORY_STORE_BYTES, maxAcknowledged: 10_000 }
    : { isDurable: true, limitBytes: SQLITE_STORE_BYTES, maxAcknowledged: 100_000 };
}

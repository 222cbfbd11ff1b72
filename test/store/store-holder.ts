/**
 * A process that has a store, for tests which kill it: `node store-holder.js PATH hold|commit|once`. Prints `open` once it owns
 * the store, or `refused REASON MESSAGE`; with `commit`, then, without end, each id whose commit was answered.
 */
import { SqliteStore } from '../../coordinator/store/sqlite/sqlite-store.js';
import { StoreError } from '../../coordinator/store/store.js';
import { aBody, aRow, bytes } from './rows.js';

const [path = '', mode = ''] = process.argv.slice(2);
const store = new SqliteStore({ path });

/** Small and large payloads: both tables are in each transaction. */
const PAYLOAD_BYTES = [20, 20, 20, 30_000];

async function commitForEver(): Promise<never> {
  for (;;) {
    const rows = PAYLOAD_BYTES.map(() => aRow());
    await store.commit(
      rows.map((row, index) => ({ kind: 'insert', row, body: aBody(bytes(PAYLOAD_BYTES[index] ?? 0)) })),
    );
    await store.commit(
      rows.map((row) => ({
        kind: 'update',
        row: { ...row, revision: 2, state: 'SUCCEEDED' },
        expectedRevision: 1,
        result: { contentType: 'a/b', data: bytes(17_000) },
        wantBody: false,
        reopens: false,
      })),
    );
    process.stdout.write(rows.map(({ taskId }) => `${taskId}\n`).join(''));
  }
}

try {
  await store.open();
  process.stdout.write('open\n');
  if (mode === 'commit') await commitForEver();
  if (mode === 'once') await store.close();
} catch (error) {
  if (!(error instanceof StoreError)) throw error;
  process.stdout.write(`refused ${error.reason} ${error.message}\n`);
  await store.close();
}

/**
 * A process that has a store, for tests which kill it: `node store-holder.js PATH hold|commit|purge|once`. Prints `open` once it
 * owns the store, or `refused REASON MESSAGE`; then, without end, with `commit` each id whose commit was answered, with `purge`
 * the end of the newest task whose purge was answered.
 */
import { SqliteStore } from '../../coordinator/store/sqlite/sqlite-store.js';
import { StoreError } from '../../coordinator/store/store.js';
import { aBody, aRow, bytes, ended } from './rows.js';

const [path = '', mode = ''] = process.argv.slice(2);
const store = new SqliteStore({ path });

/** Small and large payloads: both tables are in each transaction. */
const PAYLOAD_BYTES = [20, 20, 20, 30_000];
/** Half of them are due for a purge. */
const PURGE_TASKS = 400;

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

/** Tasks of ends 0, 1, 2 and so on, and purges of the older half, a few at a time; then nothing is due any more. */
async function purgeHalf(): Promise<void> {
  for (let endWallMs = 0; endWallMs < PURGE_TASKS; endWallMs += 1) {
    const row = ended(aRow({ revision: 0 }), endWallMs);
    await store.commit([{ kind: 'insert', row, body: aBody(bytes(PAYLOAD_BYTES[endWallMs % 4] ?? 0)) }]);
  }
  const old = { endedBeforeWallMs: PURGE_TASKS / 2, deadBeforeWallMs: 0, maxDeadLetters: 0, limit: 3 };
  for (let count = 0; ;) {
    const [result] = await store.commit([{ kind: 'purgeOld', ...old }]);
    count += result?.kind === 'purged' ? result.count : 0;
    process.stdout.write(`purged ${count - 1}\n`);
  }
}

try {
  await store.open();
  process.stdout.write('open\n');
  if (mode === 'commit') await commitForEver();
  if (mode === 'purge') await purgeHalf();
  if (mode === 'once') await store.close();
} catch (error) {
  if (!(error instanceof StoreError)) throw error;
  process.stdout.write(`refused ${error.reason} ${error.message}\n`);
  await store.close();
}

/** The SQLite store's thread for lists. Started by SqliteStore at the first one. */
import { parentPort, workerData } from 'node:worker_threads';
import type { ListParams } from '../store.js';
import { answerCalls, onlyText } from './answer-calls.js';
import { SqliteLister } from './sqlite-lister.js';
import type { SqliteCall, SqliteThreadData, TextAndBlobs } from './sqlite-messages.js';

if (parentPort !== null) {
  const { path } = workerData as SqliteThreadData;
  let lister: SqliteLister | undefined;
  const run = ({ op, text }: SqliteCall): TextAndBlobs => {
    if (op === 'close') {
      lister?.close();
      return onlyText('');
    }
    // Not before the first list, so that a failure is that list's answer, and not the thread's end.
    lister ??= SqliteLister.open(path);
    return lister.list(JSON.parse(text) as ListParams);
  };
  answerCalls(parentPort, path, run);
}

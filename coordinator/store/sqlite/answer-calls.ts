import type { MessagePort } from 'node:worker_threads';
import type { SqliteAnswer, SqliteCall, TextAndBlobs } from './sqlite-messages.js';
import { fromSqlite } from './store-errors.js';

/** A thread's side: answers one blocking call after the other, each in order, until `close` has been answered. */
export function answerCalls(port: MessagePort, path: string, run: (call: SqliteCall) => TextAndBlobs): void {
  port.on('message', (call: SqliteCall) => {
    const answer = answerTo(call, path, run);
    port.postMessage(answer, [...answer.blobs]);
    if (call.op === 'close') port.close();
  });
}

function answerTo(call: SqliteCall, path: string, run: (call: SqliteCall) => TextAndBlobs): SqliteAnswer {
  try {
    return { id: call.id, ...run(call), error: null };
  } catch (thrown) {
    const { reason, message } = fromSqlite(thrown, path);
    return { id: call.id, text: '', blobs: [], error: { reason, message } };
  }
}

export function onlyText(text: string): TextAndBlobs {
  return { text, blobs: [] };
}

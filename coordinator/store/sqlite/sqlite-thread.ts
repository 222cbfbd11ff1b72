/** The SQLite store's thread: one blocking call after the other, each answered in order. Started by SqliteStore. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { SqliteDatabase, type TextAndBlobs } from './sqlite-database.js';
import type { SqliteAnswer, SqliteCall, SqliteThreadData } from './sqlite-messages.js';
import { fromSqlite } from './store-errors.js';

function serve(port: MessagePort, data: SqliteThreadData): void {
  const database = new SqliteDatabase(data);
  port.on('message', (call: SqliteCall) => {
    const answer = answerTo(database, call, data.path);
    port.postMessage(answer, [...answer.blobs]);
    if (call.op === 'close') port.close();
  });
}

function answerTo(database: SqliteDatabase, call: SqliteCall, path: string): SqliteAnswer {
  try {
    return { id: call.id, ...run(database, call), error: null };
  } catch (thrown) {
    const { reason, message } = fromSqlite(thrown, path);
    return { id: call.id, text: '', blobs: [], error: { reason, message } };
  }
}

function run(database: SqliteDatabase, { op, text, blobs }: SqliteCall): TextAndBlobs {
  switch (op) {
    case 'open':
      return onlyText(JSON.stringify(database.open()));
    case 'loadOpen': {
      const { afterTaskId, limit } = JSON.parse(text) as { afterTaskId: string; limit: number };
      return onlyText(database.loadOpen(afterTaskId, limit));
    }
    case 'read': {
      const { taskIds, bodies } = JSON.parse(text) as { taskIds: string[]; bodies: boolean };
      return database.read(taskIds, bodies);
    }
    case 'commit':
      return database.commit(text, blobs);
    case 'stats':
      return onlyText(JSON.stringify(database.stats()));
    case 'close':
      database.close();
      return onlyText('');
  }
}

function onlyText(text: string): TextAndBlobs {
  return { text, blobs: [] };
}

if (parentPort !== null) serve(parentPort, workerData as SqliteThreadData);

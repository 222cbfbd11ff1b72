/** The SQLite store's thread that owns the file. Started by SqliteStore. */
import { parentPort, workerData } from 'node:worker_threads';
import { answerCalls, onlyText } from './answer-calls.js';
import { SqliteDatabase } from './sqlite-database.js';
import type { SqliteCall, SqliteThreadData, TextAndBlobs } from './sqlite-messages.js';

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
    case 'look':
      return onlyText(JSON.stringify(database.look()));
    case 'list':
      throw new Error('lists have a thread of their own');
    case 'close':
      database.close();
      return onlyText('');
  }
}

if (parentPort !== null) {
  const data = workerData as SqliteThreadData;
  const database = new SqliteDatabase(data);
  answerCalls(parentPort, data.path, (call) => run(database, call));
}

import { uuidV7Ms } from '../../core/task-id.js';
import { BlobWriter, type BlobReader } from './blobs.js';
import {
  DEAD_LETTERED,
  FIRST_ENDED,
  type CommitAnswer,
  type InsertHead,
  type OtherWrite,
  type SqliteFigures,
  type UpdateHead,
  type WriteHead,
} from './sqlite-messages.js';
import type { SqliteReads } from './sqlite-reads.js';
import type { EndedRow, SqliteStatements } from './sqlite-statements.js';

/** As SQLite sorts them, after every end. */
const NEVER_MS = Number.MAX_SAFE_INTEGER;

/** The writes of one commit, within its transaction, and by how much they change the counts. */
export class SqliteBatch {
  readonly answer: Omit<CommitAnswer, keyof SqliteFigures> = { conflicts: [], bodies: [], purged: [] };
  readonly bodies = new BlobWriter();
  openTasks = 0;
  endedTasks = 0;
  deadLetters = 0;
  #line = 1;

  /** @param deadLetters How many there are before. */
  constructor(
    private readonly statements: SqliteStatements,
    private readonly reads: SqliteReads,
    private readonly lines: readonly string[],
    private readonly blobs: BlobReader,
    private readonly deadLettersBefore: number,
  ) {}

  apply(head: WriteHead, index: number): void {
    if ('kind' in head) this.#applyOther(head, index);
    else if (head[0] === 'insert') this.#insert(head, index);
    else this.#update(head, index);
  }

  #insert(head: InsertHead, index: number): void {
    const [, taskId, , state] = head;
    const record = this.#nextLine();
    const body = this.#nextLine();
    if (this.statements.insert(head, record, body, this.blobs.next())) this.#count(state, 1);
    else this.#conflict(index, taskId);
  }

  #update(head: UpdateHead, index: number): void {
    const [, taskId, , state, , , , , hasResult, wantBody, reopens] = head;
    const record = this.#nextLine();
    const result = hasResult === 1 ? { type: this.#nextLine(), data: this.blobs.next() } : null;
    if (!this.statements.update(head, record, result)) {
      this.#conflict(index, taskId);
      return;
    }
    // A task which has ended is written again only as a dead letter that is opened.
    this.#count(reopens === 1 ? DEAD_LETTERED : 0, -1);
    this.#count(state, 1);
    if (wantBody === 1) this.answer.bodies.push([index, this.reads.body(taskId, this.bodies)]);
  }

  #applyOther(write: OtherWrite, index: number): void {
    switch (write.kind) {
      case 'delete': {
        const state = this.statements.delete(write.taskId, write.expectedRevision);
        if (state === null) this.#conflict(index, write.taskId);
        else this.#count(state, -1);
        return;
      }
      case 'drain':
        this.statements.setDrain(write.pattern, write.createWallMs);
        return;
      case 'longestLease':
        this.statements.setMeta('longest_lease_ms', write.leaseMs);
        return;
      case 'purge': {
        const tasks = write.tasks.map(({ taskId, endWallMs }) => ({ taskId, endMs: endWallMs }));
        this.#purge(tasks, [], index);
        return;
      }
      case 'purgeOld': {
        const { endedBeforeWallMs, deadBeforeWallMs, maxDeadLetters, limit } = write;
        const ended = this.statements.oldEnded(endedBeforeWallMs, limit);
        const dead = this.#oldDead(deadBeforeWallMs, maxDeadLetters, limit - ended.length);
        this.#purge(ended, dead, index);
      }
    }
  }

  /** The oldest dead letters that ended before, or are beyond `max`, whichever are more. */
  #oldDead(beforeMs: number, max: number, limit: number): EndedRow[] {
    const excess = this.deadLettersBefore + this.deadLetters - max;
    const byAge = this.statements.oldDead(beforeMs, limit);
    return byAge.length >= Math.min(excess, limit) ? byAge : this.statements.oldDead(NEVER_MS, Math.min(excess, limit));
  }

  #purge(ended: readonly EndedRow[], dead: readonly EndedRow[], index: number): void {
    const before = this.statements.meta('purged_id_ms');
    let purgedIdMs = before;
    const remove = (rows: readonly EndedRow[], firstState: number, lastState: number): number => {
      const gone = rows.filter((row) => this.statements.deleteEnded(row, firstState, lastState));
      for (const { taskId, endMs } of gone) purgedIdMs = Math.max(purgedIdMs, Math.min(uuidV7Ms(taskId) ?? 0, endMs));
      return gone.length;
    };
    const count = remove(ended, FIRST_ENDED, DEAD_LETTERED - 1);
    const deadLetters = remove(dead, DEAD_LETTERED, DEAD_LETTERED);
    this.endedTasks -= count + deadLetters;
    this.deadLetters -= deadLetters;
    if (purgedIdMs > before) this.statements.setMeta('purged_id_ms', purgedIdMs);
    this.answer.purged.push([index, count + deadLetters, deadLetters, purgedIdMs]);
  }

  #conflict(index: number, taskId: string): void {
    this.answer.conflicts.push([index, this.reads.record(taskId)]);
  }

  #count(state: number, change: 1 | -1): void {
    if (state < FIRST_ENDED) this.openTasks += change;
    else this.endedTasks += change;
    if (state === DEAD_LETTERED) this.deadLetters += change;
  }

  #nextLine(): string {
    const line = this.lines[this.#line];
    if (line === undefined) throw new Error(`a commit's text has only ${this.lines.length} lines`);
    this.#line += 1;
    return line;
  }
}

import type { AttemptFound, AuditLine, EndSeen, Ledger } from './ledger.js';
import type { TaskSpec } from './task-kinds.js';

/** One entry of a handler, as far as it came. */
export interface Entry {
  readonly taskId: string;
  readonly attempt: number;
  readonly workerId: string;
  readonly pid: number;
  readonly tMs: number;
  /** When its signal was aborted; null: it was not, or could not be told. */
  readonly abortedMs: number | null;
  /** Of the abort; empty without one. */
  readonly abortCause: string;
  /** When it returned or threw; null: never. */
  readonly leftMs: number | null;
  readonly how: 'returned' | 'threw' | null;
}

/** All that is known of one task, whoever saw it. */
export interface TaskStory {
  readonly taskId: string;
  /** Null: no client knows it. */
  readonly spec: TaskSpec | null;
  /** When a client first heard that the coordinator has it, from an acknowledgement or its end; null: never. */
  readonly acknowledgedMs: number | null;
  /** A client was told that it does not exist. */
  readonly isRefused: boolean;
  readonly seen: readonly (EndSeen & { readonly tMs: number })[];
  readonly audits: readonly AuditLine[];
  /** By attempt, then by time. */
  readonly entries: readonly Entry[];
  /** The newest history there is; what it no longer shows is missing. */
  readonly attempts: readonly AttemptFound[];
}

type Draft = {
  -readonly [Key in keyof TaskStory]: TaskStory[Key] extends readonly (infer Item)[] ? Item[] : TaskStory[Key];
};
type EntryDraft = { -readonly [Key in keyof Entry]: Entry[Key] };

/** Puts a ledger together, task by task. */
export function tellStories(ledger: Ledger): Map<string, TaskStory> {
  const stories = new Map<string, Draft>();
  const storyOf = (taskId: string): Draft => {
    let story = stories.get(taskId);
    if (story === undefined) {
      const nothing = { spec: null, acknowledgedMs: null, isRefused: false };
      story = { taskId, ...nothing, seen: [], audits: [], entries: [], attempts: [] };
      stories.set(taskId, story);
    }
    return story;
  };
  for (const line of ledger.clients) {
    if (line.is === 'submitting') storyOf(line.spec.taskId).spec ??= line.spec;
    else if (line.is === 'acknowledged') storyOf(line.taskId).acknowledgedMs ??= line.tMs;
    else if (line.is === 'refused') storyOf(line.taskId).isRefused = true;
    else if (line.is === 'seen') {
      const story = storyOf(line.taskId);
      story.acknowledgedMs ??= line.tMs;
      story.seen.push(line);
    }
  }
  for (const entry of entriesOf(ledger)) storyOf(entry.taskId).entries.push(entry);
  for (const line of ledger.audits) {
    const story = storyOf(line.taskId);
    story.audits.push(line);
    if (line.attempts.length > 0) story.attempts = [...line.attempts];
  }
  for (const { entries } of stories.values()) entries.sort((a, b) => a.attempt - b.attempt || a.tMs - b.tMs);
  return stories;
}

function entriesOf({ handlers }: Ledger): Entry[] {
  const entries: EntryDraft[] = [];
  /** Of one process an attempt is entered once, or that is a fault, and the newest is meant. */
  const newest = new Map<string, EntryDraft>();
  for (const line of handlers) {
    if (line.is === 'alive' || line.is === 'gap') continue;
    const key = `${line.pid} ${line.taskId} ${line.attempt}`;
    if (line.is === 'entered') {
      const { taskId, attempt, workerId, pid, tMs } = line;
      const open = { abortedMs: null, abortCause: '', leftMs: null, how: null };
      const entry: EntryDraft = { taskId, attempt, workerId, pid, tMs, ...open };
      newest.set(key, entry);
      entries.push(entry);
      continue;
    }
    const entry = newest.get(key);
    if (entry === undefined) continue;
    if (line.is === 'aborted') {
      entry.abortedMs = line.tMs;
      entry.abortCause = line.cause;
    } else if (line.is === 'left') {
      entry.leftMs = line.tMs;
      entry.how = line.how;
    }
  }
  return entries;
}

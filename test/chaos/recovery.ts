import { isKill, type FaultTime, type FaultTimes } from './fault-times.js';
import type { Role } from './ledger.js';
import type { Entry, TaskStory } from './task-stories.js';

/** How long it took until things went on after one sort of fault. */
export interface Recovery {
  readonly what: string;
  readonly count: number;
  readonly medianMs: number;
  readonly longestMs: number;
}

const WORKERS: Partial<Record<Role, string>> = {
  child: 'kill -9 of a supervised worker to its task running elsewhere',
  worker: 'kill -9 of a worker that is started again to its task running elsewhere',
  gone: 'kill -9 of a worker that is gone for good to its task running elsewhere',
};

/** All sorts for which there is anything to tell. */
export function measureRecovery(stories: Iterable<TaskStory>, times: FaultTimes): Recovery[] {
  const list = [...stories];
  const entries = list.flatMap((story) => story.entries);
  const found = new Map<string, number[]>();
  const add = (what: string, ms: number): void => void found.set(what, [...(found.get(what) ?? []), ms]);
  const byPid = new Map<number, { readonly entry: Entry; readonly next: Entry | undefined }[]>();
  for (const { entries: all } of list) {
    for (const [index, entry] of all.entries()) {
      byPid.set(entry.pid, [...(byPid.get(entry.pid) ?? []), { entry, next: all[index + 1] }]);
    }
  }
  for (const { kind, role, pid, fromMs } of times) {
    const what = role === null ? undefined : WORKERS[role];
    if (!isKill(kind) || what === undefined || pid === null) continue;
    for (const { entry, next } of byPid.get(pid) ?? []) {
      if (!ranAt(entry, fromMs) || next === undefined) continue;
      // Whoever starts after another's end waits anew for workers that may still come back.
      const isAlone = times.every(
        (other) => other.role !== 'coordinator' || other.toMs < fromMs || other.fromMs > next.tMs,
      );
      add(isAlone ? what : `${what}, the coordinator away meanwhile`, next.tMs - fromMs);
    }
  }
  const enteredMs = entries.map(({ tMs }) => tMs).sort((a, b) => a - b);
  for (const fault of times) {
    const { kind, role, fromMs, toMs } = fault;
    if (role !== 'coordinator' || kind === 'stop' || toMs === Infinity) continue;
    const what = `${isKill(kind) ? 'kill -9' : 'restart'} of the coordinator`;
    const next = enteredMs.find((tMs) => tMs > toMs);
    const isAlone = times.every(
      (other) => other === fault || !hurtsStart(other) || other.toMs < fromMs || other.fromMs > toMs,
    );
    const how = isAlone ? '' : ', hurt again meanwhile';
    add(`${what} to the next one that listens${how}`, toMs - fromMs);
    if (next !== undefined) add(`${what} to the next dispatch${how}`, next - fromMs);
  }
  return [...found].map(([what, values]) => summary(what, values)).sort((a, b) => a.what.localeCompare(b.what));
}

/** True for what holds up a coordinator that starts. */
function hurtsStart({ role, kind }: FaultTime): boolean {
  return role === 'coordinator' || kind === 'fill-disk';
}

/** Entered, and not over. */
function ranAt({ tMs, leftMs, abortedMs }: Entry, atMs: number): boolean {
  return tMs <= atMs && (leftMs ?? abortedMs ?? Infinity) > atMs;
}

function summary(what: string, values: readonly number[]): Recovery {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number): number => Math.round(sorted[index] ?? 0);
  return {
    what,
    count: sorted.length,
    medianMs: at(Math.floor((sorted.length - 1) / 2)),
    longestMs: at(sorted.length - 1),
  };
}

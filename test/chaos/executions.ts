/** What handlers did, judged by their own words: who ran when, and why anything ran more than once. */
import { isEnding, isKill, isOfLink, type FaultTime, type FaultTimes } from './fault-times.js';
import type { Ledger } from './ledger.js';
import type { Entry, TaskStory } from './task-stories.js';

/** Why a task was executed again. */
export type RepeatCause =
  | 'its handler failed'
  | 'it timed out'
  | 'its worker was killed'
  | 'a handler killed its process'
  | 'its process was replaced: a handler was stuck'
  | 'its worker drained'
  | 'its supervisor was killed or told to leave'
  | 'its worker was stopped'
  | 'the coordinator was killed, stopped or restarted'
  | 'its connection was cut, held or slow'
  | 'the disk was full'
  | 'the machine was too slow'
  | 'unexplained';

/** A task that was entered again. */
export interface Repeat {
  readonly taskId: string;
  /** The entry that ended nothing, and the one after it. */
  readonly before: Entry;
  readonly after: Entry;
  readonly cause: RepeatCause;
}

/** Two attempts of one task that ran at one time, the earlier one untold. */
export interface Overlap {
  readonly taskId: string;
  readonly earlier: Entry;
  readonly later: Entry;
  /** When the earlier one was last seen to run. */
  readonly provenMs: number;
}

/** After a time in which its loop did not turn, a process may take so long to hear that its lease is over: the lease's margin. */
const WAKE_MS = 1_000;
/** What was under way before a fault may show only after it; and a task may be on the wire when its worker is hurt. */
const SLACK_MS = 2_000;

/** What processes said of themselves beside their tasks. */
class ProcessLives {
  readonly #alive = new Map<number, number[]>();
  readonly #gaps = new Map<number, { fromMs: number; toMs: number }[]>();
  readonly #killedThemselves = new Map<number, number>();

  constructor(ledger: Ledger) {
    for (const line of ledger.handlers) {
      if (line.is === 'alive') listIn(this.#alive, line.pid).push(line.tMs);
      else if (line.is === 'gap') listIn(this.#gaps, line.pid).push({ fromMs: line.fromMs, toMs: line.tMs });
      else if (line.is === 'kills-itself') this.#killedThemselves.set(line.pid, line.tMs);
    }
  }

  /** True if a handler has killed this process. */
  killedItself(pid: number): boolean {
    return this.#killedThemselves.has(pid);
  }

  hadGap(pid: number, fromMs: number, toMs: number): boolean {
    return (this.#gaps.get(pid) ?? []).some((gap) => gap.fromMs < toMs && gap.toMs > fromMs);
  }

  /** The last moment in this time at which the process surely ran and could have heard of an abort; undefined: none. */
  lastProof(pid: number, fromMs: number, toMs: number, own: number | null): number | undefined {
    const proofs = [...(this.#alive.get(pid) ?? []), ...(own === null ? [] : [own])];
    return proofs.filter((tMs) => tMs > fromMs && tMs <= toMs && !this.#wakes(pid, tMs)).at(-1);
  }

  #wakes(pid: number, tMs: number): boolean {
    return (this.#gaps.get(pid) ?? []).some(({ fromMs, toMs }) => tMs >= fromMs && tMs <= toMs + WAKE_MS);
  }
}

function listIn<Key, Item>(map: Map<Key, Item[]>, key: Key): Item[] {
  let list = map.get(key);
  if (list === undefined) map.set(key, (list = []));
  return list;
}

/**
 * Two attempts of one task at one time. The earlier one counts as running for as long as its process proves that it runs and its
 * signal has not been aborted. A process that is stopped, blocked or starved proves nothing: it cannot hear that its lease is over.
 */
export function findOverlaps(ledger: Ledger, stories: Iterable<TaskStory>): Overlap[] {
  const lives = new ProcessLives(ledger);
  const overlaps: Overlap[] = [];
  for (const { taskId, entries } of stories) {
    for (const [index, earlier] of entries.entries()) {
      const endMs = earlier.abortedMs ?? earlier.leftMs ?? Infinity;
      const own = earlier.abortedMs === null ? earlier.leftMs : null;
      for (const later of entries.slice(index + 1)) {
        const provenMs = lives.lastProof(earlier.pid, later.tMs, endMs, own);
        if (provenMs !== undefined) overlaps.push({ taskId, earlier, later, provenMs });
      }
    }
  }
  return overlaps;
}

/** Every execution after the first, with its cause. */
export function findRepeats(ledger: Ledger, stories: Iterable<TaskStory>, times: FaultTimes): Repeat[] {
  const lives = new ProcessLives(ledger);
  const list = [...stories];
  const seatOf = seatsByPid(ledger);
  const stuck = new Set(
    list.filter(({ spec }) => spec?.kind === 'stuck').flatMap(({ entries }) => entries.map(({ pid }) => pid)),
  );
  const causeOf = (story: TaskStory, before: Entry, after: Entry): RepeatCause => {
    const outcome = story.attempts.find(({ attempt }) => attempt === before.attempt)?.outcome;
    if (outcome === 'FAILED') return 'its handler failed';
    if (outcome === 'TIMED_OUT') return 'it timed out';
    const seat = seatOf.get(before.pid) ?? '';
    const [fromMs, toMs] = [before.tMs - SLACK_MS, after.tMs];
    const during = times.filter((fault) => fault.fromMs < toMs && fault.toMs > fromMs);
    const ofProcess = during.filter(({ pid }) => pid === before.pid);
    if (ofProcess.some(({ kind }) => isKill(kind))) return 'its worker was killed';
    if (lives.killedItself(before.pid)) return 'a handler killed its process';
    if (stuck.has(before.pid)) return 'its process was replaced: a handler was stuck';
    if (ofProcess.some(({ kind }) => kind === 'restart')) return 'its worker drained';
    return (
      causeAround(during, ofProcess, seat) ??
      (lives.hadGap(before.pid, fromMs, toMs) ? 'the machine was too slow' : 'unexplained')
    );
  };
  return list.flatMap((story) =>
    story.entries.flatMap((after, index) => {
      const before = story.entries[index - 1];
      return before === undefined
        ? []
        : [{ taskId: story.taskId, before, after, cause: causeOf(story, before, after) }];
    }),
  );
}

/** What was done to whatever the process depends on. */
function causeAround(
  during: readonly FaultTime[],
  ofProcess: readonly FaultTime[],
  seat: string,
): RepeatCause | undefined {
  if (during.some((fault) => fault.role === 'supervisor' && fault.seat === seat && isEnding(fault.kind))) {
    return 'its supervisor was killed or told to leave';
  }
  if (ofProcess.some(({ kind }) => kind === 'stop')) return 'its worker was stopped';
  if (during.some(({ role }) => role === 'coordinator')) return 'the coordinator was killed, stopped or restarted';
  if (during.some((fault) => isOfLink(fault.kind) && fault.seat === seat))
    return 'its connection was cut, held or slow';
  if (during.some(({ kind }) => kind === 'fill-disk')) return 'the disk was full';
  return undefined;
}

/** The seat whose link a worker process dials through: of a supervisor's child the supervisor's. */
function seatsByPid({ harness, handlers }: Ledger): Map<number, string> {
  const seats = new Map<number, string>();
  for (const line of handlers) {
    if (line.is === 'entered') seats.set(line.pid, line.workerId.replace(/\/\d+$/, ''));
  }
  for (const line of harness) if (line.is === 'started') seats.set(line.pid, line.seat);
  return seats;
}

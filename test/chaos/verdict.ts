import { hasEnded, type TaskStateName } from '../../client/task-info.js';
import { findOverlaps, findRepeats, type Repeat, type RepeatCause } from './executions.js';
import { FLEET_TIMES } from './fleet.js';
import { faultTimes, isKill, type FaultTimes } from './fault-times.js';
import type { AuditLine, EndSeen, HarnessLine, Ledger } from './ledger.js';
import { measureRecovery, type Recovery } from './recovery.js';
import { expectedDigest, FATAL_REASON, FLAKY_REASON, type TaskSpec } from './task-kinds.js';
import { tellStories, type Entry, type TaskStory } from './task-stories.js';

/** What must not happen, not once. */
export const BREACHES = {
  lost: 'acknowledged, and has not ended or is not known any more',
  unfinished: 'its client did not hear of its end within the time to rest',
  endedTwice: 'two who looked saw different ends of it',
  wrongAnswer: 'its result is not the known one',
  wrongEnd: 'it ended as such a task cannot end',
  startedAgain: 'max_attempts 1, and entered more than once',
  enteredTwice: 'one attempt was entered twice',
  overlaps: 'two of its attempts ran at one time',
  unexplained: 'executed again without a cause',
  wronglyCharged: 'charged a failure that its handler did not have',
  strangers: 'the coordinator has it, and no client has submitted it',
  strangeErrors: 'an answer that no fault explains',
  strangeExits: 'a process ended by itself, or with a status that it should not have',
  leftProcesses: 'a process that outlived the run, or did not leave in good order',
} as const;

/** Names of what must not happen. */
export type Breach = keyof typeof BREACHES;

/** What a run came to. */
export interface Verdict {
  readonly isGood: boolean;
  /** What happened that must not, a sentence each. */
  readonly breaches: Readonly<Record<Breach, readonly string[]>>;
  readonly submitted: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly ends: Readonly<Record<string, number>>;
  /** Entries of handlers. */
  readonly executions: number;
  readonly executedAgain: number;
  readonly repeats: Readonly<Partial<Record<RepeatCause, number>>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly kills: number;
  /** By what was killed. */
  readonly killsOf: Readonly<Record<string, number>>;
  /** Planned, and their target was not there. */
  readonly skipped: number;
  /** Answers that clients got while things were broken, by reason. */
  readonly troubles: Readonly<Record<string, number>>;
  readonly recovery: readonly Recovery[];
}

/** What the harness saw beside the ledger. */
export interface VerdictTerms {
  /** Processes that were there after the end, and those that had to be killed at it. */
  readonly left: readonly string[];
  /** Acknowledged results may be gone after so long, in milliseconds. */
  readonly keptMs: number;
}

/** Answers that faults explain, by reason. */
const EXPECTED_TROUBLE = new Set([
  ...['CONNECTION_LOST', 'COORDINATOR_UNREACHABLE', 'COORDINATOR_STOPPING', 'STORE_UNAVAILABLE', 'STORE_FULL'],
  ...['DEADLINE_PASSED', 'INVALID_TASK', 'DEADLINE_EXCEEDED'],
]);
/** A coordinator gives a full disk up after 30 s, and may be busy with it for some more. */
const FULL_DISK_MS = 45_000;

/** Judges a run by its ledger alone. */
export function judge(ledger: Ledger, { left, keptMs }: VerdictTerms): Verdict {
  const stories = tellStories(ledger);
  const all = [...stories.values()];
  const times = faultTimes(ledger);
  const repeats = findRepeats(ledger, all, times);
  const lastMs = ledger.audits.at(-1)?.tMs ?? 0;
  const breaches: Record<Breach, string[]> = {
    lost: all.filter((story) => isLost(story, lastMs, keptMs)).map(tellLost),
    unfinished: all.filter(isUnfinished).map((story) => tell(story, 'no client saw its end')),
    endedTwice: all.filter((story) => endsOf(story).length > 1).map((story) => tell(story, tellEnds(story))),
    wrongAnswer: all.filter(hasWrongAnswer).map((story) => tell(story, tellEnds(story))),
    wrongEnd: all.flatMap((story) => wrongEnds(story, repeats)),
    startedAgain: all.filter(isStartedAgain).map((story) => tell(story, tellEntries(story.entries))),
    enteredTwice: all.filter(isEnteredTwice).map((story) => tell(story, tellEntries(story.entries))),
    overlaps: findOverlaps(ledger, all).map(
      ({ taskId, earlier, later, provenMs }) =>
        `task ${taskId}: ${tellEntries([earlier])} was seen to run ${Math.round(provenMs - later.tMs)} ms after ${tellEntries([later])}`,
    ),
    unexplained: repeats.filter(({ cause }) => cause === 'unexplained').map((repeat) => tellRepeat(repeat, stories)),
    wronglyCharged: all.flatMap(wrongCharges),
    strangers: all.filter(({ spec }) => spec === null).map((story) => tell(story, 'no client has submitted it')),
    strangeErrors: strangeErrors(ledger),
    strangeExits: strangeExits(ledger, times),
    leftProcesses: [...left],
  };
  return {
    isGood: Object.values(breaches).every(({ length }) => length === 0),
    breaches,
    ...countTasks(all),
    executions: all.reduce((sum, { entries }) => sum + entries.length, 0),
    executedAgain: all.filter(({ entries }) => entries.length > 1).length,
    repeats: countBy(repeats, ({ cause }) => cause),
    ...countFaults(times, ledger),
    troubles: countBy(
      ledger.clients.flatMap((line) => (line.is === 'trouble' ? [line.reason] : [])),
      (reason) => reason,
    ),
    recovery: measureRecovery(all, times),
  };
}

function countTasks(all: readonly TaskStory[]) {
  const submitted = all.filter(({ spec }) => spec !== null);
  return {
    submitted: submitted.length,
    acknowledged: submitted.filter(({ acknowledgedMs }) => acknowledgedMs !== null).length,
    refused: submitted.filter(({ isRefused }) => isRefused).length,
    ends: countBy(
      submitted.flatMap((story) => endsOf(story).slice(0, 1)),
      ({ state }) => state,
    ),
  };
}

function countFaults(times: FaultTimes, { harness }: Ledger) {
  const kills = times.filter(({ kind }) => isKill(kind));
  return {
    faults: countBy(times, ({ kind }) => kind),
    kills: kills.length,
    killsOf: countBy(kills, ({ role }) => role ?? ''),
    skipped: harness.filter(({ is }) => is === 'skipped').length,
  };
}

function countBy<Item, Key extends string>(items: readonly Item[], keyOf: (item: Item) => Key): Record<Key, number> {
  const counts = {} as Record<Key, number>;
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}

/** The different ends that were seen of it. */
function endsOf({ seen, audits }: TaskStory): EndSeen[] {
  const ends = [...seen, ...audits].filter(({ state }) => hasEnded(state as TaskStateName));
  return [...new Map(ends.map((end) => [`${end.state} ${end.reason} ${end.digest}`, end])).values()];
}

function isLost(story: TaskStory, lastMs: number, keptMs: number): boolean {
  const last = story.audits.at(-1);
  if (story.acknowledgedMs === null) return last !== undefined && isOpen(last);
  if (last === undefined || isOpen(last)) return true;
  if (last.state === 'UNKNOWN_TASK') return true;
  // An end that nobody has seen is kept for much longer than any run takes.
  const seenMs = story.seen[0]?.tMs ?? Infinity;
  return last.state === 'PURGED' && lastMs - seenMs < keptMs;
}

function isOpen({ state }: AuditLine): boolean {
  return !hasEnded(state as TaskStateName) && state !== 'UNKNOWN_TASK' && state !== 'PURGED';
}

function tellLost(story: TaskStory): string {
  const last = story.audits.at(-1);
  return tell(story, last === undefined ? 'nobody asked about it' : `${last.state} ${last.standing}`);
}

function isUnfinished({ spec, seen, isRefused }: TaskStory): boolean {
  return spec !== null && seen.length === 0 && !isRefused;
}

function hasWrongAnswer(story: TaskStory): boolean {
  const { spec } = story;
  if (spec === null) return false;
  return endsOf(story).some(({ state, digest }) => state === 'SUCCEEDED' && digest !== expectedDigest(spec));
}

function wrongEnds(story: TaskStory, repeats: readonly Repeat[]): string[] {
  const { spec } = story;
  if (spec === null) return [];
  return endsOf(story)
    .filter((end) => !mayEnd(spec, end, story, repeats))
    .map((end) => tell(story, `${end.state} ${end.reason}; ${tellHistory(story)}`));
}

function mayEnd(spec: TaskSpec, { state, reason }: EndSeen, story: TaskStory, repeats: readonly Repeat[]): boolean {
  const { kind, failures, maxAttempts, via, deadline } = spec;
  const meant = { flaky: FLAKY_REASON, fatal: FATAL_REASON, stuck: 'TIMED_OUT', poison: 'POISON' } as const;
  const meantToFail =
    kind === 'fatal' || kind === 'stuck' || kind === 'poison' || (kind === 'flaky' && failures >= maxAttempts);
  switch (state) {
    case 'SUCCEEDED':
      return !meantToFail;
    case 'CANCELLED':
      return kind === 'cancelled' || via === 'call-cancel';
    case 'EXPIRED': {
      const endTime = story.audits.find((line) => line.endTime !== '')?.endTime;
      return deadline !== null && (endTime === undefined || Date.parse(endTime) >= Date.parse(deadline));
    }
    default:
      if (meantToFail && reason === meant[kind]) return true;
      if (reason === 'MAYBE_STARTED') return maxAttempts === 1;
      return reason === 'POISON' && wasHurtOften(story, repeats);
  }
}

/** An innocent task whose workers died under it again and again, each time by our doing. */
function wasHurtOften({ taskId, attempts }: TaskStory, repeats: readonly Repeat[]): boolean {
  const crashes = attempts.filter(({ charge }) => charge === 'CRASH').length;
  const own = repeats.filter((repeat) => repeat.taskId === taskId);
  return crashes >= 3 && own.length >= 2 && own.every(({ cause }) => cause !== 'unexplained');
}

function isStartedAgain({ spec, entries }: TaskStory): boolean {
  return spec?.maxAttempts === 1 && entries.length > 1;
}

function isEnteredTwice({ entries }: TaskStory): boolean {
  return new Set(entries.map(({ attempt }) => attempt)).size < entries.length;
}

/** Failures on the books of attempts whose handlers neither threw of themselves nor ran out of time. */
function wrongCharges(story: TaskStory): string[] {
  const { attempts, entries, spec } = story;
  return attempts.flatMap(({ attempt, charge, outcome }) => {
    if (charge !== 'FAILURE') return [];
    const entry = entries.find((other) => other.attempt === attempt);
    const isDue = outcome === 'TIMED_OUT' ? spec?.kind === 'stuck' : entry?.how === 'threw';
    return isDue ? [] : [tell(story, `attempt ${attempt}; ${tellHistory(story)}`)];
  });
}

function strangeErrors({ clients }: Ledger): string[] {
  return clients.flatMap((line) =>
    line.is === 'trouble' && !EXPECTED_TROUBLE.has(line.reason)
      ? [`task ${line.taskId}: ${line.reason || 'no reason'}: ${line.message}`]
      : [],
  );
}

function strangeExits(ledger: Ledger, times: FaultTimes): string[] {
  const doomed = new Set(times.flatMap(({ kind, pid }) => (isKill(kind) && pid !== null ? [pid] : [])));
  const stuck = new Set<string>();
  for (const line of ledger.clients) {
    if (line.is === 'submitting' && line.spec.kind === 'stuck') stuck.add(line.spec.taskId);
  }
  for (const line of ledger.handlers) {
    const isOwnEnd = line.is === 'kills-itself' || (line.is === 'entered' && stuck.has(line.taskId));
    if (isOwnEnd) doomed.add(line.pid);
  }
  for (const pid of overstayers(ledger)) doomed.add(pid);
  // One that is told to leave before it has set itself up for that ends as any program does.
  const ready = new Set(ledger.harness.flatMap((line) => (line.is === 'ready' ? [line.pid] : [])));
  return ledger.harness.flatMap((line) => {
    if (line.is === 'ended' && line.asked === 'SIGTERM' && line.signal === 'SIGTERM' && !ready.has(line.pid)) return [];
    if (line.is !== 'ended' || isFittingExit(line, doomed, times)) return [];
    const { seat, pid, code, signal, asked } = line;
    return [
      `${seat} (process ${pid}) ended with ${signal ?? code}; ${asked === null ? 'nobody had asked it to' : `asked by ${asked}`}`,
    ];
  });
}

/** Whoever has left so soon after its abort has done so in time, however slowly that was told. */
const CERTAIN_MS = FLEET_TIMES.stuckGraceMs / 2;

/** Processes whose handlers may have gone on for longer after their abort than they may: these are replaced. */
function overstayers({ handlers }: Ledger): ReadonlySet<number> {
  const pids = new Set<number>();
  const aborted = new Map<string, { readonly pid: number; readonly tMs: number }>();
  for (const line of handlers) {
    if (line.is !== 'aborted' && line.is !== 'left') continue;
    const key = `${line.pid} ${line.taskId} ${line.attempt}`;
    const before = aborted.get(key);
    if (line.is === 'aborted') aborted.set(key, { pid: line.pid, tMs: line.tMs });
    else if (before !== undefined && line.tMs - before.tMs < CERTAIN_MS) aborted.delete(key);
  }
  for (const { pid } of aborted.values()) pids.add(pid);
  return pids;
}

type Ended = Extract<HarnessLine, { is: 'ended' }>;

function isFittingExit(
  { role, pid, code, signal, asked, tMs }: Ended,
  doomed: ReadonlySet<number>,
  times: FaultTimes,
): boolean {
  if (asked === 'SIGKILL') return signal === 'SIGKILL' || code === 0;
  if (signal === 'SIGKILL') return doomed.has(pid);
  const wasFull = times.some(
    ({ kind, fromMs, toMs }) => kind === 'fill-disk' && fromMs < tMs && tMs - toMs < FULL_DISK_MS,
  );
  // A stop is cut short after 5 s, and a start fails, where the disk is full.
  if (role === 'coordinator') return (code === 0 && asked === 'SIGTERM') || ((code === 74 || code === 1) && wasFull);
  // A client ends when it has seen all ends; a child when it was told to leave.
  return code === 0 && signal === null;
}

function tell({ taskId, spec, acknowledgedMs }: TaskStory, what: string): string {
  const how =
    spec === null ? '' : ` (${spec.kind} by ${spec.via}${acknowledgedMs === null ? ', not acknowledged' : ''})`;
  return `task ${taskId}${how}: ${what}`;
}

function tellEnds(story: TaskStory): string {
  return endsOf(story)
    .map(({ state, reason, digest }) => [state, reason, digest ?? ''].filter((text) => text !== '').join(' '))
    .join('; ');
}

function tellEntries(entries: readonly Entry[]): string {
  return entries
    .map(
      ({ attempt, workerId, pid, tMs }) => `attempt ${attempt} at ${workerId} (process ${pid}, ${Math.round(tMs)} ms)`,
    )
    .join(', ');
}

function tellHistory({ attempts }: TaskStory): string {
  return attempts
    .map(({ attempt, workerId, outcome, charge, reason }) =>
      `${attempt} ${workerId} ${outcome} ${charge} ${reason}`.trim(),
    )
    .join(', ');
}

function tellRepeat({ taskId, before, after }: Repeat, stories: ReadonlyMap<string, TaskStory>): string {
  const story = stories.get(taskId);
  return `task ${taskId}: ${tellEntries([before, after])}; ${story === undefined ? '' : tellHistory(story)}`;
}

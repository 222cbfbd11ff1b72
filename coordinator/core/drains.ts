/**
 * Drains that operators ask for. A drain is a pattern of worker ids that the coordinator holds, in its store: whoever fits gets
 * nothing new, now and whenever it comes back, until the drain is given up. The worker itself is not told and stays connected,
 * so that it can be resumed; see docs/adr/0011.
 */
import type { Input } from './inputs.js';
import type { DrainedWorker, DrainView, Reply } from './outputs.js';
import { fits } from './pattern.js';
import type { SchedulerState, Step } from './state.js';
import type { WorkerRecord } from './worker.js';

type Of<K extends Input['kind']> = Extract<Input, { kind: K }>;

/** Drains held at a time. */
export const MAX_DRAINS = 1_000;
/** Drains that wait for idle workers at a time; each is looked at whenever some worker has become idle. */
const MAX_DRAIN_WAITS = 256;
/** Held patterns that the answer to a wrong one names. */
const MAX_HELD_SHOWN = 16;

export function applyDrain(step: Step, { token, patterns, whenIdle }: Of<'drain'>): void {
  const { state, now } = step;
  const fresh = [...new Set(patterns)].filter((pattern) => !state.drains.has(pattern));
  if (state.drains.size + fresh.length > MAX_DRAINS) {
    step.reply(token, { kind: 'tooManyDrains', limit: MAX_DRAINS });
    return;
  }
  for (const pattern of fresh) {
    state.drains.set(pattern, now.wallMs);
    step.writeDrain(pattern, now.wallMs);
  }
  judgeAll(step);
  if (whenIdle && state.drainWaits.length < MAX_DRAIN_WAITS) {
    state.drainWaits.push({ token, patterns });
    step.someIdle = true;
  } else {
    step.replyAtEnd(token, () => drained(state, patterns));
  }
}

export function applyStopWaiting(step: Step, { token }: Of<'stopWaiting'>): void {
  const { state } = step;
  const wait = state.drainWaits.find((one) => one.token === token);
  if (wait === undefined) return;
  state.drainWaits = state.drainWaits.filter((one) => one !== wait);
  step.replyAtEnd(token, () => drained(state, wait.patterns));
}

export function applyResume(step: Step, { token, patterns }: Of<'resume'>): void {
  const { state } = step;
  const held = [...state.drains.keys()];
  const unknown = patterns.find((pattern) => !held.some((one) => givesUp(pattern, one)));
  if (unknown !== undefined) {
    step.reply(token, { kind: 'drainNotFound', pattern: unknown, held: held.slice(0, MAX_HELD_SHOWN) });
    return;
  }
  const drains: DrainView[] = [];
  for (const [pattern, createWallMs] of state.drains) {
    if (!patterns.some((one) => givesUp(one, pattern))) continue;
    drains.push({ pattern, createWallMs });
    state.drains.delete(pattern);
    step.writeDrain(pattern, null);
  }
  const resumedWorkers = judgeAll(step);
  step.reply(token, { kind: 'resumed', drains, resumedWorkers });
}

/** Answers the drains whose workers are all idle by now. To be called when the step has applied everything. */
export function answerIdle(step: Step): void {
  const { state } = step;
  if (!step.someIdle || state.drainWaits.length === 0) return;
  state.drainWaits = state.drainWaits.filter(({ token, patterns }) => {
    const reply = drained(state, patterns);
    if (reply.workers.some(({ attempts }) => attempts > 0)) return true;
    step.reply(token, reply);
    return false;
  });
}

/** The drain that keeps this worker from work; null: none. */
export function drainFor({ drains }: Pick<SchedulerState, 'drains'>, workerId: string): string | null {
  for (const pattern of drains.keys()) if (fits(pattern, workerId)) return pattern;
  return null;
}

/** Drains that are held, by pattern. */
export function drainViews({ drains }: SchedulerState): readonly DrainView[] {
  const byPattern = [...drains].sort(([a], [b]) => (a < b ? -1 : 1));
  return byPattern.map(([pattern, createWallMs]) => ({ pattern, createWallMs }));
}

/** A pattern gives up a drain of the same words, or of words that it stands for. */
function givesUp(pattern: string, held: string): boolean {
  return pattern === held || fits(pattern, held);
}

/** @returns How many workers may get work again. */
function judgeAll(step: Step): number {
  const { state } = step;
  let resumed = 0;
  for (const worker of state.incarnations.values()) {
    const before = worker.drainedBy;
    worker.drainedBy = drainFor(state, worker.workerId);
    if ((before === null) === (worker.drainedBy === null)) continue;
    state.matcher.refreshWorker(worker);
    if (before !== null) resumed += 1;
    tell(step, worker);
  }
  return resumed;
}

function tell(step: Step, { workerId, incarnation, holds, drainedBy }: WorkerRecord): void {
  const common = { workerId, incarnation, attempts: holds.size };
  step.event(
    drainedBy === null
      ? { ...common, name: 'worker-resumed', message: '' }
      : { ...common, name: 'worker-draining', message: `an operator drained "${drainedBy}"; it gets nothing new` },
  );
}

function drained(state: SchedulerState, patterns: readonly string[]): Extract<Reply, { kind: 'drained' }> {
  const workers: DrainedWorker[] = [];
  for (const { workerId, holds } of state.workersById.values()) {
    if (patterns.some((pattern) => fits(pattern, workerId))) workers.push({ workerId, attempts: holds.size });
  }
  workers.sort((a, b) => (a.workerId < b.workerId ? -1 : 1));
  return { kind: 'drained', workers };
}

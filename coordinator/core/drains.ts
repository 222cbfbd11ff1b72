/**
 * Drains that operators ask for. A drain is a pattern of worker ids that the coordinator holds, in its store: whoever fits gets
 * nothing new, now and whenever it comes back, until the drain is given up. The worker itself is not told and stays connected,
 * so that it can be resumed; see docs/adr/0011.
 */
import type { Input } from './inputs.js';
import type { DrainedWorker, DrainView, Reply } from './outputs.js';
import { compilePattern, fits } from './pattern.js';
import type { HeldDrain, SchedulerState, Step } from './state.js';
import type { WorkerRecord } from './worker.js';

type Of<K extends Input['kind']> = Extract<Input, { kind: K }>;

/** Drains held at a time. */
const MAX_DRAINS = 1_000;
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
  const drains = new Map(fresh.map((pattern) => [pattern, heldDrain(pattern, now.wallMs)]));
  for (const [pattern, drain] of drains) {
    state.drains.set(pattern, drain);
    step.writeDrain(pattern, drain.createWallMs);
  }
  for (const worker of state.incarnations.values()) {
    // Whom an older drain keeps from work, it keeps.
    if (worker.drainedBy === null) setDrainedBy(step, worker, drainFor({ drains }, worker.workerId));
  }
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
  for (const [pattern, { createWallMs }] of state.drains) {
    if (!patterns.some((one) => givesUp(one, pattern))) continue;
    drains.push({ pattern, createWallMs });
    state.drains.delete(pattern);
    step.writeDrain(pattern, null);
  }
  let resumedWorkers = 0;
  for (const worker of state.incarnations.values()) {
    if (worker.drainedBy === null || state.drains.has(worker.drainedBy)) continue;
    setDrainedBy(step, worker, drainFor(state, worker.workerId));
    if (worker.drainedBy === null) resumedWorkers += 1;
  }
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
  for (const [pattern, { test }] of drains) if (test(workerId)) return pattern;
  return null;
}

/** A drain as the core holds it. */
export function heldDrain(pattern: string, createWallMs: number): HeldDrain {
  return { createWallMs, test: compilePattern(pattern) };
}

/** Drains that are held, by pattern. */
export function drainViews({ drains }: SchedulerState): readonly DrainView[] {
  const byPattern = [...drains].sort(([a], [b]) => (a < b ? -1 : 1));
  return byPattern.map(([pattern, { createWallMs }]) => ({ pattern, createWallMs }));
}

/** A pattern gives up a drain of the same words, or of words that it stands for. */
function givesUp(pattern: string, held: string): boolean {
  return pattern === held || fits(pattern, held);
}

function setDrainedBy(step: Step, worker: WorkerRecord, pattern: string | null): void {
  const before = worker.drainedBy;
  worker.drainedBy = pattern;
  if ((before === null) === (pattern === null)) return;
  step.state.matcher.refreshWorker(worker);
  tell(step, worker);
}

function tell(step: Step, { workerId, incarnation, holds, drainedBy }: WorkerRecord): void {
  const common = { workerId, incarnation, attempts: holds.size };
  step.event(
    drainedBy === null
      ? { ...common, name: 'worker-resumed', message: '' }
      : { ...common, name: 'worker-draining', message: `an operator drained "${drainedBy}"; it gets nothing new` },
  );
}

/** By worker id: also a process that has lost the id may still run something under a valid lease. */
function drained(state: SchedulerState, patterns: readonly string[]): Extract<Reply, { kind: 'drained' }> {
  const tests = patterns.map(compilePattern);
  const attempts = new Map<string, number>();
  for (const { workerId, holds } of state.incarnations.values()) {
    if (tests.some((test) => test(workerId))) attempts.set(workerId, (attempts.get(workerId) ?? 0) + holds.size);
  }
  const workers: DrainedWorker[] = [...attempts].map(([workerId, count]) => ({ workerId, attempts: count }));
  workers.sort((a, b) => (a.workerId < b.workerId ? -1 : 1));
  return { kind: 'drained', workers };
}

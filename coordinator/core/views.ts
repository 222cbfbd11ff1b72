/** What people see of the state: made when asked for, never kept. */
import { drainViews } from './drains.js';
import type { FleetStatsView, QueueView, Reply, TaskCounts, WorkerView } from './outputs.js';
import type { SchedulerState, Step } from './state.js';
import type { Now } from './inputs.js';
import { SUSPICIONS } from './fleet.js';
import { isReady, workerState, type WorkerRecord } from './worker.js';

const MAX_TYPES = 100;

export function listWorkers(step: Step, afterWorkerId: string, limit: number): Reply {
  const ids = [...step.state.workersById.keys()].filter((id) => id > afterWorkerId).sort();
  const workers = ids.slice(0, limit).map((id) => viewWorker(step.state.workersById.get(id) as WorkerRecord, step.now));
  return { kind: 'workers', workers, more: ids.length > limit };
}

export function getWorker(step: Step, workerId: string): Reply {
  const worker = step.state.workersById.get(workerId);
  return worker === undefined
    ? { kind: 'workerNotFound', workerId }
    : { kind: 'worker', worker: viewWorker(worker, step.now) };
}

function viewWorker(worker: WorkerRecord, now: Now): WorkerView {
  const { hello } = worker;
  const toWall = (monoMs: number): number => Math.round(now.wallMs + (monoMs - now.monoMs));
  return {
    workerId: worker.workerId,
    incarnation: worker.incarnation,
    sessionNumber: worker.sessionNumber,
    state: workerState(worker),
    stateMessage: stateMessage(worker, now),
    version: hello?.version ?? '',
    host: hello?.host ?? '',
    pid: hello?.pid ?? 0,
    taskTypes: hello?.taskTypes ?? new Map(),
    labels: hello?.labels ?? {},
    slots: hello?.slots ?? 0,
    prefetch: hello?.prefetch ?? 0,
    slotsUsed: worker.holds.size,
    attempts: [...worker.holds.values()].map(({ ref, type, state, assignWallMs }) => ({
      taskId: ref.taskId,
      type,
      attempt: ref.attempt,
      state,
      assignWallMs,
    })),
    attemptsDone: worker.attemptsDone,
    connectWallMs: worker.connectWallMs,
    lastFrameWallMs: worker.hello === null ? 0 : toWall(worker.lastFrameMonoMs),
    leaseEndWallMs: worker.lease.target === null ? 0 : toWall(worker.lease.atMs),
    load: worker.load,
  };
}

function stateMessage(worker: WorkerRecord, now: Now): string {
  const leaseLeftMs = Math.max(0, Math.round(worker.lease.atMs - now.monoMs));
  switch (workerState(worker)) {
    case 'DISCONNECTED':
      if (worker.processEnd !== null) return 'its process has ended; what it had sent is still read';
      return worker.hello === null
        ? `held attempts when the coordinator restarted and has not come back; waited for ${leaseLeftMs} ms more`
        : `its stream has ended; what it holds is kept for ${leaseLeftMs} ms more`;
    case 'SUSPECT':
      return SUSPICIONS[worker.suspect ?? 'slow'];
    case 'DRAINING':
      return worker.draining
        ? `finishing ${worker.holds.size} attempt(s), then it leaves`
        : `an operator drained "${worker.drainedBy}": it gets nothing new, and holds ${worker.holds.size} attempt(s)`;
    case 'READY':
      return overdueText(worker);
  }
}

/** A ready worker with fewer slots than it seems to have. */
function overdueText({ holds }: WorkerRecord): string {
  let overdue = 0;
  for (const { abandoned } of holds.values()) if (abandoned) overdue += 1;
  if (overdue === 0) return '';
  return `${overdue} attempt(s) have ended without its word, long after their time-out or cancel; each takes a slot until it confirms, or its process ends`;
}

/** Slots of all workers that may still report what they hold, also of those that are away for a while. */
export function knownSlots(state: SchedulerState): number {
  let slots = 0;
  for (const { hello } of state.incarnations.values()) slots += hello?.slots ?? 0;
  return slots;
}

export function fleetStats(state: SchedulerState): FleetStatsView {
  const workers = { ready: 0, suspect: 0, draining: 0, disconnected: 0, slots: 0, slotsUsed: 0 };
  for (const worker of state.workersById.values()) {
    workers[COUNTED[workerState(worker)]] += 1;
    if (!isReady(worker)) continue;
    workers.slots += worker.hello?.slots ?? 0;
    workers.slotsUsed += worker.holds.size;
  }
  const attempts = { sent: 0, held: 0, started: 0, cancelling: 0, abandoned: 0 };
  for (const { holds } of state.incarnations.values()) {
    for (const hold of holds.values()) {
      attempts[HELD[hold.state]] += 1;
      if (hold.abandoned) attempts.abandoned += 1;
    }
  }
  const types = largestTypes(state).map(({ type, tasks }) => {
    return { type, tasks: { ...tasks }, readyWorkers: state.matcher.readyWorkers(type) };
  });
  const { counts, totals } = state;
  return { tasks: { ...counts }, workers, attempts, totals: { ...totals }, drains: drainViews(state), types };
}

/** The types that have tasks or workers. */
export function listQueues(state: SchedulerState, afterType: string, limit: number): Reply {
  const { countsByType, matcher } = state;
  const all = new Set([...countsByType.keys(), ...matcher.workersByType.keys()]);
  const types = [...all].filter((type) => type > afterType).sort();
  const queues = types.slice(0, limit).map((type): QueueView => {
    const tasks = { ...(countsByType.get(type) ?? NO_TASKS) };
    return { type, tasks, oldestReadyWallMs: matcher.oldestReadyWallMs(type), ...slotsFor(state, type) };
  });
  return { kind: 'queues', queues, more: types.length > limit };
}

const NO_TASKS: Readonly<TaskCounts> = { scheduled: 0, queued: 0, running: 0 };

function slotsFor({ matcher }: SchedulerState, type: string): Pick<QueueView, 'readyWorkers' | 'slots' | 'slotsFree'> {
  const found = { readyWorkers: 0, slots: 0, slotsFree: 0 };
  for (const worker of matcher.workersByType.get(type) ?? []) {
    const { hello, holds, holdsByType } = worker;
    if (!isReady(worker) || hello === null) continue;
    const cap = hello.taskTypes.get(type) ?? 0;
    found.readyWorkers += 1;
    found.slots += cap;
    // Prefetched attempts take no slot, so more may be held than run.
    found.slotsFree += Math.max(0, Math.min(hello.slots - holds.size, cap - (holdsByType.get(type) ?? 0)));
  }
  return found;
}

interface TypeTasks {
  readonly type: string;
  readonly tasks: Readonly<TaskCounts>;
  readonly open: number;
}

/** The largest first. Types are what submitters say, so there may be as many as tasks: all are looked at, few are kept. */
function largestTypes({ countsByType }: SchedulerState): readonly TypeTasks[] {
  const largest: TypeTasks[] = [];
  for (const [type, tasks] of countsByType) {
    const open = tasks.scheduled + tasks.queued + tasks.running;
    const last = largest[MAX_TYPES - 1];
    if (last !== undefined && open <= last.open) continue;
    const behind = largest.findIndex((other) => other.open < open);
    largest.splice(behind === -1 ? largest.length : behind, 0, { type, tasks, open });
    if (largest.length > MAX_TYPES) largest.pop();
  }
  return largest;
}

const HELD = { SENT: 'sent', HELD: 'held', STARTED: 'started', CANCELLING: 'cancelling' } as const;

const COUNTED = { READY: 'ready', SUSPECT: 'suspect', DRAINING: 'draining', DISCONNECTED: 'disconnected' } as const;

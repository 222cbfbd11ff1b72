/**
 * Who can take what. Tasks of the same type and required labels are one match class; which workers serve a class is indexed
 * when either appears, never searched when a task is handed out.
 */
import { IndexedHeap } from './heap.js';
import type { CoreConfig } from './config.js';
import type { Waiting } from './outputs.js';
import type { Domain, ReadyQueue } from './ready-queue.js';
import type { TaskRecord } from './state.js';
import { hasRoom, isReady, loadShare, workerState, type SlotNode, type WorkerRecord } from './worker.js';

export interface MatchClass {
  readonly key: string;
  readonly type: string;
  readonly requiredLabels: Readonly<Record<string, string>>;
  /** Tasks of the class that have not ended. */
  taskCount: number;
  /** Workers that handle the type and have the labels, whatever their state. */
  readonly workers: Map<WorkerRecord, SlotNode>;
  /** Those of them that could take a task now; the best first. */
  readonly free: IndexedHeap<SlotNode>;
  /** Its order domains that are not empty, by {@link Domain.key}. */
  readonly domains: Map<number, Domain>;
  /** Some domain waits for any change of a worker. */
  hasParked: boolean;
}

/**
 * Free workers looked at for a task that has failed before, if one of them can take it. In an outage that is every task, and
 * with thousands of workers a look at all would take longer than to run it on the second best.
 */
const MAX_LOOKED_AT = 64;

export class Matcher {
  readonly #classes = new Map<string, MatchClass>();
  readonly #classesByType = new Map<string, Set<MatchClass>>();
  /** Classes without tasks, the longest idle first; remembered so that a lone task finds its class made. */
  readonly #idle = new Set<MatchClass>();
  readonly #workersByType = new Map<string, Set<WorkerRecord>>();
  readonly #before: (a: SlotNode, b: SlotNode) => boolean;

  constructor(
    private readonly config: CoreConfig,
    private readonly queue: ReadyQueue,
  ) {
    this.#before = config.balancing === 'round-robin' ? leastRecentlyUsed : leastLoaded;
  }

  /** All classes, those without tasks too. For invariants. */
  get classes(): ReadonlyMap<string, MatchClass> {
    return this.#classes;
  }

  /** Classes remembered without a task. */
  get idleCount(): number {
    return this.#idle.size;
  }

  /** Workers by the types that they handle, whatever their state. */
  get workersByType(): ReadonlyMap<string, ReadonlySet<WorkerRecord>> {
    return this.#workersByType;
  }

  /** The class of a type and labels; counts one task more in it. */
  enter(type: string, requiredLabels: Readonly<Record<string, string>>): MatchClass {
    const key = classKey(type, requiredLabels);
    let matchClass = this.#classes.get(key);
    if (matchClass === undefined) {
      matchClass = this.#create(key, type, requiredLabels);
    }
    this.#idle.delete(matchClass);
    matchClass.taskCount += 1;
    return matchClass;
  }

  /** One task of the class has ended. */
  leave(matchClass: MatchClass): void {
    matchClass.taskCount -= 1;
    if (matchClass.taskCount > 0) return;
    this.#idle.add(matchClass);
    if (this.#idle.size <= this.config.maxIdleClasses) return;
    const [oldest] = this.#idle;
    if (oldest !== undefined) this.#forget(oldest);
  }

  /** Indexes a worker by what its newest hello says. */
  addWorker(worker: WorkerRecord): void {
    for (const type of worker.hello?.taskTypes.keys() ?? []) {
      let workers = this.#workersByType.get(type);
      if (workers === undefined) this.#workersByType.set(type, (workers = new Set()));
      workers.add(worker);
      for (const matchClass of this.#classesByType.get(type) ?? []) this.#link(matchClass, worker);
    }
    this.refreshWorker(worker);
  }

  removeWorker(worker: WorkerRecord): void {
    for (const [matchClass, node] of worker.slotNodes) {
      matchClass.workers.delete(worker);
      this.#setFree(node, false);
    }
    worker.slotNodes.clear();
    for (const type of worker.hello?.taskTypes.keys() ?? []) {
      const workers = this.#workersByType.get(type);
      workers?.delete(worker);
      if (workers?.size === 0) this.#workersByType.delete(type);
    }
  }

  /** To be called when what a worker holds, or whether it is ready, has changed. */
  refreshWorker(worker: WorkerRecord): void {
    const ready = isReady(worker);
    for (const node of worker.slotNodes.values()) this.#setFree(node, ready && hasRoom(worker, node.matchClass.type));
  }

  /** Ready workers that handle the type. */
  readyWorkers(type: string): number {
    let count = 0;
    for (const worker of this.#workersByType.get(type) ?? []) if (isReady(worker)) count += 1;
    return count;
  }

  /** Since when the task of the type that waits longest has been QUEUED; null: none is. */
  oldestReadyWallMs(type: string): number | null {
    let oldest = Infinity;
    for (const { domains } of this.#classesByType.get(type) ?? []) {
      for (const { tasks } of domains.values()) oldest = Math.min(oldest, tasks.peek()?.readyWallMs ?? Infinity);
    }
    return oldest === Infinity ? null : oldest;
  }

  /** Connected workers that could take a task of the class, free or not. */
  capableWorkers(matchClass: MatchClass): number {
    let count = 0;
    for (const worker of matchClass.workers.keys())
      if (workerState(worker) !== 'DISCONNECTED' && !worker.superseded) count += 1;
    return count;
  }

  /**
   * The worker for a task: the best free one; for a task that has failed before, the best on which it has not failed; for one
   * that has crashed a worker, one that holds no other such; never one that still holds an earlier attempt of it. Undefined
   * if no free worker is left then.
   */
  pick(task: TaskRecord): WorkerRecord | undefined {
    const { free } = task.matchClass;
    const best = free.peek();
    const crashed = task.crashCount > 0;
    const failedOn = task.history.length === 0 ? EMPTY : failedWorkers(task);
    if (best === undefined) return undefined;
    if (!crashed && failedOn.size === 0 && !best.worker.holds.has(task.taskId)) return best.worker;
    let preferred: SlotNode | undefined;
    let fallback: SlotNode | undefined;
    let looked = 0;
    for (const node of free.nodes()) {
      looked += 1;
      if (looked > MAX_LOOKED_AT && fallback !== undefined) break;
      if (!canTake(node.worker, task)) continue;
      if (fallback === undefined || this.#before(node, fallback)) fallback = node;
      if (failedOn.has(node.worker.workerId)) continue;
      if (preferred === undefined || this.#before(node, preferred)) preferred = node;
    }
    return (preferred ?? fallback)?.worker;
  }

  /** Why nobody takes a QUEUED task of the class (invariant 8). */
  explain(task: TaskRecord): Waiting {
    const { matchClass } = task;
    const { type, requiredLabels } = matchClass;
    const forType = this.#workersByType.get(type)?.size ?? 0;
    if (forType === 0) {
      return {
        reason: 'NO_WORKER_FOR_TYPE',
        message: `no worker handles type "${type}"; it waits until one with a handler for it connects`,
      };
    }
    if (matchClass.workers.size === 0) {
      const labels = Object.entries(requiredLabels).map(([name, value]) => `${name}=${value}`);
      return {
        reason: 'NO_WORKER_WITH_LABELS',
        message: `${forType} worker(s) handle type "${type}", none has the labels ${labels.join(', ')}`,
      };
    }
    const ready = [...matchClass.workers.keys()].filter(isReady);
    if (ready.length === 0) {
      return {
        reason: 'NO_READY_WORKER',
        message: `${matchClass.workers.size} worker(s) could take it; all are draining, suspect or disconnected`,
      };
    }
    if (matchClass.free.size === 0) {
      return {
        reason: 'NO_FREE_SLOT',
        message: `${ready.length} ready worker(s) could take it; all their slots for type "${type}" are in use`,
      };
    }
    if (task.domain?.parked === true) {
      return isIsolated(task)
        ? {
            reason: 'CRASH_ISOLATION',
            message:
              'it has crashed a worker before, and each free worker already holds another such task; one goes to a worker',
          }
        : {
            reason: 'NO_FREE_SLOT',
            message: 'each free worker still holds an earlier attempt of it, whose end it has not confirmed',
          };
    }
    return { reason: 'NO_FREE_SLOT', message: 'other tasks go before it; it is handed out next' };
  }

  #create(key: string, type: string, requiredLabels: Readonly<Record<string, string>>): MatchClass {
    const matchClass: MatchClass = {
      key,
      type,
      requiredLabels,
      taskCount: 0,
      workers: new Map(),
      free: new IndexedHeap(this.#before),
      domains: new Map(),
      hasParked: false,
    };
    this.#classes.set(key, matchClass);
    const ofType = this.#classesByType.get(type);
    if (ofType === undefined) this.#classesByType.set(type, new Set([matchClass]));
    else ofType.add(matchClass);
    for (const worker of this.#workersByType.get(type) ?? []) {
      this.#link(matchClass, worker);
      const node = worker.slotNodes.get(matchClass);
      if (node !== undefined) this.#setFree(node, isReady(worker) && hasRoom(worker, type));
    }
    return matchClass;
  }

  #forget(matchClass: MatchClass): void {
    for (const worker of matchClass.workers.keys()) worker.slotNodes.delete(matchClass);
    this.#classes.delete(matchClass.key);
    const ofType = this.#classesByType.get(matchClass.type);
    ofType?.delete(matchClass);
    if (ofType?.size === 0) this.#classesByType.delete(matchClass.type);
    this.#idle.delete(matchClass);
  }

  #link(matchClass: MatchClass, worker: WorkerRecord): void {
    if (!serves(worker, matchClass)) return;
    const node: SlotNode = { heapIndex: -1, worker, matchClass };
    matchClass.workers.set(worker, node);
    worker.slotNodes.set(matchClass, node);
  }

  #setFree(node: SlotNode, free: boolean): void {
    const { matchClass } = node;
    const before = matchClass.free.size;
    if (free) matchClass.free.set(node);
    else matchClass.free.remove(node);
    const after = matchClass.free.size;
    if ((before === 0) !== (after === 0) || matchClass.hasParked) this.queue.refreshClass(matchClass);
  }
}

/** True if nothing but its slots speaks against the worker. */
function canTake(worker: WorkerRecord, task: TaskRecord): boolean {
  return !worker.holds.has(task.taskId) && (task.crashCount === 0 || worker.crashedHolds === 0);
}

/** True if every free worker holds a crashed task: then no other crashed task can go either. */
export function isIsolated({ crashCount, matchClass }: TaskRecord): boolean {
  return crashCount > 0 && matchClass.free.nodes().every(({ worker }) => worker.crashedHolds > 0);
}

const EMPTY: ReadonlySet<string> = new Set();

function leastLoaded(a: SlotNode, b: SlotNode): boolean {
  const difference = loadShare(a.worker) - loadShare(b.worker);
  // Ties go to the most recently used: caches stay warm, and idle workers can be let go.
  return difference < 0 || (difference === 0 && a.worker.lastUsed > b.worker.lastUsed);
}

function leastRecentlyUsed(a: SlotNode, b: SlotNode): boolean {
  return a.worker.lastUsed < b.worker.lastUsed;
}

/** True if the worker handles the type and has the labels. */
export function serves(worker: WorkerRecord, { type, requiredLabels }: MatchClass): boolean {
  const { hello } = worker;
  if (hello === null || !hello.taskTypes.has(type)) return false;
  return Object.entries(requiredLabels).every(([name, value]) => hello.labels[name] === value);
}

function failedWorkers(task: TaskRecord): ReadonlySet<string> {
  return new Set(
    task.history.filter(({ charge }) => charge === 'FAILURE' || charge === 'CRASH').map(({ workerId }) => workerId),
  );
}

function classKey(type: string, requiredLabels: Readonly<Record<string, string>>): string {
  const names = Object.keys(requiredLabels);
  return names.length === 0
    ? type
    : JSON.stringify([type, ...names.sort().map((name) => [name, requiredLabels[name]])]);
}

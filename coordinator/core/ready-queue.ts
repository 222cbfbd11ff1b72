/**
 * Who is next. An order domain holds the QUEUED tasks of one match class and priority, by tag. Between the domains that a
 * free worker can serve, the head with the smallest `readyTime - priority * headStart` goes first: a head start is finite,
 * so nothing starves, and it is a wall-clock time, so it compares across types and restarts.
 */
import { IndexedHeap, type HeapNode } from './heap.js';
import type { MatchClass } from './match.js';
import type { TaskRecord } from './state.js';

export interface Domain extends HeapNode {
  /** Under which its class keeps it. */
  readonly key: number;
  readonly matchClass: MatchClass;
  readonly priority: number;
  /** Its tasks have cost workers before. They have a domain of their own, because at most one goes to a worker at a time. */
  readonly crashed: boolean;
  readonly tasks: IndexedHeap<TaskRecord>;
  /** No free worker may take its head; waits until a worker of the class changes. */
  parked: boolean;
}

export class ReadyQueue {
  readonly #active: IndexedHeap<Domain>;
  #size = 0;

  /** @param headStartMs What one point of priority is worth. */
  constructor(headStartMs: number) {
    const orderMs = (domain: Domain): number => {
      const head = domain.tasks.peek() as TaskRecord;
      return head.readyWallMs - domain.priority * headStartMs;
    };
    const tag = (domain: Domain): number => (domain.tasks.peek() as TaskRecord).tag;
    this.#active = new IndexedHeap<Domain>((a, b) => {
      const difference = orderMs(a) - orderMs(b);
      return difference < 0 || (difference === 0 && tag(a) < tag(b));
    });
  }

  /** Tasks in all domains. */
  get size(): number {
    return this.#size;
  }

  push(task: TaskRecord): void {
    this.#enter(task, sharedKey(task));
  }

  /**
   * Puts the task into a domain of its own: no free worker may take it, because each still holds an earlier attempt of it, and
   * that must not hold up those behind it.
   */
  setAside(task: TaskRecord): Domain {
    this.remove(task);
    // Tags are positive and unique, shared keys are not negative.
    return this.#enter(task, -task.tag);
  }

  #enter(task: TaskRecord, key: number): Domain {
    const domain = domainOf(task, key);
    domain.tasks.set(task);
    task.domain = domain;
    this.#size += 1;
    this.refreshDomain(domain);
    return domain;
  }

  remove(task: TaskRecord): void {
    const { domain } = task;
    if (domain === null) return;
    domain.tasks.remove(task);
    task.domain = null;
    this.#size -= 1;
    this.refreshDomain(domain);
    if (domain.tasks.size === 0) domain.matchClass.domains.delete(domain.key);
  }

  /** The domains that a free worker can serve. For invariants. */
  get active(): IndexedHeap<Domain> {
    return this.#active;
  }

  /** The domain whose head goes first, among those that a free worker can serve. */
  next(): Domain | undefined {
    return this.#active.peek();
  }

  /** Leaves the domain aside until a worker of its class changes. */
  park(domain: Domain): void {
    domain.parked = true;
    domain.matchClass.hasParked = true;
    this.refreshDomain(domain);
  }

  /** To be called when a worker of the class has become free or busy. */
  refreshClass(matchClass: MatchClass): void {
    matchClass.hasParked = false;
    for (const domain of matchClass.domains.values()) {
      domain.parked = false;
      this.refreshDomain(domain);
    }
  }

  refreshDomain(domain: Domain): void {
    // Removing first: a domain whose head has changed is compared by it, also while it moves.
    this.#active.remove(domain);
    if (domain.tasks.size > 0 && domain.matchClass.free.size > 0 && !domain.parked) this.#active.set(domain);
  }
}

function sharedKey({ priority, crashCount }: TaskRecord): number {
  return priority * 2 + (crashCount > 0 ? 1 : 0);
}

function domainOf(task: TaskRecord, key: number): Domain {
  const { matchClass, priority } = task;
  let domain = matchClass.domains.get(key);
  if (domain === undefined) {
    domain = {
      heapIndex: -1,
      key,
      matchClass,
      priority,
      crashed: task.crashCount > 0,
      tasks: new IndexedHeap<TaskRecord>((a, b) => a.tag < b.tag),
      parked: false,
    };
    matchClass.domains.set(key, domain);
  }
  return domain;
}

/**
 * A worker's records: one for each incarnation that may still hold attempts.
 *
 * ```
 *                    hello                       stream ends
 *   (unknown) ------------------> READY <-------------------------> DISCONNECTED --- lease over ---> lost
 *                                 |  ^ frames acknowledged again,   (hello brings it back)
 *      frames unacknowledged 3 s  v  |
 *                                SUSPECT
 *
 *   leaving, or kept from work by an operator: DRAINING, whatever else; one that leaves has left with the last attempt
 *   reported and the stream ended
 * ```
 *
 * An attempt at a worker:
 *
 * ```
 *   SENT -- frame acknowledged --> HELD -- handler entered --> STARTED -- report --> ended
 *     any of them -- cancel or time-out --> CANCELLING -- report, or the lease is over --> ended
 * ```
 */
import type { HeapNode } from './heap.js';
import type { HelloInfo, ProcessEnd, WorkerLoad } from './inputs.js';
import type { MatchClass } from './match.js';
import type { CancelReason, HoldState, WorkerState } from './outputs.js';
import type { AttemptRef } from './task.js';
import type { Timer } from './timers.js';

/** An attempt that takes a slot of a worker. */
export interface Hold {
  readonly ref: AttemptRef;
  readonly type: string;
  readonly assignWallMs: number;
  /** When it was handed out, on the monotonic clock; null: by an earlier coordinator, whose clock is gone. */
  readonly assignMonoMs: number | null;
  /** Its task has cost a worker before; a worker holds at most one such. */
  readonly crashed: boolean;
  /** Handed out by an earlier coordinator, and its worker has not come back: whether it was started is not known. */
  recovered: boolean;
  state: HoldState;
  /** Its handler has been entered, also if it is CANCELLING now. */
  started: boolean;
  /** The attempt has ended without the worker's word; the slot stays in use until the worker confirms. */
  abandoned: boolean;
  /** Its worker, which did not acknowledge it, was asked to give it back if it has not started it. */
  revoked: boolean;
  /** Why it is to be aborted; null: it is not. */
  cancelReason: CancelReason | null;
  /** When the coordinator ends the attempt by itself. */
  readonly limit: Timer;
  /** The limit has been moved because the worker was away. */
  extended: boolean;
}

/** `deaf`: it does not acknowledge what it is sent. `slow`: it does, and reads more slowly than it is sent. */
export type Suspicion = 'deaf' | 'slow';

/** A worker's place among those of a match class that could take a task now. */
export interface SlotNode extends HeapNode {
  readonly worker: WorkerRecord;
  readonly matchClass: MatchClass;
}

export interface WorkerRecord {
  readonly workerId: string;
  readonly incarnation: string;
  /** What it said in its newest hello; null after a restart until it comes back. */
  hello: HelloInfo | null;
  sessionNumber: number;
  /** Its live stream; null while DISCONNECTED. */
  sessionId: number | null;
  /** Why it gets nothing new, though it is connected; null: it does. */
  suspect: Suspicion | null;
  /** A frame has come since its newest hello: it has been welcomed, and can report. */
  spoke: boolean;
  draining: boolean;
  /** The pattern of the operator's drain that keeps it from work; null: none does. */
  drainedBy: string | null;
  /** Another incarnation has its id: it gets nothing new and may not come back. */
  superseded: boolean;
  /** Its process has ended, and its stream has not: what it had sent is still read. Null: not known to have. */
  processEnd: ProcessEnd | null;
  /** By task id: a worker never holds two attempts of one task. */
  readonly holds: Map<string, Hold>;
  readonly holdsByType: Map<string, number>;
  crashedHolds: number;
  /** What it held when it last said hello, by type: it may come back with fewer slots than it had. */
  holdsAtHello: ReadonlyMap<string, number>;
  /** Rises with each assignment of the fleet; orders workers by how recently they were used. */
  lastUsed: number;
  attemptsStarted: number;
  attemptsDone: number;
  readonly slotNodes: Map<MatchClass, SlotNode>;
  readonly lease: Timer;
  /** How far stalls of this process have moved the lease since the last frame; at most one lease. */
  stallGrantedMs: number;
  connectWallMs: number;
  lastFrameMonoMs: number;
  load: WorkerLoad | null;
}

export function workerState(worker: WorkerRecord): WorkerState {
  if (worker.sessionId === null || worker.processEnd !== null) return 'DISCONNECTED';
  if (worker.draining || worker.drainedBy !== null) return 'DRAINING';
  return worker.suspect === null ? 'READY' : 'SUSPECT';
}

/** True if new tasks may go to it, slots aside. */
export function isReady(worker: WorkerRecord): boolean {
  return workerState(worker) === 'READY' && !worker.superseded;
}

/** True if it has room for one more attempt of the type, counted by our own books (invariant 5). */
export function hasRoom(worker: WorkerRecord, type: string): boolean {
  const { hello } = worker;
  if (hello === null) return false;
  const cap = hello.taskTypes.get(type);
  if (cap === undefined) return false;
  return worker.holds.size < hello.slots + hello.prefetch && (worker.holdsByType.get(type) ?? 0) < cap + hello.prefetch;
}

/** Share of its slots in use; above 1 when it holds prefetched attempts. */
export function loadShare(worker: WorkerRecord): number {
  return worker.holds.size / (worker.hello?.slots ?? 1);
}

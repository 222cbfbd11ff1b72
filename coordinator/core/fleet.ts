/** How workers come, go, fall silent and come back, and what their frames do. */
import { cancelHold, markStarted } from './dispatch.js';
import { drainFor } from './drains.js';
import type { FrameInput, HelloInfo, Input, ProcessEnd, ReportInfo } from './inputs.js';
import { leaseMarginMs, sameFence } from './lease.js';
import { endAttempt, judged, releaseHold, released, type AttemptEnd } from './outcome.js';
import type { CoreEvent } from './outputs.js';
import type { SchedulerState, Step, TaskRecord } from './state.js';
import type { AttemptEntry, AttemptRef } from './task.js';
import { newTimer } from './timers.js';
import type { Hold, Suspicion, WorkerRecord } from './worker.js';

type Of<K extends Input['kind']> = Extract<Input, { kind: K }>;

/** Incarnations remembered after they lost their id. */
export const MAX_SUPERSEDED = 1_024;

/** How long the stream of a process that has ended may take to say so too; it is read to its end, as its last words count. */
export const LAST_WORDS_MS = 1_000;

export function applyHello(step: Step, { sessionId, atMonoMs, hello }: Of<'hello'>): void {
  const { state } = step;
  if (refuseHello(step, sessionId, hello)) return;
  for (const incarnation of hello.replaces) {
    const dead = state.incarnations.get(incarnation);
    if (dead?.workerId !== hello.workerId || incarnation === hello.incarnation) continue;
    // If it lives after all, it must not take the id back.
    bar(state, incarnation);
    loseWorker(step, dead, dead.processEnd ?? 'died');
  }
  // Only now: those that it replaces have made room.
  if (refuseFull(step, sessionId, hello)) return;
  const holder = state.workersById.get(hello.workerId);
  if (holder !== undefined && holder.incarnation !== hello.incarnation) {
    if (holder.processEnd === null) supersede(step, holder, hello);
    else loseWorker(step, holder, holder.processEnd);
  }

  const known = state.incarnations.get(hello.incarnation);
  const returned = known === undefined ? '' : returnText(step, known, hello);
  const worker = known ?? createWorker(state, hello.workerId, hello.incarnation);
  if (known !== undefined) {
    if (known.sessionId !== null)
      endSession(step, known, 'STALE_SESSION', 'a newer stream of the same process took over');
    state.matcher.removeWorker(known);
  }
  worker.hello = hello;
  worker.sessionNumber = hello.sessionNumber;
  worker.sessionId = sessionId;
  worker.suspect = null;
  worker.spoke = false;
  worker.draining = false;
  worker.connectWallMs = step.now.wallMs;
  state.sessions.set(sessionId, worker);
  state.workersById.set(hello.workerId, worker);
  renew(step, worker, atMonoMs);
  reconcile(step, worker, hello, sessionId);
  worker.holdsAtHello = new Map(worker.holdsByType);
  state.matcher.addWorker(worker);
  report(step, known === undefined ? 'worker-joined' : 'worker-returned', worker, returned);
}

/** Made before its records tell of the new session. */
function returnText({ now }: Step, worker: WorkerRecord, { sessionNumber }: HelloInfo): string {
  if (worker.hello === null) return 'it has come back after the restart of the coordinator';
  const silentMs = Math.round(now.monoMs - worker.lastFrameMonoMs);
  return `session ${sessionNumber}, after session ${worker.sessionNumber}; its last frame was ${silentMs} ms ago`;
}

function refuseHello(step: Step, sessionId: number, hello: HelloInfo): boolean {
  const { state } = step;
  const known = state.incarnations.get(hello.incarnation);
  if (known !== undefined && known.workerId !== hello.workerId) {
    const message = `incarnation ${hello.incarnation} is known as worker_id "${known.workerId}" and says that it is "${hello.workerId}"; draw a new incarnation for each process`;
    step.send(sessionId, { kind: 'end', reason: 'SUPERSEDED', message });
    return true;
  }
  if (known?.superseded === true || state.superseded.has(hello.incarnation)) {
    const message = `another process has taken over worker_id "${hello.workerId}"; give each process an id of its own`;
    step.send(sessionId, { kind: 'end', reason: 'SUPERSEDED', message });
    return true;
  }
  if (known !== undefined && known.hello !== null && known.sessionNumber >= hello.sessionNumber) {
    const message = `session_number ${hello.sessionNumber} is not above ${known.sessionNumber}, this incarnation's newest`;
    step.send(sessionId, { kind: 'end', reason: 'STALE_SESSION', message });
    return true;
  }
  return false;
}

/** True if one more process would be too many. */
function refuseFull(step: Step, sessionId: number, hello: HelloInfo): boolean {
  const { state } = step;
  if (state.incarnations.has(hello.incarnation)) return false;
  // An idle process of the same id makes room.
  const freed = state.workersById.get(hello.workerId)?.holds.size === 0 ? 1 : 0;
  if (state.incarnations.size - freed < state.config.maxWorkers) return false;
  const message = `the coordinator already knows ${state.incarnations.size} worker processes, its bound; start another coordinator or raise --max-workers`;
  step.send(sessionId, { kind: 'end', reason: 'FLEET_FULL', message });
  return true;
}

export function createWorker(state: SchedulerState, workerId: string, incarnation: string): WorkerRecord {
  const worker: WorkerRecord = {
    workerId,
    incarnation,
    hello: null,
    sessionNumber: 0,
    sessionId: null,
    suspect: null,
    spoke: false,
    draining: false,
    drainedBy: drainFor(state, workerId),
    superseded: false,
    processEnd: null,
    holds: new Map(),
    holdsByType: new Map(),
    crashedHolds: 0,
    holdsAtHello: new Map(),
    lastUsed: 0,
    attemptsStarted: 0,
    attemptsDone: 0,
    slotNodes: new Map(),
    lease: newTimer(),
    stallGrantedMs: 0,
    connectWallMs: 0,
    lastFrameMonoMs: 0,
    load: null,
  };
  state.incarnations.set(incarnation, worker);
  return worker;
}

/** The incarnation may not come back. */
function bar(state: SchedulerState, incarnation: string): void {
  state.superseded.add(incarnation);
  const [oldest] = state.superseded;
  if (oldest !== undefined && state.superseded.size > MAX_SUPERSEDED) state.superseded.delete(oldest);
}

/** The newest hello wins the id. What the older process holds moves only when its lease is over: a stream proves nothing. */
function supersede(step: Step, worker: WorkerRecord, hello: HelloInfo): void {
  const { state } = step;
  worker.superseded = true;
  bar(state, worker.incarnation);
  const message = `incarnation ${hello.incarnation} on host "${hello.host}", pid ${hello.pid}, now has worker_id "${worker.workerId}"`;
  const { sessionId } = worker;
  endSession(step, worker, 'SUPERSEDED', message);
  state.matcher.refreshWorker(worker);
  report(step, 'worker-superseded', worker, message);
  if (worker.holds.size === 0) dropWorker(step, worker);
  else if (sessionId !== null) state.supersededSessions.set(sessionId, worker);
}

/**
 * Compares what the worker says it holds with our books: a snapshot, so whatever was lost in between heals here. Also an attempt
 * that we gave up while it ran there is kept, and aborted again: its report frees the slot.
 */
function reconcile(step: Step, worker: WorkerRecord, hello: HelloInfo, sessionId: number): void {
  const keep: AttemptRef[] = [];
  const cancel: AttemptRef[] = [];
  const accounted = new Set<Hold>();
  for (const { ref, started } of hello.running) {
    const hold = holdOf(worker, ref);
    if (hold === undefined) {
      cancel.push(ref);
      continue;
    }
    keep.push(ref);
    accounted.add(hold);
    hold.recovered = false;
    if (hold.state === 'SENT') hold.state = 'HELD';
    if (started) markStarted(step, worker, hold, step.now.monoMs);
  }
  const wantedReports = hello.unsentReports.filter((ref) => isWanted(step, worker, ref));
  // The worker forgets a report that is not wanted, so nothing would ever free the hold of one.
  for (const ref of wantedReports) {
    const hold = holdOf(worker, ref);
    if (hold === undefined) {
      awaitReport(step, ref.taskId);
      continue;
    }
    accounted.add(hold);
    hold.recovered = false;
    if (hold.state === 'SENT') hold.state = 'HELD';
  }
  for (const hold of [...worker.holds.values()]) {
    if (accounted.has(hold)) allowForReport(step, worker, hold);
    else releaseMissing(step, worker, hold);
  }
  step.send(sessionId, { kind: 'welcome', keep, cancel, wantedReports });
  for (const hold of worker.holds.values()) {
    if (hold.cancelReason === null) continue;
    // After a restart nobody has set a limit yet.
    if (hold.state !== 'CANCELLING') cancelHold(step, worker, hold, hold.cancelReason);
    else step.send(sessionId, { kind: 'cancel', ref: hold.ref, reason: hold.cancelReason });
  }
}

/** While it was away it could not report: what has run out meanwhile gets as long as after a cancel. */
function allowForReport(step: Step, worker: WorkerRecord, hold: Hold): void {
  const { timers, config } = step.state;
  const atLeastMs = step.now.monoMs + config.stuckGraceMs + config.leaseMs;
  // Once: a worker that comes and goes for ever must not keep its task for ever.
  if (hold.extended || !timers.isSet(hold.limit) || hold.limit.atMs >= atLeastMs) return;
  hold.extended = true;
  timers.atMono(hold.limit, atLeastMs, { kind: 'hold', worker, hold });
}

/** The worker does not hold it and has no report of it: it never arrived there, and never will. */
function releaseMissing(step: Step, worker: WorkerRecord, hold: Hold): void {
  const task = currentTask(step, hold);
  releaseHold(step, worker, hold);
  if (task === undefined) return;
  endAttempt(
    step,
    task,
    released(`worker ${worker.workerId} came back without it: it had not arrived there`, hold.started),
  );
}

/**
 * The attempt was given up, and its worker is back with its outcome: until that arrives, for a lease at most, the task is handed to
 * nobody. Once for each attempt: a worker that comes and goes for ever must not keep the task for ever.
 */
function awaitReport(step: Step, taskId: string): void {
  const { state, now } = step;
  const task = state.tasks.get(taskId);
  if (task === undefined || task.holder !== null || task.reportAwaited === task.attempt) return;
  task.reportAwaited = task.attempt;
  const { leaseMs } = state.config;
  const dueWallMs = Math.ceil(now.wallMs + leaseMs);
  if ((task.dueWallMs ?? 0) >= dueWallMs) return;
  step.setState(task, 'SCHEDULED');
  task.dueWallMs = dueWallMs;
  state.timers.atMono(task.due, now.monoMs + leaseMs, { kind: 'due', task });
}

function isWanted(step: Step, worker: WorkerRecord, ref: AttemptRef): boolean {
  const task = step.state.tasks.get(ref.taskId);
  return task !== undefined && task.attemptOpen && isOf(worker, task, ref);
}

/** The fence fits, and the attempt is this process's: knowing another's fence is no right to end its task. */
function isOf(worker: WorkerRecord, attempt: TaskRecord | AttemptEntry, ref: AttemptRef): boolean {
  const { attempt: number, leaseId, incarnation } = attempt;
  return number === ref.attempt && leaseId === ref.leaseId && incarnation === worker.incarnation;
}

/** The task whose newest attempt is this hold; undefined if the attempt has ended. */
function currentTask(step: Step, hold: Hold): TaskRecord | undefined {
  const task = step.state.tasks.get(hold.ref.taskId);
  return task?.holder?.hold === hold ? task : undefined;
}

export function applyFrame(step: Step, input: FrameInput): void {
  const superseded = step.state.supersededSessions.get(input.sessionId);
  if (superseded !== undefined) renew(step, superseded, input.atMonoMs);
  const worker = step.state.sessions.get(input.sessionId);
  // The frame of a stream that a newer one has replaced.
  if (worker === undefined) return;
  worker.spoke = true;
  renew(step, worker, input.atMonoMs);
  for (const ref of input.held) {
    const hold = holdOf(worker, ref);
    if (hold?.state === 'SENT') hold.state = 'HELD';
  }
  for (const ref of input.started) {
    const hold = holdOf(worker, ref);
    if (hold !== undefined) markStarted(step, worker, hold, input.atMonoMs);
  }
  for (const item of input.reports) applyReport(step, worker, input.sessionId, item, input.atMonoMs);
  for (const { ref, number, data } of input.progress) {
    const hold = holdOf(worker, ref);
    const task = hold === undefined ? undefined : currentTask(step, hold);
    if (task === undefined || number <= (task.progress?.number ?? 0)) continue;
    task.progress = { number, data };
    step.changed(task);
  }
  for (const ref of input.notStarted) giveBack(step, worker, ref, 'its worker gave it back unstarted');
  if (input.load !== null) worker.load = input.load;
  if (input.leaving !== null) drainWorker(step, worker, input.sessionId, input.leaving.drainTimeoutMs);
}

function holdOf(worker: WorkerRecord, ref: AttemptRef): Hold | undefined {
  const hold = worker.holds.get(ref.taskId);
  return hold !== undefined && sameFence(hold.ref, ref) ? hold : undefined;
}

function applyReport(step: Step, worker: WorkerRecord, sessionId: number, item: ReportInfo, atMonoMs: number): void {
  const { ref } = item;
  const hold = holdOf(worker, ref);
  if (hold !== undefined) {
    markStarted(step, worker, hold, atMonoMs, item.runMs);
    worker.attemptsDone += 1;
  }
  const task = step.state.tasks.get(ref.taskId);
  const refused = task === undefined ? refuseEnded(step, worker, ref) : refuseOpen(worker, task, ref);
  if (hold !== undefined) releaseHold(step, worker, hold);
  if (task?.attemptOpen === true && isOf(worker, task, ref)) {
    endAttempt(step, task, endOf(item));
  }
  if (refused !== '') step.state.totals.reportsRefused += 1;
  step.send(sessionId, { kind: 'reportAck', ref, accepted: refused === '', reason: refused });
}

/** Why a report on a task that has not ended does not count; empty if it does, or did before. */
function refuseOpen(worker: WorkerRecord, task: TaskRecord, ref: AttemptRef): string {
  return isOf(worker, task, ref) || countedBefore(worker, task, ref) ? '' : 'STALE_ATTEMPT';
}

function refuseEnded(step: Step, worker: WorkerRecord, ref: AttemptRef): string {
  const row = step.endedRow(ref.taskId);
  if (row === undefined) return 'UNKNOWN_TASK';
  return countedBefore(worker, row, ref) ? '' : 'TASK_ENDED';
}

/** A repeat, after its acknowledgement was lost. */
function countedBefore(worker: WorkerRecord, { history }: Pick<TaskRecord, 'history'>, ref: AttemptRef): boolean {
  return history.some((entry) => entry.reported && isOf(worker, entry, ref));
}

function endOf({ outcome, failure, result, runMs, startDelayMs }: ReportInfo): AttemptEnd {
  return { outcome, failure, result, runMs, startDelayMs, reported: true, mayHaveStarted: true, crash: false };
}

/** Takes an attempt back that was surely not started. */
function giveBack(step: Step, worker: WorkerRecord, ref: AttemptRef, message: string): void {
  const hold = holdOf(worker, ref);
  if (hold === undefined) return;
  const task = currentTask(step, hold);
  releaseHold(step, worker, hold);
  if (task !== undefined) endAttempt(step, task, released(message, hold.started));
}

function drainWorker(step: Step, worker: WorkerRecord, sessionId: number, deadlineMs: number): void {
  if (!worker.draining) {
    worker.draining = true;
    step.state.matcher.refreshWorker(worker);
    report(step, 'worker-draining', worker, `what runs may take ${deadlineMs} ms`);
  }
  step.send(sessionId, { kind: 'drain', deadlineMs });
}

/** For people: why a worker is suspect. */
export const SUSPICIONS: Readonly<Record<Suspicion, string>> = {
  deaf: 'it does not acknowledge what it is sent; it gets nothing new, and is asked to give back what it has not started',
  slow: 'it reads more slowly than it is sent; it gets nothing new until it has caught up',
};

export function applySuspect(step: Step, { sessionId, suspect, deaf, takenBack }: Of<'suspect'>): void {
  const worker = step.state.sessions.get(sessionId);
  if (worker === undefined) return;
  const suspicion = !suspect ? null : deaf ? 'deaf' : 'slow';
  if (worker.suspect !== suspicion) {
    const wasSuspect = worker.suspect !== null;
    worker.suspect = suspicion;
    step.state.matcher.refreshWorker(worker);
    if (suspicion !== null) report(step, 'worker-suspect', worker, SUSPICIONS[suspicion]);
    else if (wasSuspect) report(step, 'worker-recovered', worker, 'it acknowledges and reads what it is sent again');
  }
  for (const ref of takenBack)
    giveBack(step, worker, ref, 'it had not left for its worker, which does not acknowledge frames');
  if (deaf) revokeSent(step, worker, sessionId);
}

/**
 * What is on the wire to a worker that does not acknowledge: when the wire moves again, the worker gives back what it has not
 * started. Until it says so, or its lease is over, nobody else gets it.
 */
function revokeSent(step: Step, worker: WorkerRecord, sessionId: number): void {
  for (const hold of worker.holds.values()) {
    if (hold.state !== 'SENT' || hold.revoked) continue;
    hold.revoked = true;
    step.state.totals.revokes += 1;
    step.send(sessionId, { kind: 'revoke', ref: hold.ref });
  }
}

export function applySessionEnded(step: Step, { sessionId }: Of<'sessionEnded'>): void {
  const { state } = step;
  state.supersededSessions.delete(sessionId);
  const worker = state.sessions.get(sessionId);
  if (worker === undefined) return;
  detach(state, worker);
  if (worker.processEnd !== null) return loseWorker(step, worker, worker.processEnd);
  if (worker.draining && worker.holds.size === 0) return leave(step, worker, '');
  state.matcher.refreshWorker(worker);
  report(step, 'worker-disconnected', worker, 'its stream ended; what it holds is kept until its lease is over');
}

/**
 * Its process has ended, says who has seen it. What it had sent before may still be on its way to us, and its stream ends
 * behind that: so the stream is read to its end before what it held goes elsewhere, which takes no time on one machine.
 */
export function applyProcessEnded(step: Step, { incarnation, how }: Of<'processEnded'>): void {
  const { state, now } = step;
  // Its hello, too, may still be on its way.
  bar(state, incarnation);
  const worker = state.incarnations.get(incarnation);
  if (worker === undefined || worker.processEnd !== null) return;
  if (worker.sessionId === null || worker.holds.size === 0) return loseWorker(step, worker, how);
  worker.processEnd = how;
  state.matcher.refreshWorker(worker);
  const untilMs = Math.min(worker.lease.atMs, now.monoMs + LAST_WORDS_MS);
  state.timers.atMono(worker.lease, untilMs, { kind: 'lease', worker });
}

/** The lease is over; of a process that has ended, the time for its last words. */
export function applyLeaseEnd(step: Step, worker: WorkerRecord): void {
  loseWorker(step, worker, worker.processEnd ?? 'silent');
}

export function applyStalled(step: Step, { gapMs }: Of<'stalled'>): void {
  const { state, now } = step;
  const { leaseMs } = state.config;
  // Of what has come meanwhile not everything is read at once: after a standstill that outlasts leases nobody is given up at once.
  const againMs = gapMs > leaseMs ? now.monoMs + leaseMarginMs(leaseMs) : -Infinity;
  state.totals.stalls += 1;
  state.totals.stalledMs += gapMs;
  step.event({ name: 'coordinator-stalled', gapMs });
  for (const worker of state.incarnations.values()) {
    if (!state.timers.isSet(worker.lease)) continue;
    // A report that came in time may still wait to be read, and behind it whole streams; the lease bounds the wait for it.
    for (const hold of worker.holds.values()) {
      if (!state.timers.isSet(hold.limit)) continue;
      state.timers.atMono(hold.limit, hold.limit.atMs + gapMs, { kind: 'hold', worker, hold });
    }
    const grantMs = Math.min(gapMs, leaseMs - worker.stallGrantedMs);
    worker.stallGrantedMs += grantMs;
    const untilMs = Math.max(worker.lease.atMs + grantMs, againMs);
    state.timers.atMono(worker.lease, untilMs, { kind: 'lease', worker });
  }
}

export function applyListening(step: Step): void {
  const { state, now } = step;
  const untilMs = now.monoMs + state.recoveredLeaseMs + leaseMarginMs(state.recoveredLeaseMs);
  for (const worker of state.incarnations.values()) {
    if (worker.hello === null) state.timers.atMono(worker.lease, untilMs, { kind: 'lease', worker });
  }
}

/**
 * The worker has nothing any more: its lease is over ('silent'), or its process is known to have ended. That entitles to hand
 * its tasks out again; a late report still counts until that has happened.
 */
function loseWorker(step: Step, worker: WorkerRecord, how: ProcessEnd | 'silent'): void {
  const { state } = step;
  const holds = [...worker.holds.values()];
  if (worker.sessionId !== null && how === 'silent') {
    report(step, 'zombie-detected', worker, 'its lease is over and its stream is still open');
    endSession(step, worker, 'LEASE_LOST', 'the lease is over: no frame has arrived for too long; dial again');
  }
  const message = `this process of worker_id "${worker.workerId}" has ended, says its supervisor or its successor`;
  endSession(step, worker, 'SUPERSEDED', message);
  if (how === 'killed') {
    leave(step, worker, 'its supervisor has ended its process; what it held is given back');
  } else if (how === 'died' && worker.draining && holds.length === 0) {
    leave(step, worker, '');
  } else {
    if (!worker.draining || holds.length > 0) state.totals.workersLost += 1;
    report(step, 'worker-lost', worker, how === 'died' ? 'its process has ended' : 'its lease is over');
    dropWorker(step, worker);
  }
  for (const hold of holds) {
    const task = currentTask(step, hold);
    if (task !== undefined) endAttempt(step, task, lossOf(task, worker, hold, how));
  }
}

function leave(step: Step, worker: WorkerRecord, message: string): void {
  report(step, 'worker-left', worker, message);
  dropWorker(step, worker);
}

function lossOf(task: TaskRecord, worker: WorkerRecord, hold: Hold, how: ProcessEnd | 'silent'): AttemptEnd {
  const { workerId } = worker;
  if (hold.recovered && !hold.started) {
    const message = `the coordinator restarted and worker ${workerId} did not come back with it`;
    return judged('RELEASED', 'RELEASED', message);
  }
  if (how === 'killed') {
    return judged('RELEASED', 'RELEASED', `the process of worker ${workerId} was ended by its supervisor`);
  }
  if (!hold.started) {
    return judged('WORKER_LOST', 'WORKER_LOST', `worker ${workerId} was lost before it said that it had started`);
  }
  if (how === 'died')
    return judged('WORKER_LOST', 'WORKER_DIED', `the process of worker ${workerId} ended while it ran`, true);
  task.silenceCount += 1;
  const message = `the lease of worker ${workerId} ended while it ran`;
  return judged('WORKER_LOST', 'WORKER_SILENT', message, task.silenceCount >= 2);
}

/** The coordinator's own limit: long after its time-out, or its cancel, an attempt has not been reported. */
export function applyHoldLimit(step: Step, worker: WorkerRecord, hold: Hold): void {
  const task = currentTask(step, hold);
  if (task === undefined) return;
  const { timers } = step.state;
  if (worker.sessionId === null && timers.isSet(worker.lease)) {
    // It cannot report without a stream; its lease decides, or its return does.
    timers.atMono(hold.limit, worker.lease.atMs + 1, { kind: 'hold', worker, hold });
    return;
  }
  hold.abandoned = true;
  const verdict = limitVerdict(worker, hold);
  if (hold.cancelReason === null) cancelHold(step, worker, hold, 'TIMED_OUT');
  endAttempt(step, task, verdict);
}

function limitVerdict({ workerId, spoke }: WorkerRecord, { cancelReason }: Hold): AttemptEnd {
  if (cancelReason !== null) {
    return judged('CANCELLED', 'CANCELLED', `worker ${workerId} has not reported it, long after its cancel`);
  }
  // Its hellos arrive and renew its lease, and nothing gets back to it, so it says no more: what it has to report is not known.
  if (!spoke) {
    const message = `worker ${workerId} says hello and cannot hear the welcome, so it cannot report it, long after its time-out`;
    return judged('WORKER_LOST', 'WORKER_LOST', message);
  }
  return judged('TIMED_OUT', 'TIMED_OUT', `worker ${workerId} has not reported it, long after its time-out`);
}

function renew(step: Step, worker: WorkerRecord, atMonoMs: number): void {
  const { timers, config } = step.state;
  worker.lastFrameMonoMs = atMonoMs;
  worker.stallGrantedMs = 0;
  if (worker.processEnd !== null) return;
  const untilMs = atMonoMs + config.leaseMs + leaseMarginMs(config.leaseMs);
  // Until it has heard its welcome it counts what it was granted before, a hold for instance: a hello shortens nothing.
  const grantedMs = !worker.spoke && timers.isSet(worker.lease) ? worker.lease.atMs : 0;
  timers.atMono(worker.lease, Math.max(untilMs, grantedMs), { kind: 'lease', worker });
}

function endSession(
  step: Step,
  worker: WorkerRecord,
  reason: 'SUPERSEDED' | 'STALE_SESSION' | 'LEASE_LOST',
  message: string,
): void {
  if (worker.sessionId === null) return;
  step.send(worker.sessionId, { kind: 'end', reason, message });
  detach(step.state, worker);
}

function detach(state: SchedulerState, worker: WorkerRecord): void {
  if (worker.sessionId !== null) state.sessions.delete(worker.sessionId);
  worker.sessionId = null;
  worker.suspect = null;
}

function dropWorker(step: Step, worker: WorkerRecord): void {
  const { state } = step;
  if (worker.superseded) {
    for (const [sessionId, superseded] of state.supersededSessions) {
      if (superseded === worker) state.supersededSessions.delete(sessionId);
    }
  }
  detach(state, worker);
  step.someIdle = true;
  state.timers.cancel(worker.lease);
  for (const hold of worker.holds.values()) state.timers.cancel(hold.limit);
  worker.holds.clear();
  worker.holdsByType.clear();
  worker.crashedHolds = 0;
  state.matcher.removeWorker(worker);
  state.incarnations.delete(worker.incarnation);
  if (state.workersById.get(worker.workerId) === worker) state.workersById.delete(worker.workerId);
}

function report(step: Step, name: WorkerEventName, worker: WorkerRecord, message: string): void {
  const { workerId, incarnation } = worker;
  const total = WORKER_TOTALS[name];
  if (total !== undefined) step.state.totals[total] += 1;
  step.event({ name, workerId, incarnation, attempts: worker.holds.size, message });
}

/** What of it is counted. Losses are counted where they are judged: one that has left in good order is none. */
const WORKER_TOTALS: Readonly<Partial<Record<WorkerEventName, 'suspicions' | 'returns' | 'takeovers' | 'zombies'>>> = {
  'worker-suspect': 'suspicions',
  'worker-returned': 'returns',
  'worker-superseded': 'takeovers',
  'zombie-detected': 'zombies',
};

type WorkerEventName = Extract<CoreEvent, { workerId: string; incarnation: string }>['name'];

/**
 * What holds between any two steps. Linear in tasks, workers and match classes, so that a simulation can afford it after every
 * step; never called in production.
 */
import { drainFor } from './drains.js';
import { MAX_SUPERSEDED } from './fleet.js';
import { sameFence } from './lease.js';
import { serves, type MatchClass } from './match.js';
import type { SchedulerState, TaskRecord } from './state.js';
import { hasEnded, type TaskState } from './task.js';
import type { Timer } from './timers.js';
import { hasRoom, isReady, type Hold, type WorkerRecord } from './worker.js';

/**
 * Checks every rule of structure and design that is visible in the state.
 *
 * @throws Error that names the broken rule and the ids that break it.
 */
export function checkInvariants(state: SchedulerState): void {
  checkTasks(state);
  checkFleet(state);
  for (const worker of state.incarnations.values()) checkWorker(state, worker);
  checkMatcher(state);
  checkTimers(state);
}

function must(holds: boolean, rule: string, ...ids: readonly (string | number)[]): void {
  if (!holds) throw new Error(`invariant broken: ${rule} (${ids.join(', ')})`);
}

function checkTasks(state: SchedulerState): void {
  const { tasks, config, counts, countsByType } = state;
  must(tasks.size <= config.maxOpenTasks, 'open tasks within maxOpenTasks', tasks.size, config.maxOpenTasks);
  const counted: Record<TaskState, number> = {
    ...{ SCHEDULED: 0, QUEUED: 0, RUNNING: 0 },
    ...{ SUCCEEDED: 0, CANCELLED: 0, EXPIRED: 0, DEAD_LETTERED: 0 },
  };
  const byType = new Map<string, number>();
  const tags = new Set<number>();
  for (const [taskId, task] of tasks) {
    must(taskId === task.taskId, 'a task is kept under its own id', taskId, task.taskId);
    checkTask(state, task);
    counted[task.state] += 1;
    byType.set(`${task.state} ${task.type}`, (byType.get(`${task.state} ${task.type}`) ?? 0) + 1);
    if (task.tag === 0) continue;
    must(!tags.has(task.tag), 'tags are unique', taskId, task.tag);
    tags.add(task.tag);
  }
  must(counts.scheduled === counted.SCHEDULED, 'count of SCHEDULED', counts.scheduled, counted.SCHEDULED);
  must(counts.queued === counted.QUEUED, 'count of QUEUED', counts.queued, counted.QUEUED);
  must(counts.running === counted.RUNNING, 'count of RUNNING', counts.running, counted.RUNNING);
  must(state.queue.size === counted.QUEUED, 'size of the queue', state.queue.size, counted.QUEUED);
  let ofTypes = 0;
  for (const [type, { scheduled, queued, running }] of countsByType) {
    must(scheduled === (byType.get(`SCHEDULED ${type}`) ?? 0), 'count of SCHEDULED by type', type, scheduled);
    must(queued === (byType.get(`QUEUED ${type}`) ?? 0), 'count of QUEUED by type', type, queued);
    must(running === (byType.get(`RUNNING ${type}`) ?? 0), 'count of RUNNING by type', type, running);
    must(scheduled + queued + running > 0, 'a type without open tasks is not counted', type);
    ofTypes += scheduled + queued + running;
  }
  must(ofTypes === tasks.size, 'counts by type cover all tasks', ofTypes, tasks.size);
}

function checkTask(state: SchedulerState, task: TaskRecord): void {
  const { taskId, history, attempt } = task;
  must(!hasEnded(task.state), 'a task in memory has not ended', taskId, task.state);
  must(task.tag < state.nextTag, 'nextTag is above all tags', taskId, task.tag, state.nextTag);
  must(task.readyWallMs <= state.lastReadyWallMs, 'lastReadyWallMs is the largest', taskId, task.readyWallMs);
  must(history.length <= state.config.maxHistory, 'history is bounded', taskId, history.length);
  must(
    history.every((entry, index) => entry.attempt > (history[index - 1]?.attempt ?? 0)),
    'attempts in the history rise',
    taskId,
  );
  const newest = history.at(-1)?.attempt ?? 0;
  if (task.state === 'RUNNING') must(newest < attempt, 'a running attempt is not in the history', taskId, attempt);
  else must(newest === attempt, 'the newest attempt of a task that waits is in the history', taskId, attempt, newest);
  checkCounters(task);

  must(task.state !== 'SCHEDULED' || state.timers.isSet(task.due), 'SCHEDULED has a due timer', taskId);
  must((task.state === 'SCHEDULED') === (task.dueWallMs !== null), 'SCHEDULED, and only it, has a due time', taskId);
  must(
    task.deadlineWallMs === null || task.state === 'RUNNING' || state.timers.isSet(task.deadline),
    'a task that waits and has a deadline has a timer for it',
    taskId,
  );
  must(!task.cancelRequested || task.state === 'RUNNING', 'a cancelled task that waits has ended', taskId);
  checkPlace(task);
  checkHolder(task);
}

function checkCounters(task: TaskRecord): void {
  const { taskId, history } = task;
  const { requeuedAttempt } = task;
  const counted = history.filter(({ attempt }) => attempt > requeuedAttempt);
  const charged = (charge: string): number => counted.filter((entry) => entry.charge === charge).length;
  must(task.failureCount >= charged('FAILURE'), 'failureCount covers the history', taskId, task.failureCount);
  must(task.crashCount >= charged('CRASH'), 'crashCount covers the history', taskId, task.crashCount);
  must(task.releaseCount >= charged('FREE'), 'releaseCount covers the history', taskId, task.releaseCount);
  must(task.silenceCount >= 0, 'silenceCount is not negative', taskId, task.silenceCount);
  must(
    task.releaseStreak >= 0 && task.releaseStreak <= task.releaseCount,
    'releaseStreak is within releaseCount',
    taskId,
    task.releaseStreak,
  );
  must(
    task.state === 'RUNNING' ||
      task.attemptOpen === (history.at(-1)?.reported === false && task.attempt > requeuedAttempt),
    'a waiting task is open to a late report if its worker has not spoken and nobody has requeued it since',
    taskId,
  );
}

function checkPlace(task: TaskRecord): void {
  const { taskId, domain, matchClass } = task;
  must((task.state === 'QUEUED') === (domain !== null), 'QUEUED, and only it, is in a domain', taskId, task.state);
  if (domain === null) {
    must(task.heapIndex === -1, 'a task out of the queue is in no heap', taskId);
    return;
  }
  must(task.tag > 0, 'a QUEUED task has a place', taskId);
  must(domain.tasks.has(task), 'a QUEUED task is in the heap of its domain', taskId);
  must(domain.matchClass === matchClass, 'a task is in a domain of its class', taskId, matchClass.key);
  must(domain.priority === task.priority, 'a task is in a domain of its priority', taskId, task.priority);
  must(domain.key >= 0 || domain.tasks.size === 1, 'a task that is set aside is alone', taskId);
  must(domain.crashed === task.crashCount > 0, 'crashed tasks have domains of their own', taskId, task.crashCount);
  must(matchClass.type === task.type, 'a class has the type of its tasks', taskId, matchClass.key);
}

/** Invariants 2 and 4: one attempt can end the task, and one worker has it. */
function checkHolder(task: TaskRecord): void {
  const { taskId, holder } = task;
  must((task.state === 'RUNNING') === (holder !== null), 'RUNNING, and only it, has a holder', taskId, task.state);
  if (holder === null) return;
  const { worker, hold } = holder;
  must(worker.holds.get(taskId) === hold, 'the holder has the hold', taskId, worker.workerId);
  must(sameFence(task, hold.ref), 'the hold is the newest attempt', taskId, hold.ref.attempt, task.attempt);
  must(task.incarnation === worker.incarnation, 'the row names its holder', taskId, worker.incarnation);
  must(task.workerId === worker.workerId, 'the row names its holder', taskId, worker.workerId);
  must(task.attemptOpen, 'a running attempt is open', taskId);
  must(!hold.abandoned, 'an abandoned attempt is not running', taskId);
  must(!task.cancelRequested || hold.cancelReason !== null, 'a cancelled running task is aborted', taskId);
}

function checkFleet(state: SchedulerState): void {
  const { incarnations, workersById, sessions, superseded, config } = state;
  must(superseded.size <= MAX_SUPERSEDED, 'superseded is bounded', superseded.size);
  for (const [workerId, worker] of workersById) {
    must(worker.workerId === workerId, 'a worker is kept under its own id', workerId, worker.workerId);
    must(incarnations.get(worker.incarnation) === worker, 'the owner of an id is known', workerId, worker.incarnation);
    must(!worker.superseded, 'the owner of an id is not superseded', workerId, worker.incarnation);
  }
  for (const [sessionId, worker] of sessions) {
    must(worker.sessionId === sessionId, 'a session and its worker agree', sessionId, worker.workerId);
    must(incarnations.get(worker.incarnation) === worker, 'the worker of a session is known', sessionId);
  }
  let greeted = 0;
  let awaited = 0;
  let timed = 0;
  for (const [incarnation, worker] of incarnations) {
    must(worker.incarnation === incarnation, 'an incarnation is kept under itself', incarnation);
    if (worker.hello !== null) greeted += 1;
    else awaited += 1;
    if (worker.hello === null && state.timers.isSet(worker.lease)) timed += 1;
  }
  must(greeted <= config.maxWorkers, 'workers within maxWorkers', greeted, config.maxWorkers);
  // `listening` sets them all at once.
  must(timed === 0 || timed === awaited, 'recovered workers are waited for, all or none', timed, awaited);
}

function checkWorker(state: SchedulerState, worker: WorkerRecord): void {
  const { workerId, incarnation, hello, sessionId, holds } = worker;
  if (sessionId !== null) {
    must(state.sessions.get(sessionId) === worker, 'a connected worker is found by its session', workerId, sessionId);
    must(hello !== null, 'a connected worker has said hello', workerId);
  }
  must(worker.drainedBy === drainFor(state, workerId), 'a worker knows the drain that it fits', workerId);
  must(worker.processEnd === null || sessionId !== null, 'a process that has ended is known by its stream', workerId);
  must(!worker.superseded || sessionId === null, 'a superseded worker has no stream', workerId, incarnation);
  must(sessionId !== null || worker.suspect === null, 'a disconnected worker is not suspect', workerId);
  if (hello !== null) {
    must(state.timers.isSet(worker.lease), 'a worker has a lease', workerId, incarnation);
    const owner = state.workersById.get(workerId);
    must(worker.superseded || owner === worker, 'a worker has its id, or is superseded', workerId, incarnation);
    const before = [...worker.holdsAtHello.values()].reduce((sum, size) => sum + size, 0);
    const room = Math.max(hello.slots + hello.prefetch, before);
    must(holds.size <= room, 'holds within slots and prefetch', workerId, holds.size);
  }
  const byType = new Map<string, number>();
  let crashed = 0;
  for (const [taskId, hold] of holds) {
    must(hold.ref.taskId === taskId, 'a hold is kept under its task', workerId, taskId);
    byType.set(hold.type, (byType.get(hold.type) ?? 0) + 1);
    if (hold.crashed) crashed += 1;
    checkHold(state, worker, hold);
  }
  must(byType.size === worker.holdsByType.size, 'holds by type', workerId);
  for (const [type, size] of byType) {
    must(worker.holdsByType.get(type) === size, 'holds by type', workerId, type, size);
    if (hello === null) continue;
    const cap = Math.max((hello.taskTypes.get(type) ?? 0) + hello.prefetch, worker.holdsAtHello.get(type) ?? 0);
    must(size <= cap, 'holds of a type within its cap and prefetch', workerId, type, size);
  }
  must(worker.crashedHolds === crashed, 'count of crashed holds', workerId, worker.crashedHolds, crashed);
  must(crashed <= 1, 'a worker holds at most one crashed task', workerId, crashed);
}

function checkHold(state: SchedulerState, worker: WorkerRecord, hold: Hold): void {
  const { taskId } = hold.ref;
  const task = state.tasks.get(taskId);
  const current = task?.holder?.hold === hold;
  must(current !== hold.abandoned, "a hold is its task's newest attempt, or abandoned", worker.workerId, taskId);
  must(!hold.recovered || worker.hello === null, 'a recovered hold is settled by hello', worker.workerId, taskId);
  const limited = state.timers.isSet(hold.limit);
  if (hold.abandoned) must(!limited, 'an abandoned hold has no limit', worker.workerId, taskId);
  else if (hold.started) must(limited, 'a started hold has a limit', worker.workerId, taskId);
  if (hold.cancelReason === null) {
    must(hold.state !== 'CANCELLING', 'what is CANCELLING has a reason', worker.workerId, taskId);
  } else if (!hold.recovered) {
    must(hold.state === 'CANCELLING', 'what is to be aborted is CANCELLING', worker.workerId, taskId);
    must(limited || hold.abandoned, 'what is CANCELLING has a limit', worker.workerId, taskId);
  }
}

function checkMatcher(state: SchedulerState): void {
  const { matcher, incarnations, config } = state;
  must(matcher.idleCount <= config.maxIdleClasses, 'idle classes are bounded', matcher.idleCount);
  const taskCounts = new Map<MatchClass, number>();
  for (const { matchClass } of state.tasks.values()) {
    taskCounts.set(matchClass, (taskCounts.get(matchClass) ?? 0) + 1);
  }
  let active = 0;
  for (const [key, matchClass] of matcher.classes) {
    must(matchClass.key === key, 'a class is kept under its key', key);
    must(matchClass.taskCount === (taskCounts.get(matchClass) ?? 0), 'tasks of a class', key, matchClass.taskCount);
    taskCounts.delete(matchClass);
    active += checkClass(state, matchClass);
  }
  must(taskCounts.size === 0, 'the class of a task is known', ...[...taskCounts.keys()].map(({ key }) => key));
  must(state.queue.active.size === active, 'only domains that can be served are active', active);
  must(state.queue.active.firstMisplaced() === undefined, 'active domains are in heap order');
  for (const worker of incarnations.values()) {
    for (const type of worker.hello?.taskTypes.keys() ?? []) {
      must(matcher.workersByType.get(type)?.has(worker) === true, 'a worker is indexed by its types', worker.workerId);
    }
  }
  for (const [type, workers] of matcher.workersByType) {
    must(workers.size > 0, 'a type without workers is not indexed', type);
    for (const worker of workers) {
      const known = incarnations.get(worker.incarnation) === worker && worker.hello?.taskTypes.has(type) === true;
      must(known, 'a worker indexed by type is known and handles it', worker.workerId, type);
    }
  }
}

/** @returns How many of its domains can be served. */
function checkClass(state: SchedulerState, matchClass: MatchClass): number {
  const { key, free, workers } = matchClass;
  let serving = 0;
  for (const worker of state.matcher.workersByType.get(matchClass.type) ?? []) {
    const node = worker.slotNodes.get(matchClass);
    must(workers.get(worker) === node, 'a class and its worker agree', key, worker.workerId);
    must(serves(worker, matchClass) === (node !== undefined), 'who serves a class is indexed', key, worker.workerId);
    if (node === undefined) continue;
    serving += 1;
    const able = isReady(worker) && hasRoom(worker, matchClass.type);
    must(free.has(node) === able, 'a worker is free if it is ready and has room', key, worker.workerId);
  }
  must(workers.size === serving, 'only known workers serve a class', key, workers.size, serving);
  must(free.size <= serving && free.firstMisplaced() === undefined, 'free workers are in heap order', key);
  let active = 0;
  for (const [domainKey, domain] of matchClass.domains) {
    must(domain.key === domainKey, 'a domain is kept under its key', key, domainKey);
    must(domain.tasks.size > 0, 'an empty domain is forgotten', key, domain.priority);
    must(domain.tasks.firstMisplaced() === undefined, 'a domain is in heap order', key, domain.priority);
    for (const task of domain.tasks.nodes()) must(task.domain === domain, 'a domain holds its own', task.taskId);
    must(!domain.parked || matchClass.hasParked, 'a class knows of its parked domains', key, domain.priority);
    const servable = free.size > 0 && !domain.parked;
    must(state.queue.active.has(domain) === servable, 'a domain is active if it can be served', key, domain.priority);
    if (servable) active += 1;
  }
  return active;
}

function checkTimers(state: SchedulerState): void {
  const { mono, wall } = state.timers;
  must(mono.firstMisplaced() === undefined, 'timers on the monotonic clock are in heap order');
  must(wall.firstMisplaced() === undefined, 'timers on the wall clock are in heap order');
  for (const timer of mono.nodes()) checkTimer(state, timer, 'mono');
  for (const timer of wall.nodes()) checkTimer(state, timer, 'wall');
}

function checkTimer(state: SchedulerState, timer: Timer, clock: 'mono' | 'wall'): void {
  const { target } = timer;
  must(Number.isFinite(timer.atMs), 'a timer has a time', timer.atMs);
  if (target === null) throw new Error(`invariant broken: a timer stands for something (${timer.atMs})`);
  if (target.kind === 'lease' || target.kind === 'hold') {
    const { worker } = target;
    must(clock === 'mono', 'leases and limits are on the monotonic clock', worker.workerId);
    must(state.incarnations.get(worker.incarnation) === worker, "a timer's worker is known", worker.workerId);
    if (target.kind === 'lease') {
      must(worker.lease === timer, 'a lease has one timer', worker.workerId);
      return;
    }
    const { hold } = target;
    must(worker.holds.get(hold.ref.taskId) === hold, "a limit's hold is held", worker.workerId, hold.ref.taskId);
    must(hold.limit === timer, 'a hold has one limit', worker.workerId, hold.ref.taskId);
    return;
  }
  const { task } = target;
  must(state.tasks.get(task.taskId) === task, "a timer's task has not ended", task.taskId);
  if (target.kind === 'due') {
    must(task.due === timer && task.state === 'SCHEDULED', 'only SCHEDULED is due', task.taskId, task.state);
    return;
  }
  must(clock === 'wall', 'deadlines are on the wall clock', task.taskId);
  must(task.deadline === timer, 'a task has one deadline', task.taskId);
  must(timer.atMs === task.deadlineWallMs, "a deadline's timer is at the deadline", task.taskId, timer.atMs);
}

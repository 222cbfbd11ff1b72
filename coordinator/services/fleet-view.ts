import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  AttemptCountsSchema,
  AttemptState,
  FleetTotalsSchema,
  GetFleetStatsResponseSchema,
  QueueSchema,
  StoreCountsSchema,
  type StoreCounts,
  TaskCountsSchema,
  TypeCountsSchema,
  WorkerAttemptSchema,
  WorkerCountsSchema,
  WorkerSchema,
  WorkerState,
  type FleetTotals,
  type GetFleetStatsResponse,
  type Queue,
  type TaskCounts,
  type Worker,
} from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { HeartbeatSchema, TaskTypeOfferSchema } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import type * as core from '../core/outputs.js';
import type { Engine } from '../engine.js';
import type { DiskRoom } from '../free-space.js';
import { drainView } from './drains.js';
import { timeView } from './task-view.js';

/** A worker as the contract shows it. */
export function workerView(view: core.WorkerView): Worker {
  const worker = create(WorkerSchema, {
    workerId: view.workerId,
    incarnation: view.incarnation,
    sessionNumber: view.sessionNumber,
    state: WorkerState[view.state],
    stateMessage: view.stateMessage,
    version: view.version,
    host: view.host,
    pid: view.pid,
    taskTypes: [...view.taskTypes].map(([type, slots]) => create(TaskTypeOfferSchema, { type, slots })),
    labels: { ...view.labels },
    slotCount: view.slots,
    prefetchCount: view.prefetch,
    slotUsedCount: view.slotsUsed,
    attempts: view.attempts.map(({ taskId, type, attempt, state, assignWallMs }) => {
      const assignTime = timestampFromMs(assignWallMs);
      return create(WorkerAttemptSchema, { taskId, type, attempt, state: AttemptState[state], assignTime });
    }),
    attemptDoneCount: view.attemptsDone,
  });
  setTimes(worker, view);
  if (view.load !== null) {
    const { cpuMillis, rssBytes, handlerLoopLagMs } = view.load;
    worker.heartbeat = create(HeartbeatSchema, { cpuMillis, rssBytes: BigInt(rssBytes), handlerLoopLagMs });
  }
  return worker;
}

function setTimes(worker: Worker, { connectWallMs, lastFrameWallMs, leaseEndWallMs }: core.WorkerView): void {
  const times = {
    connectTime: timeView(connectWallMs),
    lastFrameTime: timeView(lastFrameWallMs),
    leaseEndTime: timeView(leaseEndWallMs),
  };
  for (const field of ['connectTime', 'lastFrameTime', 'leaseEndTime'] as const) {
    const time = times[field];
    if (time !== undefined) worker[field] = time;
  }
}

/** A queue as the contract shows it. */
export function queueView(view: core.QueueView): Queue {
  const queue = create(QueueSchema, {
    type: view.type,
    tasks: countsView(view.tasks),
    readyWorkerCount: view.readyWorkers,
    slotCount: view.slots,
    slotFreeCount: view.slotsFree,
  });
  if (view.oldestReadyWallMs !== null) queue.oldestReadyTime = timestampFromMs(view.oldestReadyWallMs);
  return queue;
}

/** What the contract shows beside the core's counts. */
export interface StatsFrame {
  readonly version: string;
  readonly startWallMs: number;
  readonly store: ReturnType<Engine['storeCounts']>;
  readonly disk: Engine['disk'];
}

const MAX_DRAINS_SHOWN = 100;

/** The fleet's counts as the contract shows them. */
export function statsView(
  stats: core.FleetStatsView,
  { version, startWallMs, store, disk }: StatsFrame,
): GetFleetStatsResponse {
  const { workers } = stats;
  return create(GetFleetStatsResponseSchema, {
    version,
    startTime: timestampFromMs(startWallMs),
    tasks: countsView(stats.tasks),
    workers: create(WorkerCountsSchema, {
      readyCount: workers.ready,
      suspectCount: workers.suspect,
      drainingCount: workers.draining,
      disconnectedCount: workers.disconnected,
      slotCount: workers.slots,
      slotUsedCount: workers.slotsUsed,
    }),
    attempts: create(AttemptCountsSchema, {
      sentCount: stats.attempts.sent,
      heldCount: stats.attempts.held,
      startedCount: stats.attempts.started,
      cancellingCount: stats.attempts.cancelling,
      abandonedCount: stats.attempts.abandoned,
    }),
    totals: totalsView(stats.totals),
    store: create(StoreCountsSchema, {
      endedCount: BigInt(store.endedTasks),
      deadLetterCount: BigInt(store.deadLetters),
      usedBytes: BigInt(store.usedBytes),
      limitBytes: BigInt(store.limitBytes),
      ...(disk === null ? {} : diskView(disk)),
    }),
    drains: stats.drains.slice(0, MAX_DRAINS_SHOWN).map(drainView),
    types: stats.types.map(({ type, tasks, readyWorkers }) =>
      create(TypeCountsSchema, { type, tasks: countsView(tasks), readyWorkerCount: readyWorkers }),
    ),
  });
}

function countsView({ scheduled, queued, running }: Readonly<core.TaskCounts>): TaskCounts {
  return create(TaskCountsSchema, { scheduledCount: scheduled, queuedCount: queued, runningCount: running });
}

function diskView({ freeBytes, reusableBytes, minFreeBytes }: DiskRoom): Partial<StoreCounts> {
  return {
    freeBytes: BigInt(freeBytes),
    reusableBytes: BigInt(reusableBytes),
    minFreeBytes: BigInt(minFreeBytes),
  };
}

function totalsView(totals: Readonly<core.Totals>): FleetTotals {
  return create(FleetTotalsSchema, {
    submittedCount: BigInt(totals.submitted),
    assignedCount: BigInt(totals.assigned),
    retryCount: BigInt(totals.attemptsRetried),
    succeededCount: BigInt(totals.succeeded),
    cancelledCount: BigInt(totals.cancelled),
    expiredCount: BigInt(totals.expired),
    deadLetteredCount: BigInt(totals.deadLettered),
    failureCount: BigInt(totals.failures),
    crashCount: BigInt(totals.crashes),
    releaseCount: BigInt(totals.releases),
    workerLostCount: BigInt(totals.workersLost),
    reportRefusedCount: BigInt(totals.reportsRefused),
    reuseRate: reuseRate(totals),
    workerSuspectCount: BigInt(totals.suspicions),
    workerReturnCount: BigInt(totals.returns),
    workerSupersededCount: BigInt(totals.takeovers),
    zombieCount: BigInt(totals.zombies),
    revokeCount: BigInt(totals.revokes),
    refundCount: BigInt(totals.refunds),
    stallCount: BigInt(totals.stalls),
    stalledMs: BigInt(Math.round(totals.stalledMs)),
  });
}

/** Share of attempts that ran in a process which had already run one; 0 before the first. */
export function reuseRate({ attemptsStarted, attemptsReused }: Readonly<core.Totals>): number {
  return attemptsStarted === 0 ? 0 : attemptsReused / attemptsStarted;
}

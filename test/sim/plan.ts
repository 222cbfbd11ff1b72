import type { Content, TaskBody, TaskSpec } from '../../coordinator/core/task.js';
import type { OfferedType, OnStuck } from '../../worker/session-options.js';
import { MAX_DRIFT, wallAt } from './clock.js';
import type { FaultPlan } from './faults.js';
import type { Prng } from './random.js';

/** A place for a worker process: what is started there, and started again. */
export interface SeatPlan {
  readonly workerId: string;
  readonly slots: number;
  readonly prefetch: number;
  readonly onStuck: OnStuck;
  readonly taskTypes: readonly OfferedType[];
  readonly labels: Readonly<Record<string, string>>;
  /** Its supervisor names dead processes to their successors. */
  readonly namesTheDead: boolean;
}

/** One task, and what its client does about it. All times are simulated milliseconds. */
export interface TaskPlan {
  readonly taskId: string;
  readonly spec: TaskSpec;
  readonly body: TaskBody;
  readonly digest: string;
  readonly submitAtMs: number;
  /** Submits and asks later, submits and waits for the end, or does so on a stream that it shares with others. */
  readonly mode: 'submit' | 'run' | 'stream';
  /** Null: never. */
  readonly cancelAtMs: number | null;
  /** Unless it asks later: when the caller hangs up; whether that cancels the task. */
  readonly abandonAtMs: number | null;
  readonly cancelsOnAbandon: boolean;
  /** Submits once and never asks whether it arrived. */
  readonly careless: boolean;
  /** Submits something else under the same id once it is acknowledged. */
  readonly contradicts: boolean;
  /** How often it puts the task back in the queue when it is a dead letter. */
  readonly requeues: number;
  /** Deletes the task when it has ended; or tries before, maybe. */
  readonly deletes: boolean;
  readonly deletesEarly: boolean;
}

/** How handlers behave: shares of all attempts; the rest succeeds soon. */
export interface HandlerPlan {
  readonly slow: number;
  readonly fails: number;
  readonly failsForGood: number;
  readonly hangs: number;
  readonly ignoresAbort: number;
  readonly neverSettles: number;
}

/** How long things take in a run: seconds in most, hours in some. All in milliseconds. */
export interface SimPace {
  /** How long faults happen. */
  readonly faultsMs: number;
  /** How long after the last fault everything has to have ended. */
  readonly calmMs: number;
  /** How often somebody looks whether it has. */
  readonly lookMs: number;
  /** Handlers that are slow take up to so long. */
  readonly slowMs: number;
  /** Attempts may take up to so long. */
  readonly maxTimeoutMs: number;
  /** Clients look after their tasks every so often at the least. */
  readonly pollMs: number;
  /** How much rarer faults are than where everything happens within minutes. */
  readonly stretch: number;
}

/** Everything that one seed decides before the first event. */
export interface SimPlan {
  readonly pace: SimPace;
  readonly leaseMs: number;
  readonly stuckGraceMs: number;
  readonly latencyMs: number;
  readonly commitMs: number;
  readonly lostCalls: number;
  readonly balancing: 'least-loaded' | 'round-robin';
  readonly seats: readonly SeatPlan[];
  readonly tasks: readonly TaskPlan[];
  readonly faults: FaultPlan;
  /** How far each process's monotonic clock may be off, as a share of the time: 0.001 is a millisecond a second. */
  readonly drift: number;
  readonly handlers: HandlerPlan;
  /** Supervisors stand beside the coordinator, and tell it of processes that have ended. */
  readonly tellsOfEnds: boolean;
}

const TYPES = ['alpha', 'beta', 'gamma'] as const;

/**
 * Draws a run. Every knob is off in a good part of the seeds ("swarm testing", Groce et al. 2012): a fault that is always
 * on hides what happens without it.
 */
export function drawPlan(random: Prng): SimPlan {
  const takesHours = random.chance(0.03);
  const pace = takesHours ? drawHours(random) : drawMinutes(random);
  const seats = Array.from({ length: random.int(1, 5) }, (_, index) => drawSeat(random, index));
  const share = (most: number): number => (random.chance(0.5) ? random.between(0, most) : 0);
  const taskCount = takesHours ? random.int(5, 20) : random.int(10, 90);
  return {
    pace,
    // A heartbeat is an event: where hours pass, they are rarer.
    leaseMs: takesHours ? random.pick([60_000, 300_000]) : random.pick([2_000, 2_000, 4_000, 8_000, 15_000]),
    // Not below the lease's margin: the coordinator's own limit would then come before it judges a silent worker.
    stuckGraceMs: takesHours ? 30_000 : random.pick([2_000, 5_000, 10_000]),
    latencyMs: random.pick([0.2, 1, 20, 80]),
    commitMs: random.pick([0.5, 2, 20, 100]),
    lostCalls: random.chance(0.5) ? random.between(0, 0.2) : 0,
    balancing: random.pick(['least-loaded', 'round-robin']),
    seats,
    tasks: Array.from({ length: taskCount }, () => drawTask(random, pace)),
    faults: drawFaults(random, pace.stretch),
    drift: random.chance(0.5) ? random.between(0, MAX_DRIFT) : 0,
    handlers: {
      slow: share(0.6),
      fails: share(0.4),
      failsForGood: share(0.1),
      hangs: share(0.2),
      ignoresAbort: share(0.2),
      neverSettles: share(0.1),
    },
    tellsOfEnds: random.chance(0.5),
  };
}

function drawMinutes(random: Prng): SimPace {
  const faultsMs = random.int(30, 120) * 1_000;
  return {
    ...{ faultsMs, calmMs: 300_000, lookMs: 2_000, slowMs: 25_000 },
    ...{ maxTimeoutMs: 40_000, pollMs: 12_000, stretch: 1 },
  };
}

function drawHours(random: Prng): SimPace {
  const faultsMs = random.int(60, 120) * 60_000;
  const maxTimeoutMs = random.int(20, 60) * 60_000;
  return {
    // Handlers that ignore their signal take up to twice their time-out.
    ...{ faultsMs, calmMs: 3 * maxTimeoutMs + 1_800_000, lookMs: 30_000, slowMs: maxTimeoutMs * 1.2 },
    ...{ maxTimeoutMs, pollMs: 300_000, stretch: faultsMs / 75_000 },
  };
}

function drawFaults(random: Prng, stretch: number): FaultPlan {
  // Where everything happens at once, much is hidden that a few faults would show.
  const density = random.pick([0.3, 0.7, 1]);
  const often = (share: number, meanMs: number): number | null =>
    random.chance(share * density) ? meanMs * random.between(0.5, 3) * stretch : null;
  return {
    cut: often(0.6, 6_000),
    delay: often(0.6, 6_000),
    fade: often(0.3, 15_000),
    lateReport: often(0.4, 8_000),
    lateDial: often(0.3, 12_000),
    partition: often(0.4, 20_000),
    slowReader: often(0.4, 12_000),
    hostile: often(0.4, 6_000),
    workerCrash: often(0.6, 8_000),
    sameIncarnation: often(0.25, 15_000),
    clone: often(0.25, 25_000),
    workerStall: often(0.4, 10_000),
    // With it sessions ask twice a second whether handlers answer; for hours that would be all there is.
    handlerBlock: stretch > 1 ? null : often(0.4, 10_000),
    leave: often(0.5, 15_000),
    drain: often(0.4, 12_000),
    takeover: often(0.4, 15_000),
    unheardTakeover: often(0.3, 20_000),
    coordinatorCrash: often(0.6, 15_000),
    crashAtPoint: often(0.5, 12_000),
    coordinatorRestart: often(0.5, 12_000),
    restartTwice: often(0.25, 25_000),
    coordinatorStall: often(0.4, 15_000),
    slowCommit: often(0.6, 8_000),
    storeRefusal: often(0.4, 25_000),
    wallStep: often(0.3, 20_000),
  };
}

function drawSeat(random: Prng, index: number): SeatPlan {
  const slots = random.int(1, 4);
  // The first can do everything, so that nothing waits for ever.
  const types = TYPES.filter(() => index === 0 || random.chance(0.7));
  return {
    workerId: `w/${index}`,
    slots,
    prefetch: random.chance(0.5) ? random.int(1, 3) : 0,
    onStuck: random.chance(0.6) ? 'exit' : 'report',
    taskTypes: (types.length > 0 ? types : [TYPES[0]]).map((type) => ({
      type,
      slots: random.chance(0.3) ? random.int(1, slots) : 0,
      timeoutMs: random.chance(0.2) ? random.int(500, 5_000) : undefined,
    })),
    labels: index === 0 || random.chance(0.3) ? { zone: 'a' } : {},
    namesTheDead: random.chance(0.7),
  };
}

function drawTask(random: Prng, { faultsMs, maxTimeoutMs, stretch }: SimPace): TaskPlan {
  // Half of them come in bursts.
  const submitAtMs = random.chance(0.5) ? random.int(1, faultsMs) : random.int(0, 4) * Math.floor(faultsMs / 5) + 500;
  const taskId = random.uuid();
  const laterMs = (most: number): number => submitAtMs + random.int(0, most * stretch);
  const mode = random.pick(['submit', 'run', 'stream'] as const);
  const initialBackoffMs = random.int(50, 500);
  const data: Content = { contentType: 'application/json', data: Buffer.from(JSON.stringify(taskId)) };
  return {
    taskId,
    spec: {
      type: random.pick(TYPES),
      priority: random.pick([0, 10, 10, 50]),
      requiredLabels: random.chance(0.15) ? { zone: 'a' } : {},
      // Some outlast a lease by far, others do not.
      timeoutMs: random.chance(0.5) ? random.int(300, maxTimeoutMs / 10) : random.int(4_000, maxTimeoutMs),
      deadlineWallMs: random.chance(0.15) ? wallAt(laterMs(40_000)) : null,
      runTimeWallMs: random.chance(0.15) ? wallAt(laterMs(20_000)) : null,
      retry: {
        maxAttempts: random.pick([1, 2, 3, 4]),
        initialBackoffMs,
        maxBackoffMs: initialBackoffMs * 4,
        nonRetryableReasons: random.chance(0.2) ? ['SOMETIMES_FATAL'] : [],
      },
    },
    body: { payload: data, metadata: {}, traceparent: '' },
    digest: `of ${taskId}`,
    submitAtMs,
    mode,
    cancelAtMs: random.chance(0.1) ? laterMs(15_000) : null,
    abandonAtMs: mode !== 'submit' && random.chance(0.2) ? laterMs(15_000) : null,
    cancelsOnAbandon: random.chance(0.5),
    careless: mode === 'submit' && random.chance(0.1),
    contradicts: random.chance(0.05),
    requeues: random.chance(0.5) ? random.int(1, 2) : 0,
    deletes: random.chance(0.2),
    deletesEarly: mode === 'submit' && random.chance(0.05),
  };
}

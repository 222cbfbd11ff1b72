import type { FaultPlan } from './plan.js';
import type { Prng } from './random.js';
import type { SimClock, WallClock } from './clock.js';
import type { Direction, SimNetwork } from './network.js';
import type { SimSeat } from './sim-seat.js';
import type { StoreWeather } from './sim-store.js';
import type { Trace } from './trace.js';

/** What can be harmed. */
export interface Victims {
  readonly clock: SimClock;
  readonly random: Prng;
  readonly trace: Trace;
  readonly network: SimNetwork;
  readonly weather: StoreWeather;
  /** Of the coordinator's machine. */
  readonly wall: WallClock;
  readonly seats: readonly SimSeat[];
  /** Ends the coordinator's process; it comes back by itself. */
  readonly crashCoordinator: (silently: boolean) => void;
  /** Stops it in good order; it comes back by itself. */
  readonly restartCoordinator: (holdMs: number) => void;
}

const HOUR_MS = 3_600_000;
const DIRECTIONS: readonly Direction[] = ['both', 'toWorker', 'toCoordinator'];

/** Lets the planned faults happen, each at times of its own, until `untilMs`. */
export function scheduleFaults(plan: FaultPlan, untilMs: number, victims: Victims): void {
  const { clock, random } = victims;
  for (const [name, act] of Object.entries(FAULTS) as [keyof FaultPlan, (victims: Victims) => void][]) {
    const meanMs = plan[name];
    if (meanMs === null) continue;
    const next = (): void => {
      const waitMs = random.gap(meanMs);
      if (clock.nowMs + waitMs >= untilMs) return;
      clock.after(waitMs, () => {
        act(victims);
        next();
      });
    };
    next();
  }
}

const FAULTS: Readonly<Record<keyof FaultPlan, (victims: Victims) => void>> = {
  cut({ random, network, trace }) {
    const stream = oneOf(random, [...network.streams]);
    if (stream === undefined) return;
    const direction = random.pick(DIRECTIONS);
    const notices = (): number | null => (random.chance(0.4) ? null : random.pick([0, 50, random.between(0, 30_000)]));
    trace.add('FAULT', `cut ${stream.host} ${direction}`);
    stream.cut(direction, notices(), notices());
    if (random.chance(0.3)) network.isolate(stream.host, random.between(0, 25_000));
  },

  delay({ random, network, trace }) {
    const stream = oneOf(random, [...network.streams]);
    if (stream === undefined) return;
    const forMs = random.pick([500, 3_500, random.between(0, 25_000)]);
    const direction = random.pick(DIRECTIONS);
    trace.add('FAULT', `delay ${stream.host} ${direction} ${forMs.toFixed(0)}`);
    stream.hold(forMs, direction);
  },

  workerCrash({ random, seats }) {
    random.pick(seats).crash(random.chance(0.3));
  },

  coordinatorCrash({ random, crashCoordinator }) {
    crashCoordinator(random.chance(0.3));
  },

  coordinatorRestart({ clock, random, network, restartCoordinator }) {
    const stream = oneOf(random, [...network.streams]);
    restartCoordinator(random.pick([10_000, 30_000, 60_000]));
    // One that has heard of the hold, and cannot come back to a coordinator that is there again.
    if (stream === undefined || random.chance(0.5)) return;
    clock.after(random.between(0, 1_000), () => network.isolate(stream.host, random.between(0, 40_000)));
  },

  slowCommit({ clock, random, weather, trace }) {
    weather.stallMs = random.pick([500, 2_000, random.between(0, 12_000)]);
    trace.add('FAULT', `commits take ${weather.stallMs.toFixed(0)} more`);
    clock.after(random.between(0, 2_000), () => (weather.stallMs = 0));
  },

  leave({ random, seats }) {
    const worker = oneOf(random, random.pick(seats).alive);
    worker?.leave(random.pick([0, 1_000, 20_000]));
  },

  takeover({ random, seats, trace }) {
    const seat = random.pick(seats);
    trace.add('FAULT', `another process takes over ${seat.plan.workerId}`);
    seat.spawn();
  },

  busyStore({ clock, random, weather, trace }) {
    if (weather.busy) return;
    trace.add('FAULT', 'the store is busy');
    weather.busy = true;
    // The coordinator gives up after 30 s.
    clock.after(random.between(0, 10_000), () => (weather.busy = false));
  },

  wallStep({ random, wall, trace }) {
    const aheadMs = random.pick([
      0,
      random.between(-5_000, 5_000),
      random.between(-120_000, 120_000),
      HOUR_MS,
      -6 * HOUR_MS,
    ]);
    trace.add('FAULT', `the wall clock is set, and now ${(aheadMs / 1_000).toFixed(1)} s ahead`);
    wall.set(Math.round(aheadMs));
  },
};

function oneOf<T>(random: Prng, items: readonly T[]): T | undefined {
  return items.length === 0 ? undefined : random.pick(items);
}

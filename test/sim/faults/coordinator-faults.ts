import { CRASH_POINTS } from '../crash-points.js';
import { busyWorkerStream, standstillMs, type Fault } from './victims.js';

const HOUR_MS = 3_600_000;

/** Faults of the coordinator's process, its machine and its store. */
export const coordinatorFaults = {
  coordinatorCrash({ random, crashCoordinator }) {
    crashCoordinator(random.chance(0.3));
  },

  /** Between any two steps, or in the middle of one. */
  crashAtPoint({ random, coordinator, crashCoordinator }) {
    const silently = random.chance(0.3);
    coordinator().dieAt(random.pick(CRASH_POINTS), random.pick([0, 1, random.int(0, 12)]), () =>
      crashCoordinator(silently),
    );
  },

  coordinatorRestart(victims) {
    const { clock, random, network, restartCoordinator } = victims;
    const stream = busyWorkerStream(victims);
    restartCoordinator(random.pick([10_000, 30_000, 60_000]));
    // One that has heard of the hold, and cannot come back to a coordinator that is there again.
    if (stream === undefined || random.chance(0.5)) return;
    clock.after(random.between(0, 1_000), () => network.isolate(stream.host, random.between(0, 40_000)));
  },

  /** What was promised before a restart binds also the coordinator after the next. */
  restartTwice(victims) {
    const { clock, random, network, restartCoordinator, crashCoordinator } = victims;
    const stream = busyWorkerStream(victims);
    restartCoordinator(random.pick([30_000, 60_000]));
    // The first may find it still down.
    for (const mostMs of [4_000, 20_000]) clock.after(random.between(1_000, mostMs), () => crashCoordinator(false));
    if (stream === undefined) return;
    clock.after(random.between(500, 1_000), () => network.isolate(stream.host, random.between(20_000, 60_000)));
  },

  slowCommit({ clock, random, weather, trace }) {
    weather.stallMs = random.pick([500, 2_000, random.between(0, 12_000)]);
    trace.add('FAULT', `commits take ${weather.stallMs.toFixed(0)} more`);
    clock.after(random.between(0, 2_000), () => (weather.stallMs = 0));
  },

  /** Another program holds the database, or its disk is full; sometimes for longer than the coordinator waits. */
  storeRefusal({ clock, random, weather, trace }) {
    if (weather.refusal !== null) return;
    weather.refusal = random.pick(['BUSY', 'FULL']);
    trace.add('FAULT', `the store is ${weather.refusal}`);
    const forMs = random.pick([random.between(0, 10_000), random.between(0, 10_000), random.between(28_000, 90_000)]);
    clock.after(forMs, () => (weather.refusal = null));
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

  coordinatorStall({ random, coordinator }) {
    coordinator().stall(standstillMs(random));
  },
} satisfies Record<string, Fault>;

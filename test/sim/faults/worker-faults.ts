import { oneOf } from '../random.js';
import { busyWorkerStream, standstillMs, type Fault } from './victims.js';

/** Faults of worker processes, and what is none and as disturbing. */
export const workerFaults = {
  workerCrash({ random, seats }) {
    random.pick(seats).crash(random.chance(0.3));
  },

  /** Against the rules: an incarnation is one process's life. */
  sameIncarnation({ random, seats }) {
    random.pick(seats).crashAndKeepIncarnation(random.chance(0.3));
  },

  clone({ random, seats }) {
    random.pick(seats).clone(random.between(1_000, 40_000));
  },

  leave({ random, seats }) {
    const worker = oneOf(random, random.pick(seats).alive);
    worker?.leave(random.pick([0, 1_000, 20_000]));
  },

  drain({ operator }) {
    operator.drain();
  },

  takeover({ random, seats, trace }) {
    const seat = random.pick(seats);
    trace.add('FAULT', `another process takes over ${seat.plan.workerId}`);
    seat.spawn();
  },

  /** The loser is acknowledged for as long as the takeover is being written, and then hears nothing: not even that it has lost. */
  unheardTakeover(victims) {
    const { clock, random, seats, weather, network, trace } = victims;
    const stream = busyWorkerStream(victims);
    const seat = seats.find(({ alive }) => alive.some(({ name }) => name === stream?.host));
    if (stream === undefined || seat === undefined) return;
    trace.add('FAULT', `another process takes over ${seat.plan.workerId}, and ${stream.host} does not hear of it`);
    const writtenMs = random.between(2_000, 8_000);
    weather.stallMs = writtenMs;
    seat.spawn();
    // Only the takeover is slow, or what follows it too.
    clock.after(random.pick([400, 2 * writtenMs]), () => (weather.stallMs = 0));
    clock.after(writtenMs * random.between(0.5, 1.2), () => {
      stream.cut('both', null, null);
      network.isolate(stream.host, random.between(5_000, 40_000));
    });
  },

  workerStall({ random, seats }) {
    oneOf(random, random.pick(seats).alive)?.stall(standstillMs(random));
  },

  handlerBlock({ random, seats }) {
    oneOf(random, random.pick(seats).alive)?.block(standstillMs(random));
  },
} satisfies Record<string, Fault>;

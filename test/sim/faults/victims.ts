import type { SimClock, WallClock } from '../clock.js';
import type { HostileKind } from '../hostile-scripts.js';
import type { SimNetwork, SimStream } from '../network.js';
import { oneOf, type Prng } from '../random.js';
import type { SimCoordinator } from '../sim-coordinator.js';
import type { SimOperator } from '../sim-operator.js';
import type { SimSeat } from '../sim-seat.js';
import type { StoreWeather } from '../sim-store.js';
import type { Trace } from '../trace.js';

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
  readonly leaseMs: number;
  /** True if handlers run in this process. */
  readonly isBusy: (process: string) => boolean;
  readonly operator: SimOperator;
  /** The one that lives now. */
  readonly coordinator: () => SimCoordinator;
  /** Starts a process that speaks the protocol by hand. */
  readonly dialHostile: (kind: HostileKind) => void;
  /** Ends the coordinator's process; it comes back by itself. */
  readonly crashCoordinator: (silently: boolean) => void;
  /** Stops it in good order; it comes back by itself. */
  readonly restartCoordinator: (holdMs: number) => void;
}

/** One occurrence of a fault. */
export type Fault = (victims: Victims) => void;

/** From a hiccup to longer than any lease, in milliseconds. */
export function standstillMs(random: Prng): number {
  return random.pick([random.between(600, 5_000), random.between(600, 20_000), random.between(600, 60_000)]);
}

/** A stream of a worker, one whose handlers run if there is one: it has something to lose. */
export function busyWorkerStream({ random, network, seats, isBusy }: Victims): SimStream | undefined {
  const workers = new Set(seats.flatMap(({ alive }) => alive.map(({ name }) => name)));
  const streams = [...network.streams].filter(({ host }) => workers.has(host));
  return (
    oneOf(
      random,
      streams.filter(({ host }) => isBusy(host)),
    ) ?? oneOf(random, streams)
  );
}

import { fromBinary } from '@bufbuild/protobuf';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { ConnectRequestSchema } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { SCRIPTS, type HostileKind } from '../hostile-scripts.js';
import type { Direction } from '../network.js';
import { oneOf } from '../random.js';
import { busyWorkerStream, type Fault } from './victims.js';

const HOSTILE_KINDS = Object.keys(SCRIPTS) as HostileKind[];
const DIRECTIONS: readonly Direction[] = ['both', 'toWorker', 'toCoordinator'];

/** Faults of the network between workers and coordinator. */
export const networkFaults = {
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

  /** The last acknowledgement comes late, and nothing that is said after what it is of arrives: whose lease counts from when? */
  fade(victims) {
    const { clock, random, network, trace, leaseMs } = victims;
    const stream = busyWorkerStream(victims);
    if (stream === undefined) return;
    const lateMs = leaseMs * random.between(0.3, 0.9);
    trace.add('FAULT', `${stream.host} hears late by ${lateMs.toFixed(0)}, and is soon not heard`);
    stream.hold(lateMs, 'toWorker');
    // Until then something arrives that is worth an acknowledgement.
    clock.after(lateMs * random.between(0, 0.9), () => {
      stream.cut('toCoordinator', null, null);
      network.isolate(stream.host, random.between(5_000, 40_000));
    });
  },

  /** The line fails just as a report leaves, which then arrives about when the coordinator has judged by itself, or not at all. */
  lateReport(victims) {
    const { random, network, trace, leaseMs } = victims;
    const stream = busyWorkerStream(victims);
    if (stream === undefined) return;
    const isAny = random.chance(0.3);
    const forMs = leaseMs + random.between(-500, 1_500);
    const isKept = random.chance(0.6);
    const fits = (bytes: Uint8Array): boolean =>
      fromBinary(ConnectRequestSchema, bytes).reports.some(
        ({ outcome }) => isAny || outcome === AttemptOutcome.TIMED_OUT,
      );
    trace.add('FAULT', `the line of ${stream.host} is to fail at its next report`);
    stream.whenWorkerSends(fits, () => {
      trace.add('FAULT', `the report of ${stream.host} is ${isKept ? 'late' : 'lost'}, ${forMs.toFixed(0)}`);
      if (isKept) {
        stream.hold(forMs, 'toCoordinator');
      } else {
        stream.cut('both', null, null);
        network.isolate(stream.host, forMs);
      }
    });
  },

  /** Of two streams of one process the older may be heard last. */
  lateDial({ random, network, trace }) {
    const stream = oneOf(random, [...network.streams]);
    if (stream === undefined) return;
    const forMs = random.between(1_000, 12_000);
    trace.add('FAULT', `cut ${stream.host}, whose next dial is ${forMs.toFixed(0)} late`);
    network.delayDial(stream.host, forMs);
    stream.cut('both', 0, 0);
  },

  /** A switch, or a proxy that forwards one direction: of some machines, for longer than most leases. */
  partition({ random, network, seats, trace }) {
    const ids = seats.map(({ plan }) => plan.workerId).filter(() => random.chance(0.6));
    if (ids.length === 0) return;
    const forMs = random.pick([1_000, random.between(1_000, 20_000), random.between(1_000, 70_000)]);
    const direction = random.pick(DIRECTIONS);
    trace.add('FAULT', `partition of ${ids.join(' ')} ${direction} ${forMs.toFixed(0)}`);
    network.partition((host) => ids.some((workerId) => host.startsWith(`${workerId}~`)), forMs, direction);
  },

  hostile({ random, dialHostile }) {
    dialHostile(random.pick(HOSTILE_KINDS));
  },

  slowReader({ random, network, trace }) {
    const stream = oneOf(random, [...network.streams]);
    if (stream === undefined) return;
    const forMs = random.between(2_000, 60_000);
    const gapMs = random.pick([50, 400, random.between(50, 5_000)]);
    const direction = random.pick(DIRECTIONS);
    trace.add('FAULT', `${stream.host} ${direction}: a frame each ${gapMs.toFixed(0)} for ${forMs.toFixed(0)}`);
    stream.slow(forMs, gapMs, direction);
  },
} satisfies Record<string, Fault>;

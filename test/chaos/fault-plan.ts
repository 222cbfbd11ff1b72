import { Prng } from '../sim/random.js';

/** What is done to the fleet. */
export type FaultKind =
  /** kill -9. */
  | 'kill'
  /** kill -9 of the coordinator and of a worker in the same moment. */
  | 'kill-pair'
  /** SIGSTOP, and SIGCONT later. */
  | 'stop'
  /** SIGTERM: the coordinator announces its restart, a worker drains. It is started again. */
  | 'restart'
  /** Connections end by FIN, or by RST. */
  | 'cut-fin'
  | 'cut-reset'
  /** Bytes arrive late. */
  | 'delay'
  /** Nothing passes towards the coordinator, away from it, or either way. */
  | 'hold-up'
  | 'hold-down'
  | 'hold-both'
  /** Connections end, and new ones are reset. */
  | 'refuse'
  /** Not a byte is left where the store is. */
  | 'fill-disk';

/** One fault, decided before anything runs. */
export interface PlannedFault {
  /** From the beginning, in milliseconds. */
  readonly atMs: number;
  readonly kind: FaultKind;
  /** Whom it is done to; of `kill-pair` the worker. */
  readonly seat: string;
  /** How long it lasts; 0 for what is done in a moment. */
  readonly durationMs: number;
  /** How late bytes arrive, for `delay`. */
  readonly delayMs: number;
}

/** Who there is to be hurt. */
export interface FaultTargets {
  /** Seats of worker processes, those of supervised ones included. */
  readonly workers: readonly string[];
  readonly supervisors: readonly string[];
  readonly clients: readonly string[];
  readonly coordinator: string;
  /** Seats that dial through a link. */
  readonly links: readonly string[];
  readonly canFillDisk: boolean;
}

/** How much is to happen. */
export interface FaultTerms {
  readonly seed: number;
  readonly forMs: number;
  /** Mean time between two faults; they come independently of each other. */
  readonly gapMs: number;
  /** What the coordinator grants, in milliseconds. */
  readonly leaseMs: number;
}

type Draw = (
  prng: Prng,
  targets: FaultTargets,
  leaseMs: number,
) => Pick<PlannedFault, 'kind' | 'seat'> & {
  readonly durationMs?: number;
  readonly delayMs?: number;
};

/** Of a hundred faults. Close to half of them are kills. */
const DRAWS: readonly (readonly [weight: number, draw: Draw])[] = [
  [24, (prng, { workers }) => ({ kind: 'kill', seat: prng.pick(workers) })],
  [11, (_prng, { coordinator }) => ({ kind: 'kill', seat: coordinator })],
  [3, (prng, { supervisors }) => ({ kind: 'kill', seat: prng.pick(supervisors) })],
  [5, (prng, { clients }) => ({ kind: 'kill', seat: prng.pick(clients) })],
  [3, (prng, { workers }) => ({ kind: 'kill-pair', seat: prng.pick(workers) })],
  [11, (prng, { workers }, leaseMs) => ({ kind: 'stop', seat: prng.pick(workers), durationMs: stopMs(prng, leaseMs) })],
  [5, (prng, { coordinator }, leaseMs) => ({ kind: 'stop', seat: coordinator, durationMs: stopMs(prng, leaseMs) })],
  [
    3,
    (prng, { supervisors, clients }, leaseMs) => ({
      kind: 'stop',
      seat: prng.pick([...supervisors, ...clients]),
      durationMs: stopMs(prng, leaseMs),
    }),
  ],
  [4, (_prng, { coordinator }) => ({ kind: 'restart', seat: coordinator })],
  [4, (prng, { workers, supervisors }) => ({ kind: 'restart', seat: prng.pick([...workers, ...supervisors]) })],
  [6, (prng, { links }) => ({ kind: prng.pick(['cut-fin', 'cut-reset'] as const), seat: prng.pick(links) })],
  [
    6,
    (prng, { links }) => ({
      kind: 'delay',
      seat: prng.pick(links),
      durationMs: prng.int(500, 10_000),
      delayMs: prng.int(20, 1_500),
    }),
  ],
  [
    9,
    (prng, { links }, leaseMs) => ({
      kind: prng.pick(['hold-up', 'hold-down', 'hold-both'] as const),
      seat: prng.pick(links),
      durationMs: stopMs(prng, leaseMs),
    }),
  ],
  [3, (prng, { links }, leaseMs) => ({ kind: 'refuse', seat: prng.pick(links), durationMs: stopMs(prng, leaseMs) })],
  [3, (prng, { coordinator }) => ({ kind: 'fill-disk', seat: coordinator, durationMs: fullMs(prng) })],
];

const WEIGHTS_TOTAL = DRAWS.reduce((sum, [weight]) => sum + weight, 0);

/** Decides all faults of a run: the same for the same terms and targets. */
export function planFaults(targets: FaultTargets, { seed, forMs, gapMs, leaseMs }: FaultTerms): PlannedFault[] {
  const prng = new Prng(seed);
  const plan: PlannedFault[] = [];
  for (let atMs = prng.gap(gapMs); atMs < forMs; atMs += prng.gap(gapMs)) {
    // A stream for each, so that what one fault draws moves no other.
    const drawn = drawFault(prng.fork(), targets, leaseMs);
    if (drawn.kind === 'fill-disk' && !targets.canFillDisk) continue;
    plan.push({ durationMs: 0, delayMs: 0, ...drawn, atMs });
  }
  return plan;
}

function drawFault(prng: Prng, targets: FaultTargets, leaseMs: number): ReturnType<Draw> {
  let left = prng.next() * WEIGHTS_TOTAL;
  const [, draw] = DRAWS.find(([weight]) => (left -= weight) < 0) ?? DRAWS[0]!;
  return draw(prng, targets, leaseMs);
}

/** Mostly a hiccup; now and then about as long as a lease, or beyond it. */
function stopMs(prng: Prng, leaseMs: number): number {
  const share = prng.next();
  if (share < 0.55) return prng.int(200, 1_000);
  if (share < 0.8) return Math.round(leaseMs * prng.between(0.7, 1.5));
  return Math.round(leaseMs * prng.between(1.5, 3));
}

/** Mostly shorter than the 30 s for which a coordinator tries again. */
function fullMs(prng: Prng): number {
  return prng.chance(0.15) ? prng.int(31_000, 36_000) : prng.int(300, 9_000);
}

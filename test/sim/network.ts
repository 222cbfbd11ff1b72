import type { SimClock } from './clock.js';
import type { Prng } from './random.js';
import type { StreamEnd } from '../../client/frame-stream.js';

/** What travels along a stream. */
type Item =
  | { readonly t: 'open' }
  | { readonly t: 'frame'; readonly bytes: Uint8Array }
  | { readonly t: 'end'; readonly end: StreamEnd };

/** One end of a stream, as its host sees it. */
export interface StreamSide {
  onFrame(bytes: Uint8Array): void;
  /** Once: the stream is over, and the other end or the network said so. */
  onEnd(end: StreamEnd): void;
  onWritable(): void;
}

/** Who takes new streams. */
export interface StreamAcceptor {
  /** @returns Its side of the stream; undefined: nobody is there. */
  accept(stream: SimStream): StreamSide | undefined;
}

const GONE: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'connection lost' };
const REFUSED: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'connection refused' };
/** Frames that the sender's side takes before it asks to wait. */
const WINDOW = 8;

/** One direction of a stream: in order, each item after its latency, nothing once it is broken. */
class Pipe {
  #items: { readonly item: Item; readonly readyMs: number }[] = [];
  #heldUntilMs = 0;
  #broken = false;
  #pumping = false;

  constructor(
    private readonly clock: SimClock,
    private readonly latencyMs: () => number,
    private readonly deliver: (item: Item) => void,
    private readonly duplicates: () => boolean,
  ) {}

  /** False while the network asks the sender to wait. */
  get takes(): boolean {
    return this.#items.length < WINDOW;
  }

  send(item: Item): void {
    this.#items.push({ item, readyMs: this.clock.nowMs + this.latencyMs() });
    if (item.t === 'frame' && this.duplicates()) this.#items.push({ item, readyMs: this.clock.nowMs });
    this.#pump();
  }

  /** What is on its way arrives no earlier. */
  hold(untilMs: number): void {
    this.#heldUntilMs = Math.max(this.#heldUntilMs, untilMs);
  }

  /** Nothing arrives any more, and nobody is told. */
  break(): void {
    this.#broken = true;
  }

  #pump(): void {
    const next = this.#items[0];
    if (this.#pumping || this.#broken || next === undefined) return;
    this.#pumping = true;
    const waitMs = Math.max(next.readyMs, this.#heldUntilMs) - this.clock.nowMs;
    this.clock.after(waitMs, () => {
      this.#pumping = false;
      if (this.#broken) return;
      if (this.clock.nowMs >= this.#heldUntilMs) {
        this.#items.shift();
        this.deliver(next.item);
      }
      this.#pump();
    });
  }
}

/** A stream between a worker process and a coordinator process. */
export class SimStream {
  readonly #toCoordinator: Pipe;
  readonly #toWorker: Pipe;
  #worker: StreamSide | null;
  #coordinator: StreamSide | null = null;

  constructor(
    private readonly network: SimNetwork,
    /** Who dialled, for the trace. */
    readonly host: string,
    worker: StreamSide,
  ) {
    const { clock, random } = network;
    const latencyMs = (): number => network.latencyMs * random.between(0.5, 2);
    const duplicates = (): boolean => random.chance(network.duplicateShare);
    this.#worker = worker;
    this.#toCoordinator = new Pipe(clock, latencyMs, (item) => this.#atCoordinator(item), duplicates);
    this.#toWorker = new Pipe(clock, latencyMs, (item) => this.#atWorker(item), duplicates);
    this.#toCoordinator.send({ t: 'open' });
  }

  /** True if the worker may write a frame now. */
  get takesFromWorker(): boolean {
    return this.#toCoordinator.takes;
  }

  /** True if the coordinator may write a frame now. */
  get takesFromCoordinator(): boolean {
    return this.#toWorker.takes;
  }

  fromWorker(bytes: Uint8Array): void {
    this.#toCoordinator.send({ t: 'frame', bytes });
  }

  fromCoordinator(bytes: Uint8Array): void {
    this.#toWorker.send({ t: 'frame', bytes });
  }

  /** The worker's side is closed, by its host or because its process died; `silently`: the whole machine died. */
  closeFromWorker(silently = false): void {
    this.#worker = null;
    this.network.streams.delete(this);
    if (!silently) this.#toCoordinator.send({ t: 'end', end: GONE });
  }

  /** As {@link closeFromWorker}. */
  closeFromCoordinator(end: StreamEnd, silently = false): void {
    this.#coordinator = null;
    if (!silently) this.#toWorker.send({ t: 'end', end });
    this.network.streams.delete(this);
  }

  /** Frames of one direction, or both, are late. */
  hold(forMs: number, direction: Direction): void {
    const untilMs = this.network.clock.nowMs + forMs;
    if (direction !== 'toWorker') this.#toCoordinator.hold(untilMs);
    if (direction !== 'toCoordinator') this.#toWorker.hold(untilMs);
  }

  /** Nothing gets through in this direction, or both; each side notices after a while, or never (null). */
  cut(direction: Direction, workerNoticesMs: number | null, coordinatorNoticesMs: number | null): void {
    if (direction !== 'toWorker') this.#toCoordinator.break();
    if (direction !== 'toCoordinator') this.#toWorker.break();
    const { clock } = this.network;
    if (workerNoticesMs !== null) clock.after(workerNoticesMs, () => this.#endWorker(GONE));
    if (coordinatorNoticesMs !== null) clock.after(coordinatorNoticesMs, () => this.#endCoordinator(GONE));
  }

  #atCoordinator(item: Item): void {
    if (item.t === 'open') {
      this.#coordinator = this.network.acceptor?.accept(this) ?? null;
      if (this.#coordinator === null) this.#toWorker.send({ t: 'end', end: REFUSED });
      return;
    }
    if (item.t === 'end') this.#endCoordinator(item.end);
    else this.#coordinator?.onFrame(item.bytes);
    this.#worker?.onWritable();
  }

  #atWorker(item: Item): void {
    if (item.t === 'end') this.#endWorker(item.end);
    else if (item.t === 'frame') this.#worker?.onFrame(item.bytes);
    this.#coordinator?.onWritable();
  }

  #endWorker(end: StreamEnd): void {
    const worker = this.#worker;
    this.#worker = null;
    this.network.streams.delete(this);
    worker?.onEnd(end);
  }

  #endCoordinator(end: StreamEnd): void {
    const coordinator = this.#coordinator;
    this.#coordinator = null;
    coordinator?.onEnd(end);
  }
}

export type Direction = 'both' | 'toWorker' | 'toCoordinator';

/** Carries streams from workers to whoever is the coordinator now. */
export class SimNetwork {
  /** Streams that can still be harmed. */
  readonly streams = new Set<SimStream>();
  acceptor: StreamAcceptor | null = null;
  /** Share of frames that arrive twice. A stream never does that; for proofs that the simulation would notice. */
  duplicateShare = 0;
  readonly #unreachable = new Map<string, number>();

  constructor(
    readonly clock: SimClock,
    readonly random: Prng,
    readonly latencyMs: number,
  ) {}

  dial(host: string, worker: StreamSide): SimStream {
    const stream = new SimStream(this, host, worker);
    this.streams.add(stream);
    // What it says gets lost, until it gives up by itself.
    if ((this.#unreachable.get(host) ?? 0) > this.clock.nowMs) stream.cut('both', null, null);
    return stream;
  }

  /** Dials of this host get no answer for a while. */
  isolate(host: string, forMs: number): void {
    this.#unreachable.set(host, this.clock.nowMs + forMs);
  }

  /** All hosts can be reached again. */
  heal(): void {
    this.#unreachable.clear();
  }
}

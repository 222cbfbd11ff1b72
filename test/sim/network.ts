import type { SimClock } from './clock.js';
import type { Prng } from './random.js';
import type { StreamEnd } from '../../client/frame-stream.js';
import { Pipe, type Item } from './pipe.js';

/** One end of a stream, as its host sees it. */
export interface StreamSide {
  /** False while its process stands still: then frames wait, and the window fills. */
  readonly reads: () => boolean;
  /** Its dial was answered. */
  onOpen?(): void;
  /** The other process answers a ping. */
  onPong?(): void;
  onFrame(bytes: Uint8Array): void;
  /** Once: the stream is over, and the other end or the network said so. */
  onEnd(end: StreamEnd): void;
  onWritable(): void;
}

/** Who takes new streams. */
export interface StreamAcceptor {
  /** As {@link StreamSide.reads}, of streams that it has not taken yet. */
  readonly reads: () => boolean;
  /** @returns Its side of the stream; undefined: nobody is there. */
  accept(stream: SimStream): StreamSide | undefined;
}

const GONE: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'connection lost' };
const REFUSED: StreamEnd = { code: 'UNAVAILABLE', reason: '', message: 'connection refused' };

/** What streams are for: one of a worker's session, or one of a client's tasks. */
export type StreamService = 'worker' | 'tasks';

/** A stream between a coordinator's process, and that of a worker or, in the same place, a client. */
export class SimStream {
  readonly #toCoordinator: Pipe;
  readonly #toWorker: Pipe;
  #worker: StreamSide | null;
  #coordinator: StreamSide | null = null;
  /** Whose kernel has its dial, while that process stands still. */
  #waitsFor: StreamAcceptor | null = null;
  #watch: { readonly fits: (bytes: Uint8Array) => boolean; readonly act: () => void } | null = null;
  /** For how long what follows the dial is on its way. */
  #lateMs = 0;

  constructor(
    private readonly network: SimNetwork,
    /** Who dialled, for the trace. */
    readonly host: string,
    worker: StreamSide,
    private readonly service: StreamService,
  ) {
    const { clock, random } = network;
    const latencyMs = (): number => network.latencyMs * random.between(0.5, 2);
    // Large frames fill it one by one.
    const window = random.pick([1, 2, 8]);
    const common = { clock, latencyMs, window };
    this.#worker = worker;
    this.#toCoordinator = new Pipe({
      ...common,
      deliver: (item) => this.#atCoordinator(item),
      reads: ({ t }) => {
        const reads = t === 'open' ? this.#isAccepted() : (this.#coordinator?.reads() ?? true);
        if (!reads) network.waiting.add(this);
        return reads;
      },
    });
    this.#toWorker = new Pipe({
      ...common,
      deliver: (item) => this.#atWorker(item),
      reads: () => this.#worker?.reads() ?? true,
    });
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
    if (this.#watch?.fits(bytes) === true) {
      const { act } = this.#watch;
      this.#watch = null;
      act();
    }
    this.#toCoordinator.send({ t: 'frame', bytes });
  }

  /** Asks the other side's process for a sign of life. */
  ping(): void {
    this.#toCoordinator.send({ t: 'ping' });
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

  /** The worker's process goes on after a standstill. */
  workerReads(): void {
    this.#toWorker.pump();
  }

  /** As {@link workerReads}. */
  coordinatorReads(): void {
    this.#toCoordinator.pump();
  }

  /** One side, or both, takes a frame only every `gapMs`, for a while: the window is full meanwhile. */
  slow(forMs: number, gapMs: number, direction: Direction): void {
    const untilMs = this.network.clock.nowMs + forMs;
    if (direction !== 'toWorker') this.#toCoordinator.slow(untilMs, gapMs);
    if (direction !== 'toCoordinator') this.#toWorker.slow(untilMs, gapMs);
  }

  /** Frames of one direction, or both, are late. */
  hold(forMs: number, direction: Direction): void {
    const untilMs = this.network.clock.nowMs + forMs;
    if (direction !== 'toWorker') this.#toCoordinator.hold(untilMs);
    if (direction !== 'toCoordinator') this.#toWorker.hold(untilMs);
  }

  /** Something happens to the line just as the worker writes such a frame: once, and before the frame is on its way. */
  whenWorkerSends(fits: (bytes: Uint8Array) => boolean, act: () => void): void {
    this.#watch = { fits, act };
  }

  /** What comes after its dial is late. */
  holdAfterDial(forMs: number): void {
    this.#lateMs = forMs;
  }

  /** Nothing gets through in this direction, or both; each side notices after a while, or never (null). */
  cut(direction: Direction, workerNoticesMs: number | null, coordinatorNoticesMs: number | null): void {
    if (direction !== 'toWorker') this.#toCoordinator.break();
    if (direction !== 'toCoordinator') this.#toWorker.break();
    const { clock } = this.network;
    if (workerNoticesMs !== null) clock.after(workerNoticesMs, () => this.#endWorker(GONE));
    if (coordinatorNoticesMs !== null) clock.after(coordinatorNoticesMs, () => this.#endCoordinator(GONE));
  }

  /** True if its dial can be answered now. One that waits to be is known to the process that stands still, and dies with it. */
  #isAccepted(): boolean {
    const acceptor = this.network.acceptors[this.service];
    if (acceptor === null || acceptor.reads()) return true;
    this.#waitsFor ??= acceptor;
    return false;
  }

  #atCoordinator(item: Item): void {
    if (item.t === 'open') {
      const acceptor = this.network.acceptors[this.service];
      // What a process hung up before anybody knew of it never was.
      const isDead = this.#waitsFor === null ? this.#worker === null : this.#waitsFor !== acceptor;
      this.#coordinator = isDead ? null : (acceptor?.accept(this) ?? null);
      if (this.#coordinator === null) this.#toWorker.send({ t: 'end', end: REFUSED });
      else if (this.service === 'tasks') this.#toWorker.send({ t: 'opened' });
      if (this.#lateMs > 0) this.hold(this.#lateMs, 'toCoordinator');
      return;
    }
    if (item.t === 'end') this.#endCoordinator(item.end);
    else if (item.t === 'frame') this.#coordinator?.onFrame(item.bytes);
    else if (this.#coordinator !== null) this.#toWorker.send({ t: 'pong' });
    this.#worker?.onWritable();
  }

  #atWorker(item: Item): void {
    if (item.t === 'end') this.#endWorker(item.end);
    else if (item.t === 'frame') this.#worker?.onFrame(item.bytes);
    else if (item.t === 'opened') this.#worker?.onOpen?.();
    else this.#worker?.onPong?.();
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

/** Streams of some hosts, also those to come, of which one direction or both does not work for a while. */
interface Partition {
  readonly separates: (host: string) => boolean;
  readonly untilMs: number;
  readonly direction: Direction;
}

/** Carries streams from workers to whoever is the coordinator now. */
export class SimNetwork {
  /** Streams that can still be harmed. */
  readonly streams = new Set<SimStream>();
  /** Streams with something that the coordinator's process does not read, hung up ones too. */
  readonly waiting = new Set<SimStream>();
  readonly acceptors: Record<StreamService, StreamAcceptor | null> = { worker: null, tasks: null };
  readonly #unreachable = new Map<string, number>();
  /** How late the next stream of a host is heard. */
  readonly #late = new Map<string, number>();
  #partitions: Partition[] = [];

  constructor(
    readonly clock: SimClock,
    readonly random: Prng,
    readonly latencyMs: number,
  ) {}

  dial(host: string, worker: StreamSide, service: StreamService = 'worker'): SimStream {
    const { nowMs } = this.clock;
    const stream = new SimStream(this, host, worker, service);
    this.streams.add(stream);
    // What it says gets lost, until it gives up by itself.
    if ((this.#unreachable.get(host) ?? 0) > nowMs) stream.cut('both', null, null);
    const lateMs = this.#late.get(host);
    if (lateMs !== undefined) stream.holdAfterDial(lateMs);
    this.#late.delete(host);
    this.#partitions = this.#partitions.filter(({ untilMs }) => untilMs > nowMs);
    for (const { separates, untilMs, direction } of this.#partitions) {
      if (separates(host)) stream.hold(untilMs - nowMs, direction);
    }
    return stream;
  }

  /**
   * What the next stream of this host says arrives so late that another may have been dialled by then: a proxy has answered the dial
   * and kept the rest.
   */
  delayDial(host: string, forMs: number): void {
    this.#late.set(host, forMs);
  }

  /** Dials of this host get no answer for a while. */
  isolate(host: string, forMs: number): void {
    this.#unreachable.set(host, this.clock.nowMs + forMs);
  }

  /**
   * Nothing of these hosts gets through for a while, in this direction or both. Afterwards each stream goes on, because somebody
   * has kept its bytes, or is reset.
   */
  partition(separates: (host: string) => boolean, forMs: number, direction: Direction): void {
    this.#partitions.push({ separates, untilMs: this.clock.nowMs + forMs, direction });
    for (const stream of this.streams) if (separates(stream.host)) stream.hold(forMs, direction);
    this.clock.after(forMs, () => {
      for (const stream of [...this.streams]) {
        if (separates(stream.host) && this.random.chance(0.4)) stream.cut('both', 0, 0);
      }
    });
  }

  /** The coordinator's process goes on, or is gone: what has waited for it moves. */
  pumpAll(): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const stream of waiting) stream.coordinatorReads();
  }

  /** All hosts can be reached again. */
  heal(): void {
    this.#unreachable.clear();
    this.#late.clear();
    this.#partitions = [];
  }
}

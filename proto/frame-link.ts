/**
 * The frame layer of WorkerService.Connect, one end of one stream; both ends use it. What it knows of the protocol is in the
 * comment of `Connect` in `worker_service.proto`: numbering, acknowledgements, how much shares a frame. It does nothing by
 * itself: no I/O, no timers, no clock.
 *
 * ```
 *   enqueue --> [control lane] --.
 *                                 >-- nextFrame --> in flight --- receive(ack) --> acknowledged
 *   enqueue --> [data lane] -----'
 *                  |
 *                  '-- takeBack
 * ```
 */
import { Fifo } from './fifo.js';
import { FleetError } from './fleet-error.js';

/** Bounds and periods of a link. */
export interface FrameLinkLimits {
  /** Elements that wait for a frame. Default 1,024. */
  readonly maxQueued: number;
  /** Their bytes. Default 4 MiB; one larger element may wait alone. */
  readonly maxQueuedBytes: number;
  /** Bytes of the elements that share a frame; one larger element goes alone. Default 256 KiB, as the contract says. */
  readonly maxFrameBytes: number;
  /**
   * Elements in frames that are not acknowledged. Default 4,096. An element is remembered until its frame is acknowledged,
   * so without a bound a peer that reads and never acknowledges would make us remember all that it was ever told. At the
   * bound elements wait in the queue, whose own bound then ends the stream.
   */
  readonly maxInFlight: number;
  /**
   * How long an arrival waits for a frame of ours to carry its acknowledgement. Default 100 ms: the contract allows 200, and
   * the host may look only every 100.
   */
  readonly ackDelayMs: number;
  /** Arrivals after which an acknowledgement does not wait at all, so that a one-sided flow is not held up. Default 64. */
  readonly ackAfterFrames: number;
}

/** The defaults of {@link FrameLinkLimits}. */
export const FRAME_LINK_LIMITS = {
  maxQueued: 1_024,
  maxQueuedBytes: 4 * 1024 * 1024,
  maxFrameBytes: 256 * 1024,
  maxInFlight: 4_096,
  ackDelayMs: 100,
  ackAfterFrames: 64,
} as const satisfies FrameLinkLimits;

/** Control goes before data; within a lane the order stays. */
export type Lane = 'control' | 'data';

/** A frame to write. */
export interface OutgoingFrame<E> {
  /** Counted from 1; 0 for a bare acknowledgement. */
  readonly seq: bigint;
  /** Highest seq that has arrived. */
  readonly ack: bigint;
  /** At least one, unless seq is 0: control before data. */
  readonly elements: readonly E[];
}

/** What an arriving frame means for the link. */
export interface Arrival<E> {
  /** False for a bare acknowledgement, which must say nothing. */
  readonly fresh: boolean;
  /** Elements of ours whose frames the peer acknowledges with this frame, in the order sent. */
  readonly acked: readonly E[];
  /** When the newest frame that it acknowledges was sent: a worker's lease counts from it. Undefined: it acknowledges none. */
  readonly ackedSentMs: number | undefined;
}

interface Queued<E> {
  readonly element: E;
  readonly bytes: number;
}

interface InFlight<E> {
  readonly seq: number;
  readonly sentMs: number;
  readonly elements: readonly E[];
}

const NONE: readonly never[] = [];

/** See the head of this file. Every operation is O(1) amortised, but for {@link FrameLink.takeBack}. */
export class FrameLink<E> {
  readonly #limits: FrameLinkLimits;
  readonly #control = new Fifo<Queued<E>>();
  readonly #data = new Fifo<Queued<E>>();
  readonly #inFlight = new Fifo<InFlight<E>>();
  #queuedBytes = 0;
  #inFlightCount = 0;
  #sentSeq = 0;
  #ackedSeq = 0;
  #receivedSeq = 0;
  /** Frames that have arrived since the last acknowledgement of ours. */
  #arrivals = 0;
  #ackDueMs: number | undefined;

  /** @param limits What differs from {@link FRAME_LINK_LIMITS}. */
  constructor(limits: Partial<FrameLinkLimits> = {}) {
    this.#limits = { ...FRAME_LINK_LIMITS, ...limits };
  }

  /** Elements that wait for a frame. */
  get queuedCount(): number {
    return this.#control.size + this.#data.size;
  }

  /** Bytes of the elements that wait for a frame. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Elements in frames that are not acknowledged. */
  get inFlightCount(): number {
    return this.#inFlightCount;
  }

  /** True if all that was said has been acknowledged. */
  get idle(): boolean {
    return this.queuedCount === 0 && this.#inFlight.size === 0;
  }

  /** True if more waits than the bounds allow; one element alone never does. */
  get overBound(): boolean {
    const { maxQueued, maxQueuedBytes } = this.#limits;
    return this.queuedCount > maxQueued || (this.#queuedBytes > maxQueuedBytes && this.queuedCount > 1);
  }

  /** When the oldest frame that is not acknowledged was sent; undefined if there is none. */
  get oldestUnackedSentMs(): number | undefined {
    return this.#inFlight.peek()?.sentMs;
  }

  /** From when on {@link nextFrame} gives a bare acknowledgement if there is nothing else; undefined: none is owed. */
  get ackDueMs(): number | undefined {
    return this.#ackDueMs;
  }

  /**
   * Adds an element. It is never dropped: an owner that is told false stops feeding, or ends the stream.
   *
   * @param bytes What it takes in a frame, at least roughly.
   * @returns False if more waits now than the bounds allow.
   */
  enqueue(element: E, bytes: number, lane: Lane): boolean {
    (lane === 'control' ? this.#control : this.#data).push({ element, bytes });
    this.#queuedBytes += bytes;
    return !this.overBound;
  }

  /** Takes elements out that are in no frame yet, control first. O(elements queued). */
  takeBack(predicate: (element: E) => boolean): E[] {
    const wanted = ({ element }: Queued<E>): boolean => predicate(element);
    const taken = [...this.#control.remove(wanted), ...this.#data.remove(wanted)];
    for (const { bytes } of taken) this.#queuedBytes -= bytes;
    return taken.map(({ element }) => element);
  }

  /** The next frame to write: what waits, or a bare acknowledgement that is due; undefined if there is neither. */
  nextFrame(nowMs: number): OutgoingFrame<E> | undefined {
    const elements = this.#inFlightCount < this.#limits.maxInFlight ? this.#takeElements() : NONE;
    const isBare = elements.length === 0;
    if (isBare && (this.#ackDueMs === undefined || nowMs < this.#ackDueMs)) return undefined;
    this.#ackDueMs = undefined;
    this.#arrivals = 0;
    const ack = BigInt(this.#receivedSeq);
    if (isBare) return { seq: 0n, ack, elements };
    this.#sentSeq += 1;
    this.#inFlight.push({ seq: this.#sentSeq, sentMs: nowMs, elements });
    this.#inFlightCount += elements.length;
    return { seq: BigInt(this.#sentSeq), ack, elements };
  }

  #takeElements(): readonly E[] {
    const elements: E[] = [];
    let frameBytes = 0;
    for (;;) {
      // A control element that no longer fits is not overtaken: the next frame begins with it.
      const lane = this.#control.size > 0 ? this.#control : this.#data;
      const next = lane.peek();
      if (next === undefined) return elements;
      if (elements.length > 0 && frameBytes + next.bytes > this.#limits.maxFrameBytes) return elements;
      lane.shift();
      elements.push(next.element);
      frameBytes += next.bytes;
      this.#queuedBytes -= next.bytes;
    }
  }

  /**
   * Takes in the numbers of a frame that has arrived.
   *
   * @throws FleetError INVALID_ARGUMENT / INVALID_FRAME for a seq that is neither 0 nor the next, an ack of what was never
   *   sent, and an ack that goes back. The link is as before then.
   */
  receive(seq: bigint, ack: bigint, nowMs: number): Arrival<E> {
    this.#check(seq, ack);
    const fresh = seq !== 0n;
    if (fresh) {
      this.#receivedSeq += 1;
      this.#arrivals += 1;
      const isFlood = this.#arrivals >= this.#limits.ackAfterFrames;
      const dueMs = isFlood ? nowMs : nowMs + this.#limits.ackDelayMs;
      this.#ackDueMs = Math.min(this.#ackDueMs ?? Infinity, dueMs);
    }
    return { fresh, ...this.#acknowledge(Number(ack)) };
  }

  #check(seq: bigint, ack: bigint): void {
    const expectedSeq = this.#receivedSeq + 1;
    // As bigints: a hostile number beyond 2^53 must not be rounded to one that fits.
    if (seq !== 0n && seq !== BigInt(expectedSeq)) {
      const description = `is ${seq}, but ${expectedSeq} is next on this stream (0 for a bare acknowledgement); number frames without gap or repeat`;
      throw FleetError.invalid('INVALID_FRAME', [{ field: 'seq', description }]);
    }
    if (ack < 0n || ack > BigInt(this.#sentSeq)) {
      const description = `is ${ack}, but the highest seq sent on this stream is ${this.#sentSeq}; acknowledge only what has arrived`;
      throw FleetError.invalid('INVALID_FRAME', [{ field: 'ack', description }]);
    }
    if (ack < BigInt(this.#ackedSeq)) {
      const description = `is ${ack} after ${this.#ackedSeq}; every frame carries the highest seq that has arrived`;
      throw FleetError.invalid('INVALID_FRAME', [{ field: 'ack', description }]);
    }
  }

  #acknowledge(ack: number): { acked: readonly E[]; ackedSentMs: number | undefined } {
    this.#ackedSeq = ack;
    const frames: InFlight<E>[] = [];
    for (
      let oldest = this.#inFlight.peek();
      oldest !== undefined && oldest.seq <= ack;
      oldest = this.#inFlight.peek()
    ) {
      this.#inFlight.shift();
      this.#inFlightCount -= oldest.elements.length;
      frames.push(oldest);
    }
    const newest = frames.at(-1);
    if (newest === undefined) return { acked: NONE, ackedSentMs: undefined };
    const acked = frames.length === 1 ? newest.elements : frames.flatMap(({ elements }) => elements);
    return { acked, ackedSentMs: newest.sentMs };
  }
}

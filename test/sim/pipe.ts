import type { StreamEnd } from '../../client/frame-stream.js';
import type { SimClock } from './clock.js';

/** What travels along a stream. */
export type Item =
  | { readonly t: 'open' }
  /** The other side has taken the stream. */
  | { readonly t: 'opened' }
  /** As HTTP/2 keeps a connection alive. */
  | { readonly t: 'ping' }
  | { readonly t: 'pong' }
  | { readonly t: 'frame'; readonly bytes: Uint8Array }
  | { readonly t: 'end'; readonly end: StreamEnd };

/** One direction of a stream: in order, each item after its latency, nothing once it is broken. */
export class Pipe {
  #items: { readonly item: Item; readonly readyMs: number }[] = [];
  #heldUntilMs = 0;
  #broken = false;
  #pumping = false;
  /** Until when its reader takes an item only every so often. */
  #slowUntilMs = 0;
  #gapMs = 0;

  constructor(
    private readonly parts: {
      /** Frames that the sender's side takes before it asks to wait. */
      readonly window: number;
      readonly clock: SimClock;
      readonly latencyMs: () => number;
      readonly deliver: (item: Item) => void;
      readonly reads: (item: Item) => boolean;
    },
  ) {}

  /** False while the network asks the sender to wait. */
  get takes(): boolean {
    return this.#items.length < this.parts.window;
  }

  send(item: Item): void {
    const { clock, latencyMs } = this.parts;
    this.#items.push({ item, readyMs: clock.nowMs + latencyMs() });
    this.pump();
  }

  /** What is on its way arrives no earlier. */
  hold(untilMs: number): void {
    this.#heldUntilMs = Math.max(this.#heldUntilMs, untilMs);
  }

  /** Its reader takes one item each `gapMs`, for a while. */
  slow(untilMs: number, gapMs: number): void {
    this.#slowUntilMs = untilMs;
    this.#gapMs = gapMs;
  }

  /** Nothing arrives any more, and nobody is told. */
  break(): void {
    this.#broken = true;
  }

  /** Moves what can move. To be called when the reader reads again. */
  pump(): void {
    const next = this.#items[0];
    if (this.#pumping || this.#broken || next === undefined) return;
    const { clock, reads, deliver } = this.parts;
    this.#pumping = true;
    clock.after(Math.max(next.readyMs, this.#heldUntilMs) - clock.nowMs, () => {
      this.#pumping = false;
      if (this.#broken || !reads(next.item)) return;
      if (clock.nowMs >= this.#heldUntilMs) {
        this.#items.shift();
        if (clock.nowMs < this.#slowUntilMs) this.hold(clock.nowMs + this.#gapMs);
        deliver(next.item);
      }
      this.pump();
    });
  }
}

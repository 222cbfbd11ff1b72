import type { FiguresWriter } from './pool-figures.js';
import type { PoolEventName, PoolEvents } from './pool-events.js';
import { eventBit, type PlainError, type PoolEventMessage } from './pool-messages.js';

/** Events on their way to a host that does not take them; more are not kept. */
const OUTSTANDING_MAX = 65_536;

/** An event as it travels: with a plain error in the place of an Error. */
type Travelling<T> = { [K in keyof T]: T[K] extends Error ? PlainError : T[K] };

/** Hands the pool's events to the host: those that it listens to, all of one turn in one message, and no more than it takes. */
export class EventPost {
  #queue: PoolEventMessage[] = [];
  #posted = 0;
  #dropped = 0;

  constructor(
    private readonly figures: FiguresWriter,
    private readonly post: (events: readonly PoolEventMessage[]) => void,
    /** Told how many events were not handed over, when there is room again. */
    private readonly onDropped: (count: number) => void,
  ) {}

  /** Adds an event, if the host listens to it. */
  add<Name extends PoolEventName>(name: Name, event: Travelling<PoolEvents[Name][0]>): void {
    if ((this.figures.eventMask & eventBit(name)) === 0) return;
    if (this.figures.eventsOutstanding(this.#posted) + this.#queue.length >= OUTSTANDING_MAX) this.#dropped += 1;
    else this.#queue.push({ name, event });
  }

  /** Sends what was added: after the figures that contain it, before anything else that tells of it. */
  flush(): void {
    if (this.#queue.length === 0) return;
    const events = this.#queue;
    this.#queue = [];
    this.#posted = (this.#posted + events.length) | 0;
    this.post(events);
    if (this.#dropped === 0) return;
    this.onDropped(this.#dropped);
    this.#dropped = 0;
  }
}

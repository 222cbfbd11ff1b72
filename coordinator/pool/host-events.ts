import { EventEmitter } from 'node:events';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import type { PoolEventName, PoolEvents } from './pool-events.js';
import { eventBit, POOL_EVENT_NAMES, type PlainError, type PoolEventMessage } from './pool-messages.js';

/** Fields of events that hold an error. */
const ERROR_FIELD = 'error';

/** What an emitter tells of its listeners. */
const OWN_EVENTS: ReadonlySet<string | symbol> = new Set(['newListener', 'removeListener']);

/** The events of a pool on the host's side: it listens for what its own listeners want, and a listener cannot break it. */
export class HostEvents extends EventEmitter<PoolEvents> {
  readonly #onMask: (mask: number) => void;

  /** @param onMask told which events have listeners, bit by bit, before a new one can be waited for */
  constructor(onMask: (mask: number) => void) {
    super();
    this.#onMask = onMask;
    this.#watch();
  }

  override removeAllListeners(name?: PoolEventName): this {
    for (const known of name === undefined ? this.eventNames() : [name]) {
      // Our own watch for listeners.
      if (!OWN_EVENTS.has(known)) super.removeAllListeners(known);
    }
    return this;
  }

  /** Tells every listener, each by itself: what one throws is an uncaught exception of its own. */
  tell({ name, event }: PoolEventMessage): void {
    const value = reviveError(event);
    for (const listener of this.rawListeners(name)) {
      try {
        (listener as (event: object) => void).call(this, value);
      } catch (error) {
        setImmediate(() => {
          throw error;
        });
      }
    }
  }

  /** The emitter's own events, which its map of types does not know. */
  #watch(): void {
    const own = this as unknown as EventEmitter;
    // Told of before it is added.
    own.on('newListener', (name: PoolEventName) => {
      if (POOL_EVENT_NAMES.includes(name)) this.#onMask(this.#mask() | eventBit(name));
    });
    own.on('removeListener', () => this.#onMask(this.#mask()));
    this.#onMask(this.#mask());
  }

  #mask(): number {
    const heard = POOL_EVENT_NAMES.filter((name) => this.listenerCount(name) > 0);
    return heard.reduce((mask, name) => mask | eventBit(name), 0);
  }
}

/** An error that has come from the pool's thread. */
export function errorFrom({ code, reason, message, metadata, stack }: PlainError): FleetError {
  const error = new FleetError(code, reason, message, { metadata });
  // Where it was made again says nothing to anybody.
  error.stack = stack === undefined || stack === '' ? `${error.name}: ${message}` : stack;
  return error;
}

/** An error, for the way to another thread. `stack` is user code's own. */
export function plainError(
  reason: string,
  message: string,
  metadata: PlainError['metadata'] = {},
  stack = '',
): PlainError {
  return { code: Code.UNKNOWN, reason, message, metadata, stack };
}

function reviveError(event: object): object {
  if (!(ERROR_FIELD in event)) return event;
  return { ...event, [ERROR_FIELD]: errorFrom(event[ERROR_FIELD] as PlainError) };
}

import { setTimeout as delay } from 'node:timers/promises';
import { status as Code } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';
import { CONNECTION_LOST } from '../rpc.js';
import type { Clock } from './cli-context.js';

/** How long a coordinator that answered before may be away before waiting for it ends. A restart takes less. */
export const AWAY_MS = 30_000;
const RETRY_INITIAL_MS = 200;
const RETRY_MAX_MS = 2_000;

/**
 * Bears with a coordinator that goes away and comes back, for whoever can ask again without harm. One that was never there
 * is not borne with: then the address is wrong, or nothing runs.
 */
export class Absence {
  readonly #clock: Clock;
  readonly #onGone: () => void;
  #wasThere = false;
  #sinceMs: number | undefined;

  /** @param onGone told once for each absence */
  constructor(clock: Clock, onGone: () => void) {
    this.#clock = clock;
    this.#onGone = onGone;
  }

  /** The coordinator is there. */
  answered(): void {
    this.#wasThere = true;
    this.#sinceMs = undefined;
  }

  /**
   * Waits until it is time to ask again.
   *
   * @throws the error itself, if it does not say that the coordinator is away, if that one was never there, or has been away for
   *   30 s; AbortError once `signal` is aborted
   */
  async bear(error: unknown, signal: AbortSignal): Promise<void> {
    const { code, reason } = FleetError.from(error);
    // A connection that broke in mid-call was one: only its answer is missing.
    this.#wasThere ||= reason === CONNECTION_LOST;
    if (!this.#wasThere || signal.aborted || code !== Code.UNAVAILABLE) throw error;
    if (this.#sinceMs === undefined) this.#onGone();
    this.#sinceMs ??= this.#clock.monoMs();
    const awayMs = this.#clock.monoMs() - this.#sinceMs;
    if (awayMs > AWAY_MS) throw error;
    // As long again as it has been away doubles the pauses, whoever else waits beside.
    await delay(Math.min(Math.max(awayMs, RETRY_INITIAL_MS), RETRY_MAX_MS), undefined, { signal });
  }
}

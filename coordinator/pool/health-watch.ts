import type { Logger } from 'pino';
import type { EventPost } from './event-post.js';
import type { PlaceFigures } from './pool-figures.js';
import type { PoolHealth } from './pool-metrics.js';
import { poolHealth, type HealthFigures } from './pool-view.js';

export interface HealthWatchOptions {
  readonly minWorkers: number;
  readonly events: EventPost;
  readonly log: Logger;
  /** Time alone has changed something: judge again. */
  readonly onChange: () => void;
}

/** How long a zombie counts against the pool's health. */
const ZOMBIE_RECENT_MS = 60_000;

/** What decides on a pool's health beside the states of its workers, and who is told when that changes. */
export class HealthWatch {
  /** The store refuses what it may take later. */
  storeRefusing = false;
  /** The store's disk has too little room for new tasks. */
  diskLow = false;
  #status: PoolHealth['status'] = 'healthy';
  #givenUp = 0;
  #zombieTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: HealthWatchOptions) {}

  get figures(): HealthFigures {
    return {
      minWorkers: this.options.minWorkers,
      givenUp: this.#givenUp,
      zombieRecent: this.#zombieTimer === undefined ? 0 : 1,
      storeRefusing: this.storeRefusing || this.diskLow ? 1 : 0,
    };
  }

  gaveUp(): void {
    this.#givenUp += 1;
  }

  /** New workers have come: those that were given up have their successors. */
  replaced(count: number): void {
    this.#givenUp = Math.max(0, this.#givenUp - count);
  }

  zombie(): void {
    clearTimeout(this.#zombieTimer);
    this.#zombieTimer = setTimeout(() => {
      this.#zombieTimer = undefined;
      this.options.onChange();
    }, ZOMBIE_RECENT_MS);
  }

  /** Tells of a change. */
  judge(places: readonly PlaceFigures[]): void {
    const { events, log } = this.options;
    const { status, reasons } = poolHealth({ ...this.figures, places });
    if (status === this.#status) return;
    const previous = this.#status;
    this.#status = status;
    log[status === 'healthy' ? 'info' : 'warn']({ status, previous, detail: reasons.join('; ') }, 'health-changed');
    events.add('health-changed', { status, reasons, previous });
  }

  stop(): void {
    clearTimeout(this.#zombieTimer);
  }
}

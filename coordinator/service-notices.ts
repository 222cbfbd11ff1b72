import { every } from '../proto/every.js';
import { figure } from '../proto/figure.js';
import { beatMs, ServiceManager, type ServiceManagerAddress, type ServiceNotice } from '../proto/service-manager.js';
import type { FleetGlance } from './core/fleet-glance.js';

/**
 * A batch on its way for longer will not come back by itself: a store that refuses ends the process after 30 s, so this is a disk
 * that answers nothing at all, or a bug.
 */
const STUCK_BATCH_MS = 60_000;
/** Longer than any healthy disk takes: a person wants to know. */
const SLOW_BATCH_MS = 5_000;
/** How soon a person is told that workers have come or gone. */
const LOOK_MS = 2_000;

/** What they say it of: the coordinator. */
interface Serving {
  /** The state of now. */
  readonly glance: () => FleetGlance;
  /** Why new tasks are refused; null: they are not. */
  readonly refusing: string | null;
  /** How long the batch that is underway has been, in milliseconds. */
  readonly batchMs: number;
  readonly deadLetters: number;
}

/**
 * What the service manager is told about this coordinator: when it serves, how it is in one line, and signs of life that prove
 * local progress alone, which no worker and no client can hinder.
 */
export class ServiceNotices {
  readonly #manager: ServiceManager;
  #stopBeats: () => void = () => undefined;
  #isStopping = false;

  /** @param onFault Told when notices do not get through, once until one does. */
  constructor(
    private readonly address: ServiceManagerAddress,
    onFault: (message: string) => void,
  ) {
    this.#manager = new ServiceManager(address, onFault);
    this.#manager.notify({ status: 'opening the store' });
  }

  /** It serves, at these addresses. */
  serving(coordinator: Serving, listen: string): void {
    if (this.#isStopping) return;
    let said = '';
    const say = (notice: ServiceNotice, workers = workersText(coordinator)): void => {
      said = standing(coordinator, workers);
      this.#manager.notify({ ...notice, status: status(coordinator, listen, workers) });
    };
    say({ ready: true });
    const stopBeats = every(beatMs(this.address), () => {
      const makesProgress = coordinator.batchMs < STUCK_BATCH_MS;
      say(makesProgress ? { watchdog: true } : {});
    });
    // The counts of tasks change all the time: with the next beat is soon enough. Who is there is what a person waits for.
    const stopLooks = every(LOOK_MS, () => {
      const workers = workersText(coordinator);
      if (standing(coordinator, workers) !== said) say({}, workers);
    });
    this.#stopBeats = () => {
      stopBeats();
      stopLooks();
    };
  }

  /** The stop has begun. */
  stopping(): void {
    this.#isStopping = true;
    this.#stopBeats();
    this.#manager.notify({ stopping: true, status: 'stopping' });
  }

  /** The last words. Fulfilled when they have been said. */
  async ended(words: string): Promise<void> {
    this.#isStopping = true;
    this.#stopBeats();
    this.#manager.notify({ status: words });
    await this.#manager.close();
  }
}

function status(coordinator: Serving, listen: string, workers: string): string {
  const { tasks } = coordinator.glance();
  const scheduled = some(tasks.scheduled, 'scheduled');
  const { batchMs, refusing } = coordinator;
  return [
    `serving on ${listen}; ${workers}`,
    `tasks: ${figure(tasks.queued)} queued, ${figure(tasks.running)} running${scheduled}`,
    `${figure(coordinator.deadLetters)} dead letters`,
    ...(refusing === null ? [] : [`new tasks are refused: ${refusing}`]),
    ...(batchMs < SLOW_BATCH_MS ? [] : [`the store has not answered for ${Math.round(batchMs / 1_000)} s`]),
  ].join('; ');
}

/** What is told as soon as it changes. */
function standing({ refusing }: Serving, workers: string): string {
  return `${workers}; ${refusing ?? ''}`;
}

function workersText(coordinator: Serving): string {
  const workers = { READY: 0, SUSPECT: 0, DRAINING: 0, DISCONNECTED: 0 };
  coordinator.glance().eachWorker(({ state }) => {
    workers[state] += 1;
  });
  const { READY: ready, SUSPECT: suspect, DRAINING: draining, DISCONNECTED: disconnected } = workers;
  const others = [some(suspect, 'suspect'), some(draining, 'draining'), some(disconnected, 'disconnected')];
  return `workers: ${figure(ready)} ready${others.join('')}`;
}

function some(count: number, what: string): string {
  return count === 0 ? '' : `, ${figure(count)} ${what}`;
}

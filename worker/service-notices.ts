import ms from 'ms';
import { figure } from '../proto/figure.js';
import type { ServiceManager } from '../proto/service-manager.js';
import type { SessionPulse } from './session-pulse.js';

/** What the notices of a worker's program are made of. */
export interface ServiceNoticesOptions {
  readonly manager: Pick<ServiceManager, 'notify' | 'close'>;
  /** Of the coordinator. */
  readonly address: string;
  /** Worker processes that this one supervises; undefined: it is the worker itself. */
  readonly processes: number | undefined;
  /** How often {@link ServiceNotices.beat} is called, in milliseconds. */
  readonly beatMs: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** While a drain makes progress, its time-out is moved this many beats ahead. */
const EXTEND_BEATS = 4;
/** But this much at least, in milliseconds: the machine may be busy. */
const EXTEND_MIN_MS = 15_000;
/**
 * But no more once a drain is over by this much, in milliseconds: aborted handlers have had their grace, reports and teardown their
 * time, and a supervisor has killed what was left. Whatever still runs then is the service manager's to end.
 */
const OVERTIME_MS = 90_000;

/**
 * What the service manager is told about the workers of this program: that they are ready at the first welcome of one, how they
 * are in one line, and that a drain goes on.
 */
export class ServiceNotices {
  private readonly pulses = new Map<number, SessionPulse>();
  private settledBefore = 0;
  private restarts = 0;
  private ready = false;
  private saidStatus = '';
  private over = false;
  /** Until when the drain may take; undefined: there is none. */
  private drainEndMs: number | undefined;

  constructor(private readonly options: ServiceNoticesOptions) {
    this.say({});
  }

  /** The worker process in this place has given a sign of life. */
  pulse(index: number, pulse: SessionPulse): void {
    const before = this.pulses.get(index);
    this.pulses.set(index, pulse);
    const firstWelcome = pulse.connected && !this.ready;
    if (firstWelcome) this.ready = true;
    const isNews = before?.connected !== pulse.connected || before.trouble !== pulse.trouble;
    if (isNews || this.drainEndMs !== undefined) {
      this.say(firstWelcome ? { ready: true } : {});
    }
  }

  /** The worker process in this place has ended. */
  gone(index: number, startedAgain: boolean): void {
    this.settledBefore += this.pulses.get(index)?.settled ?? 0;
    this.pulses.delete(index);
    if (startedAgain) this.restarts += 1;
    this.say({});
  }

  /** They are asked to leave; `drainMs` is what handlers may take. A repeat can only bring the end forward. */
  draining(drainMs: number): void {
    const { nowMs } = this.options;
    const endMs = nowMs() + drainMs;
    const first = this.drainEndMs === undefined;
    this.drainEndMs = Math.min(endMs, this.drainEndMs ?? Infinity);
    if (first) this.say({ stopping: true });
  }

  /** The program makes progress. To be called regularly, and by nothing that would go on if it did not. */
  beat(): void {
    this.say({ watchdog: true });
  }

  /** The last words. Fulfilled when they have been said. */
  async ended(status: string): Promise<void> {
    this.over = true;
    this.options.manager.notify({ status });
    await this.options.manager.close();
  }

  private say(notice: { readonly ready?: true; readonly watchdog?: true; readonly stopping?: true }): void {
    // The loop still turns, and still has its beats, but has no more to tell.
    if (this.over) {
      if (notice.watchdog === true) this.options.manager.notify({ watchdog: true });
      return;
    }
    const { manager, beatMs, nowMs } = this.options;
    const endMs = this.drainEndMs;
    const extend =
      endMs === undefined || nowMs() >= endMs + OVERTIME_MS
        ? {}
        : { extendTimeoutMs: Math.max(EXTEND_MIN_MS, EXTEND_BEATS * beatMs) };
    const status = this.status();
    if (status === this.saidStatus && Object.keys(notice).length === 0) return;
    this.saidStatus = status;
    manager.notify({ ...notice, ...extend, status });
  }

  private status(): string {
    const { address, processes, nowMs } = this.options;
    const pulses = [...this.pulses.values()];
    const connected = pulses.filter((pulse) => pulse.connected).length;
    const running = pulses.reduce((sum, pulse) => sum + pulse.running, 0);
    const ended = pulses.reduce((sum, pulse) => sum + pulse.settled, this.settledBefore);
    const tasks = `${count(running, 'task')} running, ${figure(ended)} ended`;
    const restarts = this.restarts === 0 ? '' : `, ${count(this.restarts, 'restart')}`;
    if (this.drainEndMs !== undefined) {
      const left = processes === undefined ? '' : `, ${pulses.length} of ${count(processes, 'process')} left`;
      const leftMs = this.drainEndMs - nowMs();
      const time = leftMs > 0 ? `at most ${ms(leftMs)} more` : 'the time is over, handlers are aborted';
      return `draining: ${tasks}${left}; ${time}`;
    }
    if (connected > 0) {
      const who = processes === undefined ? '' : `${connected} of ${count(processes, 'process')} `;
      return `${who}connected to ${address}; ${tasks}${restarts}`;
    }
    if (pulses.length === 0) return `starting${restarts}`;
    const trouble = pulses.find((pulse) => pulse.trouble !== '')?.trouble;
    return `waiting for coordinator at ${address}${trouble === undefined ? '' : ` (${trouble})`}; ${tasks}${restarts}`;
  }
}

function count(number: number, noun: string): string {
  if (number === 1) return `1 ${noun}`;
  return `${figure(number)} ${noun}${noun.endsWith('s') ? 'es' : 's'}`;
}

import type { SessionPeriods } from './session-options.js';
import type { LeaveCause } from './session-messages.js';

/** What decides how long reports are offered once the handlers of a worker that leaves have ended. */
export interface DeliveryTerms {
  readonly periods: SessionPeriods;
  /** A handler is stuck, and the process is to be replaced. */
  readonly recycling: boolean;
  /** A welcomed stream is there. */
  readonly connected: boolean;
  /** Since when there has been none, in milliseconds; undefined: there is one. */
  readonly disconnectedMs: number | undefined;
}

/** How and until when a worker leaves; the head of `session-machine.ts` says who may want it to. Times are in milliseconds. */
export class Departure {
  /** `leaving` has been said on this stream, or need not be. */
  told: boolean;
  /** `drain` has come on this stream: nothing new is on its way. */
  confirmed: boolean;
  /** The deadline has passed, and the handlers that still ran were aborted. */
  aborted = false;
  /** Nobody is left to report to: the end of the last handler is the end. */
  abandoned = false;
  /** When the last handler had settled. */
  handlersEndedMs: number | undefined;

  /** @param deadlineMs when handlers that still run are aborted */
  constructor(
    readonly cause: LeaveCause,
    public deadlineMs: number,
  ) {
    this.told = cause === 'coordinator';
    this.confirmed = this.told;
  }

  /** A repeat can only bring the deadline forward; the coordinator is told of it. */
  hasten(deadlineMs: number): void {
    if (deadlineMs >= this.deadlineMs) return;
    this.deadlineMs = deadlineMs;
    this.told = false;
  }

  /** The coordinator's `drain`: its deadline is the one that holds. */
  confirm(deadlineMs: number): void {
    this.deadlineMs = deadlineMs;
    this.told = true;
    this.confirmed = true;
  }

  /** A stream begins without drain, whatever the one before it said. */
  streamOpened(): void {
    this.told = false;
    this.confirmed = false;
  }

  /** When reports that nobody has acknowledged are given up; Infinity while handlers run. */
  giveUpDeliveryMs({ periods, recycling, connected, disconnectedMs }: DeliveryTerms): number {
    const endedMs = this.handlersEndedMs ?? Infinity;
    if (this.abandoned) return endedMs;
    if (recycling) return endedMs + periods.recycleMs;
    if (connected) return endedMs + periods.acknowledgeMs;
    return Math.max(endedMs, disconnectedMs ?? 0) + periods.deliverMs;
  }
}

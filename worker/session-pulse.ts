import { every } from '../proto/every.js';
import type { SessionEvent } from './session-messages.js';

/** What a session says of itself to whoever watches that its process makes progress. */
export interface SessionPulse {
  /** It has a welcomed stream. */
  readonly connected: boolean;
  /** Handlers that have not settled. */
  readonly running: number;
  /** Handlers that have settled since the process started. */
  readonly settled: number;
  /** Why there is no stream; empty: there is one, or nothing is known yet. */
  readonly trouble: string;
}

/** Of what went wrong, in characters. */
const TROUBLE_CHARS = 200;

/** What a session's pulse is made of. */
export interface SessionPulsesOptions {
  /** A pulse each so many milliseconds. */
  readonly periodMs: number;
  /** The session does what is due: without it there is no pulse. */
  readonly isVital: () => boolean;
  readonly runningCount: () => number;
  /** `regular`: it came with the period, not because something has changed. */
  readonly tell: (pulse: SessionPulse, regular: boolean) => void;
}

/**
 * Gives signs of life that prove local progress alone: that the session's loop turns and that nothing of what it had to do is
 * overdue. A coordinator that is away is no reason for silence.
 */
export class SessionPulses {
  private connected = false;
  private trouble = '';
  private settled = 0;
  private draining = false;

  constructor(private readonly options: SessionPulsesOptions) {
    // For as long as the loop turns, also while the process ends: the end has a time limit of its own.
    every(options.periodMs, () => this.beat(true));
    this.beat(false);
  }

  /** Something has happened to the session. */
  heard(event: SessionEvent): void {
    if (event.name === 'welcome') {
      this.connected = true;
      this.trouble = '';
    } else if (event.name === 'disconnected') {
      const trouble = shortTrouble(event.message === '' ? event.code : event.message);
      if (!this.connected && trouble === this.trouble) return;
      this.connected = false;
      this.trouble = trouble;
    } else if (event.name === 'draining') this.draining = true;
    else return;
    this.beat(false);
  }

  /** A handler has settled. */
  handlerSettled(): void {
    this.settled += 1;
    // Whoever waits for the end of a drain sees it come nearer.
    if (this.draining) this.beat(false);
  }

  private beat(regular: boolean): void {
    const { isVital, runningCount, tell } = this.options;
    if (!isVital()) return;
    const { connected, settled, trouble } = this;
    tell({ connected, settled, trouble, running: runningCount() }, regular);
  }
}

/** What grpc-js says of a connection that could not be made, without what surrounds the system's own words. */
function shortTrouble(message: string): string {
  const system = /Last error: (?:Error: )?(.+?)\.? Resolution note:/.exec(message)?.[1];
  // And without the time, which would make each dial's failure another one.
  return (system ?? message).replace(/ \(\d{4}-\d{2}-\d{2}T[\d:.]+Z\)/, '').slice(0, TROUBLE_CHARS);
}

import { every } from '../proto/every.js';

/** What a silence watch is made of. */
export interface SilenceWatchOptions {
  /** How often those that are watched give a sign of life, in milliseconds. */
  readonly pulseMs: number;
  /** After how long without one {@link onSilence} is called, in milliseconds. */
  readonly silenceMs: number;
  readonly onSilence: (index: number) => void;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** Finds out who has given signs of life and gives none any more. Who has not begun to is not watched. */
export class SilenceWatch {
  private readonly heardMs = new Map<number, number>();
  private lookedMs: number;
  /** No more is watched. */
  readonly stop: () => void;

  constructor(private readonly options: SilenceWatchOptions) {
    this.lookedMs = options.nowMs();
    this.stop = every(options.pulseMs, () => this.onTimer());
  }

  /** A sign of life. */
  heard(index: number): void {
    this.heardMs.set(index, this.options.nowMs());
  }

  /** It has ended. */
  forget(index: number): void {
    this.heardMs.delete(index);
  }

  private onTimer(): void {
    const { nowMs, pulseMs, silenceMs } = this.options;
    const lookMs = nowMs();
    const stoodStillMs = lookMs - this.lookedMs - pulseMs;
    this.lookedMs = lookMs;
    // Nothing was heard while this process did not run, and perhaps the others did not run either.
    if (stoodStillMs > pulseMs) for (const index of this.heardMs.keys()) this.heard(index);
    // Node runs timers before it reads: what has arrived is read first. Silence is counted up to the timer: the process may be
    // stopped just after it.
    setImmediate(() => {
      for (const [index, heardMs] of this.heardMs) {
        if (lookMs - heardMs < silenceMs) continue;
        this.forget(index);
        this.options.onSilence(index);
      }
    });
  }
}

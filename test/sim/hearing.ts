import type { CoreConfig } from '../../coordinator/core/config.js';
import { leaseMarginMs } from '../../coordinator/core/lease.js';

/** What the engine may take for a hiccup, in milliseconds. */
const HICCUP_MS = 500;

/** A session, as its hello has named it. */
export interface HeardSession {
  readonly incarnation: string;
  readonly sessionNumber: number;
}

interface Heard {
  /** On the coordinator's monotonic clock, of the newest frame of its newest session. */
  atMs: number;
  /** How long the coordinator has stood still since. */
  stoodMs: number;
}

/** When one life of a coordinator has heard its workers, by incarnation. */
export class Hearing {
  readonly #heard = new Map<string, Heard>();
  /** By incarnation, the highest session number that was said. */
  readonly #newest = new Map<string, number>();
  /** Who could not be given up when the coordinator judged last, and why not. */
  readonly #early = new Map<string, string>();

  constructor(private readonly config: Pick<CoreConfig, 'leaseMs'>) {}

  /** A frame arrives; in a session of which its process may have said hello in a newer one it is worth nothing. */
  frame(session: HeardSession, atMs: number): void {
    if (this.isNewest(session)) this.#heard.set(session.incarnation, { atMs, stoodMs: 0 });
  }

  /** A hello arrives, and may still be refused. */
  hello({ incarnation, sessionNumber }: HeardSession): void {
    this.#newest.set(incarnation, Math.max(sessionNumber, this.#newest.get(incarnation) ?? 0));
  }

  /** True if its process has said hello in none that is newer. */
  isNewest({ incarnation, sessionNumber }: HeardSession): boolean {
    return sessionNumber >= (this.#newest.get(incarnation) ?? 0);
  }

  /** The coordinator goes on after a standstill. */
  stood(forMs: number): void {
    if (forMs <= HICCUP_MS) return;
    for (const heard of this.#heard.values()) heard.stoodMs += forMs;
  }

  /** Whoever is given up now, is told of later: what arrives in between is too late. */
  judges(nowMs: number): void {
    const { leaseMs } = this.config;
    for (const [incarnation, { atMs, stoodMs }] of this.#heard) {
      const silentMs = nowMs - atMs;
      const dueMs = leaseMs + leaseMarginMs(leaseMs) + Math.min(stoodMs, leaseMs);
      const text = `silent for ${silentMs.toFixed(0)} ms, of ${dueMs.toFixed(0)} ms; stood still for ${stoodMs.toFixed(0)} ms`;
      if (silentMs < dueMs - 1) this.#early.set(incarnation, text);
      else this.#early.delete(incarnation);
    }
  }

  /**
   * Why a worker might not be given up for its silence when that was judged last; undefined: it might. It has its lease and the margin,
   * and of the time in which the coordinator stood still, and could have heard nobody, one lease at most on top (design.md section 3).
   */
  faultOfLoss(incarnation: string): string | undefined {
    return this.#early.get(incarnation);
  }
}

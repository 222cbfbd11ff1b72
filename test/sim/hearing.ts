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
  /** After a standstill that outlasts leases, until when all that came meanwhile is to be read. */
  againMs: number;
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
    if (!this.isNewest(session)) return;
    const { incarnation } = session;
    const before = this.#heard.get(incarnation);
    // Of one that comes too late nobody knows whether it was given up before.
    if (before !== undefined && this.#isOver(before, atMs)) this.#heard.delete(incarnation);
    else this.#heard.set(incarnation, { atMs, stoodMs: 0, againMs: -Infinity });
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
  stood(forMs: number, nowMs: number): void {
    if (forMs <= HICCUP_MS) return;
    const { leaseMs } = this.config;
    for (const [incarnation, heard] of this.#heard) {
      // It was to be given up before.
      if (this.#isOver(heard, nowMs - forMs)) this.#heard.delete(incarnation);
      heard.stoodMs += forMs;
      if (forMs > leaseMs) heard.againMs = nowMs + leaseMarginMs(leaseMs);
    }
  }

  /** Whoever is given up now, is told of later: what arrives in between is too late. */
  judges(nowMs: number): void {
    this.#early.clear();
    for (const [incarnation, heard] of this.#heard) {
      if (this.#isOver(heard, nowMs)) continue;
      const silentMs = nowMs - heard.atMs;
      const text = `silent for ${silentMs.toFixed(0)} ms, in which the coordinator stood still for ${heard.stoodMs.toFixed(0)} ms`;
      this.#early.set(incarnation, text);
    }
  }

  /** Why a worker might not be given up for its silence when that was judged last; undefined: it might. */
  faultOfLoss(incarnation: string): string | undefined {
    return this.#early.get(incarnation);
  }

  /**
   * A worker has its lease and the margin, and of the time in which the coordinator stood still, and could have heard nobody, one
   * lease at most on top (design.md section 3).
   */
  #isOver({ atMs, stoodMs, againMs }: Heard, nowMs: number): boolean {
    const { leaseMs } = this.config;
    const dueMs = atMs + leaseMs + leaseMarginMs(leaseMs) + Math.min(stoodMs, leaseMs);
    return nowMs >= Math.max(dueMs, againMs) - 1;
  }
}

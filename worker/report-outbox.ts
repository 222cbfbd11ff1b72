import { MAX_UNSENT_REPORTS } from '../proto/bounds.js';
import type { AttemptRef, Report } from '../proto/gen/remuda/v1/worker_service_pb.js';
import { attemptKey } from './attempt-book.js';
import type { AttemptKey } from './session-messages.js';

interface Entry {
  readonly report: Report;
  /** Handed to the stream that is open now. */
  sent: boolean;
}

/**
 * Reports from their making until the coordinator says that they are durable, in order. They outlive streams: after a
 * reconnect those that are still wanted are sent again. The bound holds because a worker that owes many reports takes nothing
 * new, see {@link ReportOutbox.hasRoomFor}.
 */
export class ReportOutbox {
  private readonly entries = new Map<AttemptKey, Entry>();
  /** How many have not been handed to the stream. */
  private unsentCount = 0;

  get size(): number {
    return this.entries.size;
  }

  /** True if this many attempts more can be reported without passing the bound. */
  hasRoomFor(attempts: number): boolean {
    return this.entries.size + attempts < MAX_UNSENT_REPORTS;
  }

  has(key: AttemptKey): boolean {
    return this.entries.has(key);
  }

  add(report: Report): void {
    if (report.attempt === undefined) throw new Error('a report must name its attempt');
    const key = attemptKey(report.attempt);
    if (this.entries.has(key)) return;
    this.entries.set(key, { report, sent: false });
    this.unsentCount += 1;
  }

  /** Acknowledged, or not wanted. */
  forget(key: AttemptKey): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    if (!entry.sent) this.unsentCount -= 1;
  }

  /** A new stream has seen none of them. */
  markAllUnsent(): void {
    for (const entry of this.entries.values()) entry.sent = false;
    this.unsentCount = this.entries.size;
  }

  /** Fences of all of them, oldest first. */
  refs(): AttemptRef[] {
    return [...this.entries.values()].flatMap(({ report }) => (report.attempt === undefined ? [] : [report.attempt]));
  }

  /** Hands unsent reports to `send`, oldest first, until it says no. */
  offer(send: (report: Report) => boolean): void {
    if (this.unsentCount === 0) return;
    for (const entry of this.entries.values()) {
      if (entry.sent) continue;
      if (!send(entry.report)) return;
      entry.sent = true;
      this.unsentCount -= 1;
      if (this.unsentCount === 0) return;
    }
  }
}

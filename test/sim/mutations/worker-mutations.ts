import type { Mutation } from './mutation.js';

const MACHINE = 'worker/session-machine.ts';
const KEEPER = 'worker/attempt-keeper.ts';

/** Of the worker's side. */
export const WORKER_MUTATIONS: readonly Mutation[] = [
  {
    name: 'renew-at-acknowledgement',
    breaks: 'a worker counts its lease from the arrival of an acknowledgement',
    promise: 'section 7: from the sending of the newest acknowledged frame',
    file: MACHINE,
    edits: [
      {
        find: 'this.ackedSentMs = Math.max(ackedSentMs, this.ackedSentMs ?? -Infinity);',
        replace: 'this.ackedSentMs = nowMs;',
      },
    ],
  },
  {
    name: 'renew-at-sending',
    breaks: 'a worker counts its lease from whatever it has sent, acknowledged or not',
    promise: 'section 7: from the sending of the newest acknowledged frame',
    file: MACHINE,
    edits: [
      {
        find: '    return current.link.next(nowMs);\n',
        replace:
          '    const frame = current.link.next(nowMs);\n    if (frame !== undefined && this.ackedSentMs !== undefined) this.ackedSentMs = nowMs;\n    return frame;\n',
      },
    ],
  },
  {
    name: 'run-on-without-lease',
    breaks: 'handlers run on when the lease is over',
    promise: 'invariant 4: never two attempts under valid leases',
    file: MACHINE,
    edits: [{ find: "    this.keeper.abortAll(nowMs, 'LEASE_LOST', message);\n", replace: '' }],
  },
  {
    name: 'believe-in-old-hold',
    breaks: 'a worker that is welcomed again goes on to count the hold instead of the lease',
    promise: 'section 7: the hold lasts until the next welcome',
    file: MACHINE,
    edits: [
      {
        find: '    this.leaseMs = leaseMs;\n    this.holdMs = 0;\n',
        replace: '    this.leaseMs = leaseMs;\n',
      },
    ],
  },
  {
    name: 'forget-reports-at-reconnect',
    breaks: 'a worker forgets its unsent reports when it dials again',
    promise: 'section 7: return by snapshot, unsent reports in it',
    file: KEEPER,
    edits: [
      {
        find: '    this.outbox.markAllUnsent();\n',
        replace:
          '    for (const ref of this.outbox.refs()) this.outbox.forget(attemptKey(ref));\n    this.outbox.markAllUnsent();\n',
      },
    ],
  },
  {
    name: 'hide-unsent-reports',
    breaks: 'hello does not name the reports that are owed',
    promise: 'section 7: return by snapshot, unsent reports in it',
    file: KEEPER,
    edits: [
      {
        find: 'return { running, unsentReports: this.outbox.refs() };',
        replace: 'return { running, unsentReports: [] };',
      },
    ],
  },
  {
    name: 'forget-report-once-sent',
    breaks: 'a report is forgotten when it is written, before it is acknowledged',
    promise: 'section 5: reports are kept until acknowledged',
    file: 'worker/report-outbox.ts',
    edits: [
      {
        find: '      entry.sent = true;\n      this.unsentCount -= 1;\n',
        replace:
          '      entry.sent = true;\n      this.unsentCount -= 1;\n      if (entry.report.attempt !== undefined) this.forget(attemptKey(entry.report.attempt));\n',
      },
    ],
  },
  {
    name: 'give-back-running',
    breaks: 'a worker gives back as not started what its handler runs',
    promise: 'invariant 4: never two attempts under valid leases',
    file: KEEPER,
    edits: [
      {
        find: "if (attempt?.stage === 'waiting') this.giveBack(attempt);\n  }\n\n  /** Aborts",
        replace: 'if (attempt !== undefined) this.giveBack(attempt);\n  }\n\n  /** Aborts',
      },
    ],
  },
  {
    name: 'time-out-from-arrival',
    breaks: 'the time-out runs while an attempt waits for its slot',
    promise: 'section 7: the time-out counts from STARTED',
    file: KEEPER,
    edits: [
      {
        find: 'if (nowMs >= attempt.startedMs + attempt.timeoutMs) {',
        replace: 'if (nowMs >= attempt.arrivedMs + attempt.timeoutMs) {',
      },
    ],
  },
  {
    name: 'one-slot-more',
    breaks: 'a worker runs one handler more than it has slots',
    promise: 'section 7: slots',
    file: 'worker/attempt-book.ts',
    edits: [
      {
        find: 'if (this.waitingCount === 0 || this.runningCount >= this.limits.slots) return [];',
        replace: 'if (this.waitingCount === 0 || this.runningCount > this.limits.slots) return [];',
      },
      {
        find: '      if (this.runningCount >= this.limits.slots) break;\n',
        replace: '      if (this.runningCount > this.limits.slots) break;\n',
      },
    ],
  },
];

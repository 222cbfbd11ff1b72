import type { Mutation } from './mutation.js';

const FLEET = 'coordinator/core/fleet.ts';
const OUTCOME = 'coordinator/core/outcome.ts';
const DISPATCH = 'coordinator/core/dispatch.ts';
const SCHEDULER = 'coordinator/core/scheduler.ts';
const COMMANDS = 'coordinator/core/commands.ts';

/** Reports and fences: who may end a task. */
const FENCE: readonly Mutation[] = [
  {
    name: 'skip-fence',
    breaks: 'a report of any attempt of a task counts as one of its newest',
    promise: 'invariant 2: exactly one attempt can end a task',
    file: 'coordinator/core/lease.ts',
    edits: [
      {
        find: 'return a.taskId === b.taskId && a.attempt === b.attempt && a.leaseId === b.leaseId;',
        replace: 'return a.taskId === b.taskId;',
      },
    ],
  },
  {
    name: 'late-report-over-newer',
    breaks: 'a late report ends the task although a newer attempt has been handed out',
    promise: 'invariant 2: exactly one attempt can end a task',
    file: FLEET,
    edits: [
      {
        find: 'if (task?.attemptOpen === true && isOf(worker, task, ref)) {',
        replace: 'if (task?.attemptOpen === true) {',
      },
    ],
  },
  {
    name: 'accept-stale-report',
    breaks: 'a report that does not count is acknowledged as accepted',
    promise: 'invariant 2: anything else is refused and told so',
    file: FLEET,
    edits: [
      {
        find: "countedBefore(worker, task, ref) ? '' : 'STALE_ATTEMPT';",
        replace: "countedBefore(worker, task, ref) ? '' : '';",
      },
    ],
  },
  {
    name: 'believe-strangers',
    breaks: 'whoever knows the fence of an attempt may report it',
    promise: 'invariant 2: exactly one attempt can end a task',
    file: FLEET,
    edits: [
      {
        find: 'leaseId === ref.leaseId && incarnation === worker.incarnation;',
        replace: "leaseId === ref.leaseId && (incarnation === worker.incarnation || incarnation !== '');",
      },
    ],
  },
];

/** Leases: when a worker's attempts may go elsewhere. */
const LEASES: readonly Mutation[] = [
  {
    name: 'short-lease',
    breaks: 'the coordinator ends a lease before its worker does',
    promise: 'invariant 4: never two attempts under valid leases',
    file: 'coordinator/core/lease.ts',
    edits: [
      { find: 'return Math.max(1_000, Math.ceil(leaseMs / 10));', replace: 'return Math.floor(leaseMs * -0.5);' },
    ],
  },
  {
    name: 'expire-before-arrivals',
    breaks: 'expiry is judged before what has arrived is applied',
    promise: 'section 3: expiry only after all that has arrived',
    file: SCHEDULER,
    edits: [
      {
        find: '  for (const input of inputs) apply(current, input);\n  // Only now: whoever has spoken in this batch is not late.\n  const moreDue = expire(current, { ...context.now, monoMs: Math.min(context.now.monoMs, context.heardMonoMs) });\n',
        replace:
          '  const moreDue = expire(current, { ...context.now, monoMs: Math.min(context.now.monoMs, context.heardMonoMs) });\n  for (const input of inputs) apply(current, input);\n',
      },
    ],
  },
  {
    name: 'expire-over-inbox',
    breaks: 'what waits in the inbox for the next batch is judged as silence',
    promise: 'section 3: expiry only after all that has arrived',
    file: SCHEDULER,
    edits: [
      { find: 'monoMs: Math.min(context.now.monoMs, context.heardMonoMs)', replace: 'monoMs: context.now.monoMs' },
    ],
  },
  {
    name: 'free-revoked-early',
    breaks: 'a revoked attempt is handed out again before its worker has given it back',
    promise: 'invariant 4: never two attempts under valid leases',
    file: FLEET,
    edits: [
      {
        find: "    step.send(sessionId, { kind: 'revoke', ref: hold.ref });\n",
        replace:
          "    step.send(sessionId, { kind: 'revoke', ref: hold.ref });\n    giveBack(step, worker, hold.ref, 'revoked');\n",
      },
    ],
  },
  {
    name: 'takeover-as-death',
    breaks: "the loser's attempts move as soon as another process takes its id over",
    promise: 'invariant 4: never two attempts under valid leases',
    file: FLEET,
    edits: [
      {
        find: 'if (holder.processEnd === null) supersede(step, holder, hello);\n    else loseWorker(step, holder, holder.processEnd);',
        replace: "loseWorker(step, holder, holder.processEnd ?? 'died');",
      },
    ],
  },
  {
    name: 'deaf-to-superseded',
    breaks: 'frames that a superseded worker still gets acknowledged do not renew what it holds',
    promise: 'invariant 4: never two attempts under valid leases',
    file: FLEET,
    edits: [{ find: '  if (superseded !== undefined) renew(step, superseded, input.atMonoMs);\n', replace: '' }],
  },
  {
    name: 'stream-end-as-death',
    breaks: 'the end of a stream is taken for the end of its process',
    promise: 'section 7: the end of a stream proves nothing',
    file: FLEET,
    edits: [
      {
        find: 'if (worker.processEnd !== null) return loseWorker(step, worker, worker.processEnd);',
        replace: "if (worker.holds.size > 0) return loseWorker(step, worker, worker.processEnd ?? 'died');",
      },
    ],
  },
  {
    name: 'no-wait-after-restart',
    breaks: 'what ran under an earlier coordinator goes elsewhere as soon as the next one listens',
    promise: 'invariant 4: never two attempts under valid leases',
    file: FLEET,
    edits: [
      {
        find: 'const untilMs = now.monoMs + state.recoveredLeaseMs + leaseMarginMs(state.recoveredLeaseMs);',
        replace: 'const untilMs = now.monoMs;',
      },
    ],
  },
  {
    name: 'usual-wait-after-hold',
    breaks: 'a start waits for the configured lease, not for the longest one granted',
    promise: 'invariant 4: never two attempts under valid leases',
    file: FLEET,
    edits: [
      {
        find: 'const untilMs = now.monoMs + state.recoveredLeaseMs + leaseMarginMs(state.recoveredLeaseMs);',
        replace: 'const untilMs = now.monoMs + state.config.leaseMs + leaseMarginMs(state.config.leaseMs);',
      },
    ],
  },
  {
    name: 'keep-lost-attempt',
    breaks: 'welcome keeps what the coordinator has given up',
    promise: 'section 7: a lost attempt is never kept in welcome',
    file: FLEET,
    edits: [{ find: '      cancel.push(ref);\n      continue;', replace: '      keep.push(ref);\n      continue;' }],
  },
  {
    name: 'older-stream-takes-over',
    breaks: 'a hello of an older stream that arrives late takes the newer one over',
    promise: 'section 7: the higher session number wins',
    file: FLEET,
    edits: [
      {
        find: 'known.hello !== null && known.sessionNumber >= hello.sessionNumber',
        replace: 'known.hello !== null && known.sessionNumber === hello.sessionNumber',
      },
    ],
  },
  {
    name: 'no-margin-at-waking',
    breaks: 'after a standstill longer than a lease a worker is given up before all that it said is read',
    promise: 'section 3: what has arrived comes before any expiry',
    file: FLEET,
    edits: [{ find: 'Math.max(worker.lease.atMs + grantMs, againMs)', replace: 'worker.lease.atMs + grantMs' }],
  },
  {
    name: 'early-own-limit',
    breaks: 'the coordinator ends an attempt at its time-out, without waiting for its worker to do it',
    promise: 'section 7: by itself only at time-out + stuckGrace + lease',
    file: DISPATCH,
    edits: [
      {
        find: 'atMonoMs + task.timeoutMs + stuckGraceMs + leaseMs, {',
        replace: 'atMonoMs + task.timeoutMs + 0 * (stuckGraceMs + leaseMs), {',
      },
    ],
  },
];

/** Counters and budgets: what a task is charged. */
const CHARGES: readonly Mutation[] = [
  {
    name: 'forget-refund',
    breaks: 'a crash that a late report disproves stays on the record',
    promise: 'section 7: any charge is refunded',
    file: OUTCOME,
    edits: [{ find: "  if (entry.charge === 'CRASH') task.crashCount -= 1;\n", replace: '' }],
  },
  {
    name: 'forget-failure-refund',
    breaks: "the coordinator's own time-out and the worker's report of it are charged both",
    promise: 'section 7: any charge is refunded',
    file: OUTCOME,
    edits: [{ find: "  if (entry.charge === 'FAILURE') task.failureCount -= 1;\n", replace: '' }],
  },
  {
    name: 'charge-unstarted',
    breaks: 'a death is charged to what had never been started there',
    promise: 'section 5: a crash is a started attempt whose process died',
    file: FLEET,
    edits: [
      {
        find: '  if (!hold.started) {\n    return judged(',
        replace: "  if (how === 'silent' && !hold.started) {\n    return judged(",
      },
    ],
  },
  {
    name: 'charge-release',
    breaks: 'a drain, or a restart of the coordinator, costs a task one of its chances',
    promise: 'invariant 7: only what the task itself did costs it a chance',
    file: OUTCOME,
    edits: [
      {
        find: "if (end.outcome === 'FAILED' || end.outcome === 'TIMED_OUT')",
        replace: "if (end.outcome === 'FAILED' || end.outcome === 'TIMED_OUT' || end.outcome === 'RELEASED')",
      },
    ],
  },
  {
    name: 'one-failure-more',
    breaks: 'a task gets one attempt more than it asked for',
    promise: 'section 5: max_attempts bounds failures',
    file: OUTCOME,
    edits: [{ find: 'task.failureCount >= maxAttempts;', replace: 'task.failureCount > maxAttempts;' }],
  },
  {
    name: 'restart-max-attempts-1',
    breaks: 'a task that may be started once at most is handed out again although it may have been',
    promise: 'section 5: max_attempts 1 means at most one start',
    file: OUTCOME,
    edits: [
      { find: 'if (maxAttempts === 1 && end.mayHaveStarted) {', replace: 'if (maxAttempts === 1 && end.crash) {' },
    ],
  },
  {
    name: 'poison-early',
    breaks: 'a task is a dead letter after its second crash',
    promise: 'section 5: POISON after three crashes',
    file: 'coordinator/core/retry.ts',
    edits: [{ find: 'export const CRASH_BUDGET = 3;', replace: 'export const CRASH_BUDGET = 2;' }],
  },
  {
    name: 'poison-in-company',
    breaks: 'a worker gets a second task that has crashed others before',
    promise: 'section 5: one poison task does not condemn its neighbours',
    file: 'coordinator/core/match.ts',
    edits: [
      {
        find: '(task.crashCount === 0 || worker.crashedHolds === 0)',
        replace: '(task.crashCount === 0 || worker.crashedHolds <= 1)',
      },
    ],
  },
];

/** Slots, order, and what callers and operators are promised. */
const PROMISES: readonly Mutation[] = [
  {
    name: 'free-cancelled-early',
    breaks: 'the slot of a cancelled attempt is free before its worker confirms',
    promise: "invariant 5: never more than slots and prefetch, by the coordinator's own count",
    file: 'coordinator/core/worker.ts',
    edits: [
      {
        find: 'return worker.holds.size < hello.slots + hello.prefetch &&',
        replace:
          "const busy = [...worker.holds.values()].filter(({ state }) => state !== 'CANCELLING').length;\n  return busy < hello.slots + hello.prefetch &&",
      },
    ],
  },
  {
    name: 'count-by-workers-word',
    breaks: 'only attempts that a worker has confirmed take a slot',
    promise: 'invariant 5: counted by the coordinator, not by what the worker reports',
    file: 'coordinator/core/worker.ts',
    edits: [
      {
        find: 'return worker.holds.size < hello.slots + hello.prefetch &&',
        replace:
          "const busy = [...worker.holds.values()].filter(({ state }) => state !== 'SENT').length;\n  return busy < hello.slots + hello.prefetch &&",
      },
    ],
  },
  {
    name: 'submit-twice',
    breaks: 'a repeated submit of a task that has ended is taken for a new one',
    promise: 'section 5: task_id is the idempotency key',
    file: COMMANDS,
    edits: [
      {
        find: '  const known = state.tasks.get(taskId) ?? step.endedRow(taskId);\n  if (known !== undefined) {\n    // Like',
        replace: '  const known = state.tasks.get(taskId);\n  if (known !== undefined) {\n    // Like',
      },
    ],
  },
  {
    name: 'other-task-same-id',
    breaks: 'another task under the same id is acknowledged as the first',
    promise: 'section 5: task_id is the idempotency key',
    file: COMMANDS,
    edits: [{ find: 'if (known.digest !== input.digest)', replace: "if (known.digest === '')" }],
  },
  {
    name: 'forget-cancel',
    breaks: 'an acknowledged cancel is not durable',
    promise: 'section 3: every output leaves after it is durable',
    file: COMMANDS,
    edits: [
      { find: '  task.cancelRequested = true;\n  step.touch(task);\n', replace: '  task.cancelRequested = true;\n' },
    ],
  },
  {
    name: 'ignore-run-time',
    breaks: 'a task runs before its run_time',
    promise: 'section 5: run_time',
    file: COMMANDS,
    edits: [
      {
        find: 'if (spec.runTimeWallMs !== null && spec.runTimeWallMs > now.wallMs) {',
        replace: 'if (spec.runTimeWallMs !== null && spec.runTimeWallMs > now.wallMs + 5_000) {',
      },
    ],
  },
  {
    name: 'newest-first',
    breaks: 'of the tasks of one kind the newest goes first',
    promise: 'section 6: within a domain by tag',
    file: 'coordinator/core/ready-queue.ts',
    edits: [
      {
        find: 'new IndexedHeap<TaskRecord>((a, b) => a.tag < b.tag)',
        replace: 'new IndexedHeap<TaskRecord>((a, b) => a.tag > b.tag)',
      },
    ],
  },
  {
    name: 'forget-drains-at-restart',
    breaks: 'a coordinator that starts knows nothing of the drains held before',
    promise: 'section 5: drains are held by the server',
    file: SCHEDULER,
    edits: [
      {
        find: '  for (const { pattern, createWallMs } of drains) state.drains.set(pattern, heldDrain(pattern, createWallMs));\n',
        replace: '',
      },
    ],
  },
  {
    name: 'forget-drains-at-return',
    breaks: 'a new process of a drained worker gets tasks',
    promise: 'section 5: drains survive reconnects',
    file: FLEET,
    edits: [{ find: 'drainedBy: drainFor(state, workerId),', replace: 'drainedBy: null,' }],
  },
  {
    name: 'idle-too-early',
    breaks: 'a drain that waits is answered while its workers are busy',
    promise: 'section 5: wait until idle',
    file: 'coordinator/core/drains.ts',
    edits: [
      {
        find: 'if (reply.workers.some(({ attempts }) => attempts > 0)) return true;',
        replace: 'if (reply.workers.some(({ attempts }) => attempts > 1)) return true;',
      },
    ],
  },
  {
    name: 'ignore-labels',
    breaks: 'a task goes to a worker without the labels that it requires',
    promise: 'section 5: labels required of the worker',
    file: 'coordinator/core/match.ts',
    edits: [
      {
        find: 'every(([name, value]) => hello.labels[name] === value)',
        replace: 'every(([name, value]) => (hello.labels[name] ?? value) === value)',
      },
    ],
  },
];

/** Of the pure core. */
export const CORE_MUTATIONS: readonly Mutation[] = [...FENCE, ...LEASES, ...CHARGES, ...PROMISES];

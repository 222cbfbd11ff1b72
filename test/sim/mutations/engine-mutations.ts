import type { Mutation } from './mutation.js';

const ENGINE = 'coordinator/engine.ts';
const COMMIT = 'const results = writes.length === 0 ? [] : await this.#calls.run(() => store.commit(writes));';
const LET_OUT = 'this.#letOut(result, bodiesOf(writes, results), room.disk);';

/** Outputs of a kind leave before the commit, all others after it. `early` is the condition on `output`. */
function leavesEarly(early: string): Mutation['edits'] {
  return [
    {
      find: COMMIT,
      replace: `const isEarly = (output: Output): boolean => ${early};
    this.#letOut({ ...result, outputs: result.outputs.filter(isEarly) }, new Map(), room.disk);
    ${COMMIT}`,
    },
    {
      find: LET_OUT,
      replace: `this.#letOut(
      { ...result, outputs: result.outputs.filter((output) => !isEarly(output)) },
      bodiesOf(writes, results),
      room.disk,
    );`,
    },
  ];
}

/** Of the loop around the core. */
export const ENGINE_MUTATIONS: readonly Mutation[] = [
  {
    name: 'answer-before-commit',
    breaks: 'callers have their answers before what they tell is durable',
    promise: 'invariant 1: an acknowledged submit is on disk',
    file: ENGINE,
    edits: leavesEarly("output.kind === 'reply'"),
  },
  {
    name: 'acknowledge-before-commit',
    breaks: 'a report is acknowledged before it is durable',
    promise: 'invariant 1: a result whose report was acknowledged is on disk',
    file: ENGINE,
    edits: leavesEarly("output.kind === 'session' && output.output.kind === 'reportAck'"),
  },
  {
    name: 'assign-before-commit',
    breaks: "an assignment leaves before its attempt's number and lease are durable",
    promise: 'invariant 3: on disk before the assignment is on the wire',
    file: ENGINE,
    edits: leavesEarly("output.kind === 'session' && output.output.kind === 'assign' && output.output.body !== null"),
  },
  {
    name: 'forget-ends',
    breaks: 'that a task has expired is told and not written',
    promise: 'section 3: every output leaves after it is durable',
    file: ENGINE,
    edits: [
      {
        find: 'const own = this.#mayPurge()',
        replace:
          "writes = writes.filter((write) => write.kind !== 'update' || write.row.state !== 'EXPIRED');\n    const own = this.#mayPurge()",
      },
    ],
  },
  {
    name: 'forget-requeues',
    breaks: 'that a dead letter is back in the queue is told and not written',
    promise: 'section 3: every output leaves after it is durable',
    file: ENGINE,
    edits: [
      {
        find: 'const own = this.#mayPurge()',
        replace:
          "writes = writes.filter((write) => write.kind !== 'update' || !write.reopens);\n    const own = this.#mayPurge()",
      },
    ],
  },
  {
    name: 'forget-deletes',
    breaks: 'that a task is deleted is told and not written',
    promise: 'section 3: every output leaves after it is durable',
    file: ENGINE,
    edits: [
      {
        find: 'const own = this.#mayPurge()',
        replace: "writes = writes.filter((write) => write.kind !== 'delete');\n    const own = this.#mayPurge()",
      },
    ],
  },
  {
    name: 'assign-to-two',
    breaks: 'an assignment goes to the next session, too',
    promise: 'invariant 4: never two attempts under valid leases',
    file: ENGINE,
    edits: [
      {
        find: 'for (const [sessionId, forSession] of bySession) this.#gateway?.deliver(sessionId, forSession);',
        replace: `for (const [sessionId, forSession] of bySession) {
      this.#gateway?.deliver(sessionId, forSession);
      this.#gateway?.deliver(sessionId + 1, forSession.filter(({ kind }) => kind === 'assign'));
    }`,
      },
    ],
  },
  {
    name: 'lose-assignment',
    breaks: 'one assignment in sixteen never leaves',
    promise: 'every task ends once faults have stopped',
    file: ENGINE,
    edits: [
      {
        find: "if (item.kind === 'assign') item.body ??=",
        replace:
          "if (item.kind === 'assign' && item.ref.leaseId.endsWith('0')) return;\n      if (item.kind === 'assign') item.body ??=",
      },
    ],
  },
  {
    name: 'hold-not-durable',
    breaks: 'workers are told of a hold that the next start knows nothing of',
    promise: 'section 7: commit the hold, then send reconnect',
    file: ENGINE,
    edits: [
      { find: "    if (holdMs !== undefined) own.push({ kind: 'longestLease', leaseMs: holdMs });\n", replace: '' },
    ],
  },
  {
    name: 'forget-longest-lease',
    breaks:
      'a start forgets the longer lease of the coordinator before, which the start after it would have to wait for',
    promise: 'section 7: the store holds the longest lease granted',
    file: ENGINE,
    edits: [
      { find: 'const leaseMs = Math.max(longestLeaseMs, config.leaseMs);', replace: 'const { leaseMs } = config;' },
    ],
  },
  {
    name: 'no-stall-guard',
    breaks: "after a standstill of the coordinator its workers' silence counts",
    promise: 'section 3: stalls move the deadlines',
    file: ENGINE,
    edits: [
      {
        find: 'if (gapMs > STALL_MS) this.#grantStall(gapMs);',
        replace: 'if (gapMs > Infinity) this.#grantStall(gapMs);',
      },
    ],
  },
  {
    name: 'stall-before-older-frames',
    breaks: 'frames that came before a standstill, and are applied after it, undo what it granted',
    promise: 'section 3: stalls move the deadlines',
    file: 'coordinator/inbox.ts',
    edits: [{ find: '      if (item.atMonoMs <= atMonoMs) break;\n', replace: '' }],
  },
  {
    name: 'judge-while-stopping',
    breaks: 'a coordinator that stops, and stands still at that, gives up what it has told workers to hold',
    promise: 'section 7: held restart',
    file: ENGINE,
    edits: [{ find: 'this.#judges ? this.#inbox.oldestMs() : -Infinity', replace: 'this.#inbox.oldestMs()' }],
  },
  {
    name: 'mix-up-results',
    breaks: 'an answer carries the result of another task that was read with it',
    promise: 'invariant 1: a result that a client has seen is on disk',
    file: 'coordinator/answer-reader.ts',
    edits: [
      {
        find: "{ kind: 'task', task, waiting, progress }",
        replace: "{ kind: 'task', task: { ...task, result: tasks[0]?.result ?? null }, waiting, progress }",
      },
    ],
  },
];

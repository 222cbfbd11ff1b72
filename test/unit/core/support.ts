import { deepStrictEqual } from 'node:assert';
import { expect } from 'vitest';
import { CORE_DEFAULTS, type CoreConfig, type Random } from '../../../coordinator/core/config.js';
import type { FrameInput, HelloInfo, Input, ReportInfo } from '../../../coordinator/core/inputs.js';
import { checkInvariants } from '../../../coordinator/core/invariants.js';
import { leaseMarginMs } from '../../../coordinator/core/lease.js';
import type {
  CoreEvent,
  FleetStatsView,
  Output,
  Reply,
  SessionOutput,
  StepResult,
  Waiting,
  WorkerView,
} from '../../../coordinator/core/outputs.js';
import { createState, keysToRead, restore, step, untilNextMs } from '../../../coordinator/core/scheduler.js';
import { toRow, type SchedulerState } from '../../../coordinator/core/state.js';
import { fleetStats } from '../../../coordinator/core/views.js';
import type { Want } from '../../../coordinator/core/waiters.js';
import {
  hasEnded,
  type AttemptRef,
  type Failure,
  type ReplyToken,
  type RetryPolicy,
  type TaskRow,
  type TaskSpec,
} from '../../../coordinator/core/task.js';

export const LEASE_MS = CORE_DEFAULTS.leaseMs;
/** After so long without a frame a worker is lost. */
export const LEASE_END_MS = LEASE_MS + leaseMarginMs(LEASE_MS);
/** After so long beyond a time-out or cancel the coordinator ends an attempt by itself. */
export const LIMIT_MS = CORE_DEFAULTS.stuckGraceMs + LEASE_MS;

export interface SubmitOptions extends Partial<Omit<TaskSpec, 'retry'>> {
  readonly retry?: Partial<RetryPolicy>;
  readonly digest?: string;
  readonly want?: Want | null;
  readonly payloadBytes?: number;
}

type Assignment = Extract<SessionOutput, { kind: 'assign' }>;
type HelloOptions = Partial<Omit<HelloInfo, 'taskTypes'>> & { readonly taskTypes?: Readonly<Record<string, number>> };

/** Mulberry32: evenly distributed, 0 inclusive to 1 exclusive. */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The core with a clock in hand and a Map for a store. Every step is followed by a check of the invariants, and of memory
 * against the store.
 */
export class CoreDriver {
  readonly config: CoreConfig;
  state: SchedulerState;
  monoMs = 1_000;
  /** Until when all that has arrived is applied; see StepContext. */
  heardMonoMs = Infinity;
  storeRoomBytes = Infinity;
  wallMs = 1_700_000_000_000;
  /** What the next draws of randomness are; then seeded. */
  readonly draws: number[] = [];
  readonly store = new Map<string, TaskRow>();
  readonly storedDrains = new Map<string, number>();
  /** Outputs of all steps so far, until taken. */
  outputs: Output[] = [];
  lastResult: StepResult | undefined;
  private readonly random: Random;
  private nextToken = 1;
  private nextSession = 1;

  constructor(config: Partial<CoreConfig> = {}, seed = 1) {
    this.config = { ...CORE_DEFAULTS, ...config };
    const draw = seededRandom(seed);
    const hex = (): string =>
      Math.floor(draw() * 2 ** 32)
        .toString(16)
        .padStart(8, '0');
    this.random = { next: () => this.draws.shift() ?? draw(), leaseId: () => hex() + hex() };
    this.state = createState(this.config, this.random);
  }

  /** One step with these inputs; the store is written and everything is checked. */
  step(...inputs: Input[]): Output[] {
    const rows = new Map<string, TaskRow>();
    for (const taskId of keysToRead(this.state, inputs)) {
      const row = this.store.get(taskId);
      if (row !== undefined) rows.set(taskId, row);
    }
    const result = step(this.state, inputs, {
      now: { monoMs: this.monoMs, wallMs: this.wallMs },
      heardMonoMs: this.heardMonoMs,
      rows,
      storeRoomBytes: this.storeRoomBytes,
    });
    this.lastResult = result;
    this.commit(result);
    checkInvariants(this.state);
    if (!result.more) expect(this.state.queue.next(), 'what can be handed out has been').toBeUndefined();
    this.outputs.push(...result.outputs);
    return [...result.outputs];
  }

  private commit({ writes, outputs }: StepResult): void {
    for (const write of writes) {
      if (write.kind === 'longestLease' || write.kind === 'purge' || write.kind === 'purgeOld') continue;
      if (write.kind === 'drain') {
        if (write.createWallMs === null) this.storedDrains.delete(write.pattern);
        else this.storedDrains.set(write.pattern, write.createWallMs);
        continue;
      }
      if (write.kind === 'delete') {
        expect(this.store.get(write.taskId)?.revision, `delete of ${write.taskId}`).toBe(write.expectedRevision);
        this.store.delete(write.taskId);
        continue;
      }
      const { row } = write;
      const stored = this.store.get(row.taskId);
      if (write.kind === 'insert') expect(stored, `insert of ${row.taskId}`).toBeUndefined();
      else expect(stored?.revision, `revision of ${row.taskId}`).toBe(write.expectedRevision);
      const reopens = write.kind === 'update' && write.reopens;
      expect(stored !== undefined && hasEnded(stored.state), `${row.taskId} ends once, unless it is requeued`).toBe(
        reopens,
      );
      this.store.set(row.taskId, row);
    }
    const open = [...this.store.values()].filter(({ state }) => !hasEnded(state));
    expect(this.state.tasks.size, 'open tasks in memory and in the store').toBe(open.length);
    for (const row of open) {
      const task = this.state.tasks.get(row.taskId);
      if (task === undefined) throw new Error(`task ${row.taskId} is open in the store and not in memory`);
      deepStrictEqual(toRow(task), row);
    }
    for (const output of outputs) {
      if (output.kind !== 'session' || output.output.kind !== 'assign') continue;
      const { ref } = output.output;
      const row = this.store.get(ref.taskId);
      expect([row?.state, row?.attempt, row?.leaseId], 'an assignment is on disk before it is sent').toEqual([
        'RUNNING',
        ref.attempt,
        ref.leaseId,
      ]);
    }
  }

  /** Steps without inputs until no step says that there is more. */
  stepUntilDone(): void {
    while (this.lastResult?.more === true) this.step();
  }

  /** Moves both clocks and steps. */
  advance(ms: number, ...inputs: Input[]): Output[] {
    this.monoMs += ms;
    this.wallMs += ms;
    return this.step(...inputs);
  }

  /** As `advance`, in steps of a heartbeat, with a frame of each of the sessions at each. */
  advanceAlive(ms: number, ...sessionIds: number[]): void {
    for (let leftMs = ms; leftMs > 0; leftMs -= 5_000) {
      this.monoMs += Math.min(5_000, leftMs);
      this.wallMs += Math.min(5_000, leftMs);
      this.step(...sessionIds.map((sessionId) => this.frameInput(sessionId)));
    }
  }

  /** Milliseconds until something is due by itself. */
  untilNextMs(): number {
    return untilNextMs(this.state, { monoMs: this.monoMs, wallMs: this.wallMs });
  }

  /** The coordinator dies and starts again on what the store has. The monotonic clock begins anew. */
  restart(longestLeaseMs: number = LEASE_MS, listening = true): void {
    this.state = createState(this.config, this.random);
    this.monoMs = 500;
    const open = [...this.store.values()].filter(({ state }) => !hasEnded(state));
    const drains = [...this.storedDrains].map(([pattern, createWallMs]) => ({ pattern, createWallMs }));
    restore(this.state, open, { longestLeaseMs, drains, now: { monoMs: this.monoMs, wallMs: this.wallMs } });
    checkInvariants(this.state);
    this.outputs = [];
    if (listening) this.step({ kind: 'listening' });
  }

  submitInput(taskId: string, options: SubmitOptions = {}): Extract<Input, { kind: 'submit' }> {
    const { retry, digest = 'same', want = null, payloadBytes = 0, ...spec } = options;
    return {
      kind: 'submit',
      token: this.nextToken++,
      taskId,
      spec: {
        type: 'work',
        priority: 10,
        requiredLabels: {},
        timeoutMs: 300_000,
        deadlineWallMs: null,
        runTimeWallMs: null,
        ...spec,
        retry: { maxAttempts: 3, initialBackoffMs: 200, maxBackoffMs: 30_000, nonRetryableReasons: [], ...retry },
      },
      body: {
        payload: { contentType: 'application/json', data: new Uint8Array(payloadBytes) },
        metadata: {},
        traceparent: '',
      },
      digest,
      want,
    };
  }

  /** Submits in a step of its own. */
  submit(taskId: string, options: SubmitOptions = {}): Reply {
    const input = this.submitInput(taskId, options);
    return this.replyTo(input.token, this.step(input));
  }

  /** A question, asked in a step of its own. */
  ask(make: (token: ReplyToken) => Input): Reply {
    const token = this.nextToken++;
    return this.replyTo(token, this.step(make(token)));
  }

  cancelInput(taskId: string): Extract<Input, { kind: 'cancel' }> {
    return { kind: 'cancel', token: this.nextToken++, taskId };
  }

  cancel(taskId: string): Reply {
    const input = this.cancelInput(taskId);
    return this.replyTo(input.token, this.step(input));
  }

  /** Why the task waits; null if it does not. */
  waiting(taskId: string): Waiting | null {
    const token = this.nextToken++;
    const reply = this.replyTo(token, this.step({ kind: 'getTask', token, taskId }));
    if (reply.kind !== 'task') throw new Error(`getTask was answered ${reply.kind}`);
    return reply.waiting;
  }

  /** The counts that people see. */
  stats(): FleetStatsView {
    return fleetStats(this.state);
  }

  worker(workerId: string): WorkerView {
    const token = this.nextToken++;
    const reply = this.replyTo(token, this.step({ kind: 'getWorker', token, workerId }));
    if (reply.kind !== 'worker') throw new Error(`getWorker was answered ${reply.kind}`);
    return reply.worker;
  }

  replyTo(token: number, outputs: readonly Output[] = this.outputs): Reply {
    const replies = outputs.flatMap((output) =>
      output.kind === 'reply' && output.token === token ? [output.reply] : [],
    );
    if (replies[0] === undefined) throw new Error(`no reply to ${token}`);
    return replies[0];
  }

  helloInput(workerId: string, options: HelloOptions = {}): Extract<Input, { kind: 'hello' }> {
    const { taskTypes, slots = 1, ...rest } = options;
    return {
      kind: 'hello',
      sessionId: this.nextSession++,
      atMonoMs: this.monoMs,
      hello: {
        workerId,
        incarnation: `${workerId}#1`,
        sessionNumber: 1,
        replaces: [],
        version: '1',
        host: 'host',
        pid: 1,
        labels: {},
        slots,
        prefetch: 0,
        running: [],
        unsentReports: [],
        ...rest,
        taskTypes: new Map(Object.entries(taskTypes ?? { work: slots })),
      },
    };
  }

  /** A worker says hello in a step of its own. Returns its session. */
  hello(workerId: string, options: HelloOptions = {}): number {
    const input = this.helloInput(workerId, options);
    this.step(input);
    return input.sessionId;
  }

  frameInput(sessionId: number, frame: Partial<FrameInput> = {}): FrameInput {
    return {
      kind: 'frame',
      sessionId,
      atMonoMs: this.monoMs,
      ...{ held: [], started: [], reports: [], progress: [], notStarted: [], load: null, leaving: null },
      ...frame,
    };
  }

  frame(sessionId: number, frame: Partial<FrameInput> = {}): Output[] {
    return this.step(this.frameInput(sessionId, frame));
  }

  /** The worker says that the handler has been entered. */
  start(sessionId: number, ref: AttemptRef): void {
    this.frame(sessionId, { started: [ref] });
  }

  /** The worker reports an attempt. Returns the acknowledgement: empty, or why it was refused. */
  report(
    sessionId: number,
    ref: AttemptRef,
    outcome: ReportInfo['outcome'] = 'SUCCEEDED',
    failure?: Partial<Failure>,
  ): string {
    const outputs = this.frame(sessionId, { reports: [reportOf(ref, outcome, failure)] });
    return this.ackOf(sessionId, ref, outputs);
  }

  /** How a report was acknowledged: empty, or why it was refused. */
  ackOf(sessionId: number, ref: AttemptRef, outputs: readonly Output[] = this.outputs): string {
    for (const output of sessionOutputs(outputs, sessionId)) {
      if (output.kind !== 'reportAck' || output.ref.taskId !== ref.taskId || output.ref.attempt !== ref.attempt)
        continue;
      expect(output.accepted).toBe(output.reason === '');
      return output.reason;
    }
    throw new Error(`the report of ${ref.taskId} was not acknowledged`);
  }

  /** The newest attempt of a task, as its holder names it. */
  ref(taskId: string): AttemptRef {
    const { attempt, leaseId } = this.row(taskId);
    return { taskId, attempt, leaseId };
  }

  row(taskId: string): TaskRow {
    const row = this.store.get(taskId);
    if (row === undefined) throw new Error(`the store does not know task ${taskId}`);
    return row;
  }

  /** Assignments of all steps so far that were not taken: task ids, in order. */
  assigned(sessionId?: number): string[] {
    return this.outputs.flatMap((output) =>
      output.kind === 'session' &&
      output.output.kind === 'assign' &&
      (sessionId === undefined || output.sessionId === sessionId)
        ? [output.output.ref.taskId]
        : [],
    );
  }

  /** The one task that a worker holds. */
  assignedTo(workerId: string): string {
    const [attempt, ...more] = this.worker(workerId).attempts;
    if (attempt === undefined || more.length > 0) throw new Error(`${workerId} does not hold one task`);
    return attempt.taskId;
  }

  /** The newest assignment of a task that left. */
  assignment(taskId: string): Assignment {
    const found = this.outputs.findLast(
      (output) => output.kind === 'session' && output.output.kind === 'assign' && output.output.ref.taskId === taskId,
    );
    if (found?.kind !== 'session' || found.output.kind !== 'assign') throw new Error(`${taskId} was not assigned`);
    return found.output;
  }

  events(name: CoreEvent['name']): CoreEvent[] {
    return this.outputs.flatMap((output) =>
      output.kind === 'event' && output.event.name === name ? [output.event] : [],
    );
  }

  /** What a session was sent, of one kind. */
  sent<K extends SessionOutput['kind']>(sessionId: number, kind: K): Extract<SessionOutput, { kind: K }>[] {
    return sessionOutputs(this.outputs, sessionId).filter(
      (output): output is Extract<SessionOutput, { kind: K }> => output.kind === kind,
    );
  }
}

function sessionOutputs(outputs: readonly Output[], sessionId: number): SessionOutput[] {
  return outputs.flatMap((output) =>
    output.kind === 'session' && output.sessionId === sessionId ? [output.output] : [],
  );
}

export function reportOf(
  ref: AttemptRef,
  outcome: ReportInfo['outcome'] = 'SUCCEEDED',
  failure: Partial<Failure> = {},
): ReportInfo {
  return {
    ref,
    outcome,
    result: outcome === 'SUCCEEDED' ? { contentType: 'application/json', data: new Uint8Array([49]) } : null,
    failure:
      outcome === 'SUCCEEDED'
        ? null
        : {
            reason: outcome === 'FAILED' ? 'HANDLER_ERROR' : outcome,
            message: 'm',
            nonRetryable: false,
            stack: 's',
            ...failure,
          },
    startDelayMs: 1,
    runMs: 10,
  };
}

/** Worker w with one attempt of task t, started. */
export function running(options: Parameters<CoreDriver['submit']>[1] = {}): { core: CoreDriver; session: number } {
  const core = new CoreDriver();
  const session = core.hello('w');
  core.submit('t', options);
  core.start(session, core.ref('t'));
  return { core, session };
}

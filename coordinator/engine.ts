/**
 * The one loop. Everything that arrives (calls, frames, timers) goes into the inbox; one batch at a time is
 *
 * 1. gathered: all that has arrived, up to the batch's bound;
 * 2. read: one store read of the tasks it names that are not in memory;
 * 3. stepped: the pure core, all at once;
 * 4. committed: one transaction, one fsync;
 * 5. let out: answers, assignments, acknowledgements, in order per peer.
 *
 * What arrives meanwhile is the next batch, so batches grow with load by themselves and at rest there is no delay. Nothing
 * leaves before it is durable.
 */
import type { CoreConfig, Random } from './core/config.js';
import type { Input } from './core/inputs.js';
import type { CoreEvent, FleetStatsView, Output, Reply, SessionOutput, StepResult, Write } from './core/outputs.js';
import {
  createState,
  keysToRead,
  recoveryMs,
  restore,
  step,
  untilNextMs,
  type SchedulerState,
} from './core/scheduler.js';
import type { ProgressNote, ReplyToken, TaskBody, TaskRow } from './core/task.js';
import type { Waiting } from './core/outputs.js';
import { fleetStats } from './core/views.js';
import { Inbox, type InboxLimits } from './inbox.js';
import type { Runtime } from './runtime.js';
import { StoreError, type Store, type StoredTask, type WriteResult } from './store/store.js';

/** The answer to a caller: the core's, with what only the store has. */
export type EngineReply =
  | Exclude<Reply, { kind: 'task' }>
  | {
      readonly kind: 'task';
      readonly task: StoredTask;
      readonly waiting: Waiting | null;
      readonly progress: ProgressNote | null;
    };

/** Where outputs for workers go. */
export interface SessionGateway {
  deliver(sessionId: number, outputs: readonly SessionOutput[]): void;
}

export interface EngineOptions {
  readonly store: Store;
  readonly config: CoreConfig;
  readonly random: Random;
  readonly runtime: Runtime;
  readonly inbox: InboxLimits;
  /** Called once when the process must not go on; what is in memory is not to be trusted then. */
  readonly onFatal: (error: Error, exitCode: number) => void;
  readonly onEvent?: (event: CoreEvent) => void;
  readonly onBatch?: (batch: BatchFigures) => void;
  /** Called after each step; throws if the state cannot be. Tests and simulation only: it looks at everything. */
  readonly checkInvariants?: (state: SchedulerState) => void;
}

export interface BatchFigures {
  readonly inputs: number;
  readonly writes: number;
  readonly stepMs: number;
  readonly commitMs: number;
}

/** sysexits.h EX_IOERR: the store failed, or refused for too long. */
const EXIT_STORE = 74;
/** sysexits.h EX_SOFTWARE: the coordinator itself is at fault. */
const EXIT_BUG = 70;

const STORE_RETRY_MS = 100;
const STORE_RETRY_LIMIT_MS = 30_000;
const TICK_MS = 100;
const STALL_MS = 500;
const LOAD_PAGE = 10_000;

type Listener = (reply: EngineReply) => void;

export class Engine {
  readonly #options: EngineOptions;
  readonly #state: SchedulerState;
  readonly #inbox: Inbox;
  readonly #listeners = new Map<ReplyToken, Listener>();
  #gateway: SessionGateway | undefined;
  #nextToken = 1;
  #status: 'new' | 'running' | 'stopping' | 'stopped' | 'failed' = 'new';
  #turn: Promise<void> | null = null;
  #kicked = false;
  #more = false;
  /** Nobody can hold an earlier coordinator's longer lease any more. */
  #recovered = false;
  #storeRefuses: string | null = null;
  #forgetAlarm: (() => void) | null = null;
  #forgetTick: (() => void) | null = null;
  #forgetRecovery: (() => void) | null = null;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#state = createState(options.config, options.random);
    this.#inbox = new Inbox(options.inbox);
  }

  /** Why new work is refused at the door; null: it is not. */
  get refusal(): { readonly reason: 'STORE_UNAVAILABLE' | 'COORDINATOR_STOPPING'; readonly message: string } | null {
    if (this.#status !== 'running') {
      return { reason: 'COORDINATOR_STOPPING', message: 'the coordinator is stopping; try again in a moment' };
    }
    if (this.#storeRefuses === null) return null;
    return { reason: 'STORE_UNAVAILABLE', message: `the store takes no writes at the moment: ${this.#storeRefuses}` };
  }

  /** Counts of now, for metrics: may be one batch ahead of the store. */
  stats(): FleetStatsView {
    return fleetStats(this.#state);
  }

  get inboxSize(): number {
    return this.#inbox.size;
  }

  /**
   * Opens the store and takes up what had not ended. Nothing is handed out before the first input.
   *
   * @throws StoreError from opening the store
   */
  async start(gateway: SessionGateway): Promise<void> {
    const { store, config } = this.#options;
    this.#gateway = gateway;
    const { longestLeaseMs } = await store.open();
    const rows = await this.#loadOpen();
    restore(this.#state, rows, longestLeaseMs);
    // Before the first frame that grants it. An earlier, longer one still counts until all that hold it are accounted for.
    await this.#commit([{ kind: 'longestLease', leaseMs: Math.max(longestLeaseMs, config.leaseMs) }]);
    this.#status = 'running';
    this.#tick(this.#options.runtime.now().monoMs);
  }

  /** The coordinator listens: from now on workers of an earlier one are waited for. */
  listening(): void {
    this.#inbox.push({ kind: 'listening' }, 0);
    this.#kick();
    const { runtime, config } = this.#options;
    if (this.#state.recoveredLeaseMs <= config.leaseMs) return;
    this.#forgetRecovery = runtime.after(recoveryMs(this.#state.recoveredLeaseMs), () => {
      this.#recovered = true;
      this.#kick();
    });
  }

  /**
   * Appends an input of a worker's session. A quarter of the inbox is reserved for them.
   *
   * @returns False if there is no room: keep it, stop reading, and come back after {@link onDrained}.
   */
  append(input: Input, bytes: number): boolean {
    if (this.#status !== 'running' && this.#status !== 'stopping') return true;
    if (!this.#inbox.offer(input, bytes, 'worker')) return false;
    this.#kick();
    return true;
  }

  /** Calls back once, when the inbox has room again. */
  onDrained(run: () => void): void {
    this.#inbox.onDrained(run);
  }

  /**
   * Asks for something, once or with a wait; every reply goes to `listener`, after it is durable.
   *
   * @returns The token to {@link abandon} it by, or null if the inbox is full.
   */
  ask(make: (token: ReplyToken) => Input, bytes: number, listener: Listener): ReplyToken | null {
    const token = this.#nextToken;
    this.#nextToken += 1;
    if (!this.#inbox.offer(make(token), bytes, 'client')) return null;
    this.#listeners.set(token, listener);
    this.#kick();
    return token;
  }

  /** Nobody listens for the token any more. */
  forget(token: ReplyToken): void {
    this.#listeners.delete(token);
  }

  /** Nobody waits for the task any more; with `cancel` it is cancelled too. Never refused: it makes work less. */
  abandon(token: ReplyToken, taskId: string, cancel: boolean): void {
    this.forget(token);
    if (this.#status !== 'running') return;
    this.#inbox.push({ kind: 'abandon', token, taskId, cancel }, 0);
    this.#kick();
  }

  /** Finishes what has arrived and closes the store. Idempotent. */
  async stop(): Promise<void> {
    if (this.#status === 'running') this.#status = 'stopping';
    this.#forgetAlarm?.();
    this.#forgetTick?.();
    this.#forgetRecovery?.();
    while (this.#turn !== null || this.#kicked) {
      await (this.#turn ?? new Promise<void>((resolve) => this.#options.runtime.defer(resolve)));
    }
    if (this.#status === 'stopping') this.#status = 'stopped';
    await this.#options.store.close();
  }

  async #loadOpen(): Promise<TaskRow[]> {
    const rows: TaskRow[] = [];
    for (;;) {
      const page = await this.#options.store.loadOpen({ afterTaskId: rows.at(-1)?.taskId ?? '', limit: LOAD_PAGE });
      for (const row of page) rows.push(row);
      if (page.length < LOAD_PAGE) return rows;
    }
  }

  /** Notices when the whole process stood still: then nobody's silence in that time counts against him. */
  #tick(lastMonoMs: number): void {
    const { runtime } = this.#options;
    this.#forgetTick = runtime.after(TICK_MS, () => {
      const { monoMs } = runtime.now();
      const gapMs = monoMs - lastMonoMs;
      if (gapMs > STALL_MS) this.#inbox.push({ kind: 'stalled', gapMs }, 0);
      // A wall clock that was set forward makes something due without any alarm.
      if (gapMs > STALL_MS || untilNextMs(this.#state, runtime.now()) === 0) this.#kick();
      this.#tick(monoMs);
    });
  }

  #kick(): void {
    if (this.#kicked || this.#turn !== null || this.#status === 'failed' || this.#status === 'stopped') return;
    this.#kicked = true;
    // Nothing acts inside an event callback: what else arrives in this turn of the loop shares the batch.
    this.#options.runtime.defer(() => {
      this.#kicked = false;
      this.#turn = this.#runTurn().then(
        () => this.#afterTurn(),
        (error: unknown) => this.#fail(error),
      );
    });
  }

  #afterTurn(): void {
    this.#turn = null;
    if (this.#status === 'failed') return;
    if (this.#inbox.size > 0 || (this.#more && this.#status === 'running')) this.#kick();
    else this.#setAlarm();
  }

  #setAlarm(): void {
    this.#forgetAlarm?.();
    this.#forgetAlarm = null;
    if (this.#status !== 'running') return;
    const { runtime } = this.#options;
    const untilMs = untilNextMs(this.#state, runtime.now());
    // Longer waits are cut: setTimeout takes 31 bits, and the tick looks at the clocks anyway.
    if (untilMs < 1_000_000) this.#forgetAlarm = runtime.after(Math.ceil(untilMs), () => this.#kick());
  }

  async #runTurn(): Promise<void> {
    const { runtime, store, onBatch, checkInvariants } = this.#options;
    const inputs = this.#inbox.take();
    const keys = keysToRead(this.#state, inputs);
    const rows = keys.length === 0 ? NO_ROWS : rowsById(await store.read({ taskIds: keys, bodies: false }));

    const startMs = runtime.now().monoMs;
    const result = step(this.#state, inputs, rows, runtime.now());
    checkInvariants?.(this.#state);
    this.#more = result.more;
    const steppedMs = runtime.now().monoMs;

    const writes = this.#withRecovered(result.writes);
    const results = writes.length === 0 ? [] : await this.#commit(writes);
    onBatch?.({
      inputs: inputs.length,
      writes: writes.length,
      stepMs: steppedMs - startMs,
      commitMs: runtime.now().monoMs - steppedMs,
    });
    await this.#letOut(result, bodiesOf(writes, results));
  }

  /** Once nobody can hold an earlier coordinator's longer lease any more, the store forgets it. */
  #withRecovered(writes: readonly Write[]): readonly Write[] {
    if (!this.#recovered) return writes;
    this.#recovered = false;
    return [...writes, { kind: 'longestLease', leaseMs: this.#options.config.leaseMs }];
  }

  /** Repeats a batch that the store refuses for now; meanwhile new work is refused at the door. */
  async #commit(writes: readonly Write[]): Promise<readonly WriteResult[]> {
    const { runtime, store } = this.#options;
    const startMs = runtime.now().monoMs;
    for (;;) {
      try {
        const results = await store.commit(writes);
        this.#storeRefuses = null;
        return results;
      } catch (error) {
        const givenUp = runtime.now().monoMs - startMs >= STORE_RETRY_LIMIT_MS;
        if (!(error instanceof StoreError) || !error.retryable || givenUp) throw error;
        this.#storeRefuses = error.message;
        await new Promise<void>((resolve) => runtime.after(STORE_RETRY_MS, resolve));
      }
    }
  }

  async #letOut({ outputs }: StepResult, bodies: ReadonlyMap<string, TaskBody>): Promise<void> {
    const bySession = new Map<number, SessionOutput[]>();
    const replies: { token: ReplyToken; reply: Reply }[] = [];
    for (const output of outputs) this.#sort(output, bodies, bySession, replies);
    for (const [sessionId, forSession] of bySession) this.#gateway?.deliver(sessionId, forSession);
    const wanted = replies.flatMap(({ token, reply }) =>
      reply.kind === 'task' && this.#listeners.has(token) ? [reply.taskId] : [],
    );
    const stored = await this.#readTasks(wanted);
    for (const { token, reply } of replies) this.#answer(token, reply, stored);
  }

  #sort(
    output: Output,
    bodies: ReadonlyMap<string, TaskBody>,
    bySession: Map<number, SessionOutput[]>,
    replies: { token: ReplyToken; reply: Reply }[],
  ): void {
    if (output.kind === 'event') {
      this.#options.onEvent?.(output.event);
    } else if (output.kind === 'reply') {
      replies.push(output);
    } else {
      const item = output.output;
      if (item.kind === 'assign') item.body ??= bodyFor(item.ref.taskId, bodies);
      const forSession = bySession.get(output.sessionId);
      if (forSession === undefined) bySession.set(output.sessionId, [item]);
      else forSession.push(item);
    }
  }

  async #readTasks(taskIds: readonly string[]): Promise<ReadonlyMap<string, StoredTask>> {
    const stored = new Map<string, StoredTask>();
    if (taskIds.length === 0) return stored;
    const unique = [...new Set(taskIds)];
    for (const task of await this.#options.store.read({ taskIds: unique, bodies: true })) {
      if (task !== undefined) stored.set(task.row.taskId, task);
    }
    return stored;
  }

  #answer(token: ReplyToken, reply: Reply, stored: ReadonlyMap<string, StoredTask>): void {
    const listener = this.#listeners.get(token);
    if (listener === undefined) return;
    if (reply.kind !== 'task') {
      listener(reply);
      return;
    }
    const task = stored.get(reply.taskId);
    listener(
      task === undefined
        ? { kind: 'taskNotFound', taskId: reply.taskId }
        : { kind: 'task', task, waiting: reply.waiting, progress: reply.progress },
    );
  }

  #fail(error: unknown): void {
    this.#turn = null;
    this.#status = 'failed';
    const cause = error instanceof Error ? error : new Error(String(error));
    this.#options.onFatal(cause, cause instanceof StoreError ? EXIT_STORE : EXIT_BUG);
  }
}

const NO_ROWS: ReadonlyMap<string, TaskRow> = new Map();

function rowsById(stored: readonly (StoredTask | undefined)[]): Map<string, TaskRow> {
  const rows = new Map<string, TaskRow>();
  for (const task of stored) if (task !== undefined) rows.set(task.row.taskId, task.row);
  return rows;
}

/** With one owner, a write that does not fit is a bug: going on would spread it. */
function bodiesOf(writes: readonly Write[], results: readonly WriteResult[]): Map<string, TaskBody> {
  const bodies = new Map<string, TaskBody>();
  for (const [index, result] of results.entries()) {
    const write = writes[index];
    if (write === undefined || write.kind === 'longestLease') continue;
    if (result.kind === 'conflict') {
      const found = result.row === null ? 'no row' : `revision ${result.row.revision}`;
      throw new Error(
        `the store has ${found} of task ${write.row.taskId}, not what revision ${write.row.revision} replaces`,
      );
    }
    if (result.body !== null) bodies.set(write.row.taskId, result.body);
  }
  return bodies;
}

function bodyFor(taskId: string, bodies: ReadonlyMap<string, TaskBody>): TaskBody {
  const body = bodies.get(taskId);
  if (body === undefined) throw new Error(`the store returned no body of task ${taskId}, which is to be handed out`);
  return body;
}

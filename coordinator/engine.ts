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
import { AnswerReader } from './answer-reader.js';
import { bodiesOf, bodyFor } from './committed-bodies.js';
import type { CoreConfig, Random } from './core/config.js';
import { fleetGlance, type FleetGlance } from './core/fleet-glance.js';
import type { Input, ProcessEnd } from './core/inputs.js';
import type {
  CoreEvent,
  FleetStatsView,
  Output,
  Reply,
  SessionOutput,
  StepResult,
  Waiting,
  Write,
} from './core/outputs.js';
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
import { fleetStats, knownSlots } from './core/views.js';
import type { DiskRoom } from './free-space.js';
import { Inbox, type InboxLimits } from './inbox.js';
import { RepeatedCalls } from './repeated-calls.js';
import { Retention, type Purged, type RetentionOptions, type Sight } from './retention.js';
import type { Runtime } from './runtime.js';
import { StoreWatch } from './store-watch.js';
import {
  StoreError,
  type ListParams,
  type Store,
  type StoredTask,
  type StoreStats,
  type TaskPage,
} from './store/store.js';

/** The answer to a caller: the core's, with what only the store has. */
export type EngineReply =
  | Exclude<Reply, { kind: 'task' | 'storeFull' }>
  | {
      readonly kind: 'storeFull';
      readonly taskId: string;
      /** The disk that is too full for it; null: the store's own bound has been reached. */
      readonly disk: DiskRoom | null;
    }
  | {
      readonly kind: 'task';
      readonly task: StoredTask;
      readonly waiting: Waiting | null;
      readonly progress: ProgressNote | null;
    }
  /** The coordinator stopped before it could answer. Whether it has been done is not known: ask again. */
  | { readonly kind: 'stopped' };

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
  /** Told of each event, in order, once it is durable. */
  readonly onEvent?: (event: CoreEvent) => void;
  /** Called once for each batch, when it is durable and its events have been told, before anything of it leaves. */
  readonly onSettled?: () => void;
  readonly onBatch?: (batch: BatchFigures) => void;
  /** How long ended tasks are kept. Default: RETENTION_DEFAULTS. */
  readonly retention?: Partial<RetentionOptions>;
  /** Ended tasks have been removed because their time was over. */
  readonly onPurged?: (purged: Purged) => void;
  /** The store refuses what it may take later, as the message says; null: it takes everything again. */
  readonly onStoreTrouble?: (message: string | null) => void;
  /** Bytes that new tasks leave free on the store's disk, beside 1 MiB a slot; 0, the default: none. */
  readonly minFreeBytes?: number;
  /** The disk has too little free for new tasks; null: it has enough again. */
  readonly onDiskLow?: (disk: DiskRoom | null) => void;
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

const TICK_MS = 100;
const STALL_MS = 500;
const LOAD_PAGE = 10_000;

type Listener = (reply: EngineReply) => void;

export class Engine {
  readonly #options: EngineOptions;
  readonly #state: SchedulerState;
  readonly #inbox: Inbox;
  readonly #listeners = new Map<ReplyToken, Listener>();
  readonly #answers: AnswerReader;
  readonly #retention: Retention;
  readonly #calls: RepeatedCalls;
  readonly #watch: StoreWatch;
  #gateway: SessionGateway | undefined;
  #nextToken = 1;
  #status: 'new' | 'running' | 'stopping' | 'stopped' | 'failed' = 'new';
  #started: Promise<void> | null = null;
  #turn: Promise<void> | null = null;
  #turnSinceMs = 0;
  #kicked = false;
  #more = false;
  /** Nobody can hold an earlier coordinator's longer lease any more. */
  #recovered = false;
  /** To be written with the next batch. */
  #hold: { readonly leaseMs: number; readonly onDurable: () => void } | null = null;
  #forgetAlarm: (() => void) | null = null;
  #forgetTick: (() => void) | null = null;
  /** When the process was last seen to run. */
  #tickMonoMs = 0;
  /** False once it stops: what runs is held for the next coordinator to judge, and nobody is given up any more. */
  #judges = true;
  #forgetRecovery: (() => void) | null = null;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#state = createState(options.config, options.random);
    this.#inbox = new Inbox(options.inbox);
    this.#retention = new Retention(options.retention);
    this.#calls = new RepeatedCalls({
      runtime: options.runtime,
      mayRepeat: () => this.#status === 'running' || this.#status === 'new',
      onTrouble: (message) => options.onStoreTrouble?.(message),
    });
    this.#watch = new StoreWatch({
      ...{ store: options.store, runtime: options.runtime, minFreeBytes: options.minFreeBytes ?? 0 },
      slots: () => knownSlots(this.#state),
      onDiskLow: (disk) => options.onDiskLow?.(disk),
      onError: (error) => this.#fail(error),
    });
    this.#answers = new AnswerReader({
      read: (taskIds) => this.#calls.run(() => options.store.read({ taskIds, bodies: true })),
      isWanted: (token) => this.#listeners.has(token),
      answer: (token, reply) => this.#listeners.get(token)?.(reply),
      onError: (error) => this.#fail(error),
    });
  }

  /** Why new work is refused at the door; null: it is not. */
  get refusal(): { readonly reason: 'STORE_UNAVAILABLE' | 'COORDINATOR_STOPPING'; readonly message: string } | null {
    if (this.#status !== 'running') {
      return { reason: 'COORDINATOR_STOPPING', message: 'the coordinator is stopping; try again in a moment' };
    }
    const { refusal } = this.#calls;
    if (refusal === null) return null;
    return { reason: 'STORE_UNAVAILABLE', message: `the store takes no writes at the moment: ${refusal}` };
  }

  /** Counts of now, for metrics: may be one batch ahead of the store. */
  stats(): FleetStatsView {
    return fleetStats(this.#state);
  }

  /** A look at the state, without a copy: within `onSettled` as it is durable, at other times maybe one batch ahead of the store. */
  glance(): FleetGlance {
    return fleetGlance(this.#state, this.#options.runtime.now());
  }

  /** How long the batch that is underway has been, in milliseconds; 0: none is. */
  get batchMs(): number {
    return this.#turn === null ? 0 : this.#options.runtime.now().monoMs - this.#turnSinceMs;
  }

  /** What the store keeps, as of its newest commit. */
  storeCounts(): StoreStats {
    return this.#options.store.stats();
  }

  /** The store's disk as it was seen last, at rest a second ago at most; null: it is on none, or that does not tell. */
  get disk(): DiskRoom | null {
    return this.#watch.disk;
  }

  /** Somebody has seen how the task ended: from now on its record may go sooner. */
  seen(taskId: string, endWallMs: number, sight: Sight): void {
    this.#retention.seen({ taskId, endWallMs }, sight, this.#options.runtime.now().monoMs);
  }

  /** True if an id that nobody knows is as old as tasks that are no longer kept: it may be one of theirs. */
  wasPurged(taskId: string): boolean {
    return this.#retention.wasPurged(taskId);
  }

  get inboxSize(): number {
    return this.#inbox.size;
  }

  /**
   * Opens the store and takes up what had not ended. Nothing is handed out before the first input.
   *
   * @throws StoreError from opening the store; Error if it is stopped meanwhile
   */
  start(gateway: SessionGateway): Promise<void> {
    this.#gateway = gateway;
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    const { store, config } = this.#options;
    this.#checkStarting();
    const opened = await store.open();
    const { longestLeaseMs, purgedIdMs } = opened;
    this.#retention.opened(purgedIdMs);
    const rows = await this.#loadOpen();
    this.#checkStarting();
    restore(this.#state, rows, { ...opened, now: this.#options.runtime.now() });
    // Before the first frame that grants it. An earlier, longer one still counts until all that hold it are accounted for.
    const leaseMs = Math.max(longestLeaseMs, config.leaseMs);
    await this.#calls.run(() => store.commit([{ kind: 'longestLease', leaseMs }]));
    this.#checkStarting();
    this.#status = 'running';
    this.#watch.seen();
    this.#tickMonoMs = this.#options.runtime.now().monoMs;
    this.#tick();
  }

  #checkStarting(): void {
    if (this.#status !== 'new') throw new Error('the coordinator was stopped while it started');
  }

  /** The coordinator listens: from now on workers of an earlier one are waited for. */
  listening(): void {
    this.#push({ kind: 'listening' });
    const { runtime, config } = this.#options;
    if (this.#state.recoveredLeaseMs <= config.leaseMs) return;
    this.#forgetRecovery = runtime.after(recoveryMs(this.#state.recoveredLeaseMs), () => {
      this.#recovered = true;
      this.#kick();
    });
  }

  /**
   * Appends an input of a stream, in any case: what has been read of a stream is not refused. A quarter of the inbox is
   * reserved for workers.
   *
   * @returns False if there is no more room: stop reading the stream, and go on after {@link onDrained}.
   */
  append(input: Input, bytes: number, from: 'worker' | 'client' = 'worker'): boolean {
    if (this.#status !== 'running' && this.#status !== 'stopping') return true;
    this.#inbox.push(input, bytes, this.#options.runtime.now().monoMs);
    this.#kick();
    return this.#inbox.hasRoom(0, from);
  }

  /** A token for a caller that asks for much: every reply to the inputs that it appends goes to `listener`. */
  subscribe(listener: Listener): ReplyToken {
    const token = this.#nextToken;
    this.#nextToken += 1;
    this.#listeners.set(token, listener);
    return token;
  }

  /** From now on nothing is handed out. What runs goes on, and its results are taken. */
  stopDispatch(): void {
    if (this.#status === 'running') this.#push({ kind: 'stopDispatch' });
  }

  /** Which of these tasks the store knows to have ended. */
  async endedAmong(taskIds: readonly string[]): Promise<string[]> {
    const rows = rowsById(await this.#options.store.read({ taskIds, bodies: false }));
    return taskIds.filter((taskId) => rows.has(taskId) && !this.#state.tasks.has(taskId));
  }

  /** Nothing was read of some streams for this long: nobody's silence in that time counts. */
  wasDeaf(deafMs: number): void {
    if (this.#status === 'running' && deafMs > STALL_MS) this.#grantStall(deafMs);
  }

  /**
   * Somebody has seen the process of a worker end: what it held goes elsewhere when what it had sent has been read. An
   * incarnation that nobody knows may not come any more.
   */
  processEnded(incarnation: string, how: ProcessEnd): void {
    if (this.#status === 'running' || this.#status === 'stopping')
      this.#push({ kind: 'processEnded', incarnation, how });
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
    if (!this.#inbox.hasRoom(bytes, 'client')) return null;
    const input = make(this.#nextToken);
    if (this.#answers.size >= this.#options.inbox.maxInputs && isAnsweredFromStore(input)) return null;
    const token = this.subscribe(listener);
    this.#inbox.push(input, bytes, this.#options.runtime.now().monoMs);
    this.#kick();
    return token;
  }

  /** Nobody listens for the token any more. */
  forget(token: ReplyToken): void {
    this.#listeners.delete(token);
  }

  /**
   * The caller waits for these tasks no more; with `cancel` they are cancelled too, unless others wait. Never refused: it makes
   * work less.
   */
  abandon(token: ReplyToken, taskIds: Iterable<string>, cancel: boolean): void {
    if (this.#status === 'running') this.#push({ kind: 'abandon', token, taskIds, cancel });
  }

  /** One page of tasks as the store has them, the newest submit first; or why it gives none. Beside the turns. */
  async listTasks(params: ListParams): Promise<({ kind: 'page' } & TaskPage) | { kind: 'refused'; message: string }> {
    try {
      return { kind: 'page', ...(await this.#options.store.list(params)) };
    } catch (error) {
      // What is wrong with reading alone takes nothing from what was acknowledged.
      if (error instanceof StoreError) return { kind: 'refused', message: error.message };
      throw error;
    }
  }

  /**
   * Makes it durable that what runs may run on for so long without a coordinator: the next start waits for it. To be called before
   * any worker is told.
   *
   * @returns False if nothing runs, and nobody need be told
   */
  async hold(holdMs: number): Promise<boolean> {
    if (this.#status !== 'running' || this.#state.counts.running === 0) return false;
    this.#judges = false;
    const leaseMs = Math.max(holdMs, this.#state.recoveredLeaseMs, this.#options.config.leaseMs);
    // What an earlier coordinator granted is in it: nothing shortens it any more.
    this.#forgetRecovery?.();
    this.#recovered = false;
    await new Promise<void>((resolve) => {
      this.#hold = { leaseMs, onDurable: resolve };
      this.#kick();
    });
    return true;
  }

  /** Answers what has arrived, if the store takes it, and closes the store. Idempotent; also in the middle of a start. */
  async stop(): Promise<void> {
    this.#judges = false;
    if (this.#status === 'running') this.#status = 'stopping';
    if (this.#status === 'new') this.#status = 'stopped';
    this.#forgetAlarm?.();
    this.#forgetTick?.();
    this.#forgetRecovery?.();
    // What it throws, it has told to who started it.
    await this.#started?.catch(() => undefined);
    while (this.#turn !== null || this.#kicked) {
      await (this.#turn ?? new Promise<void>((resolve) => this.#options.runtime.defer(resolve)));
    }
    await this.#answers.idle();
    if (this.#status === 'stopping') this.#status = 'stopped';
    this.#dismissListeners();
    await this.#options.store.close();
  }

  #dismissListeners(): void {
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const listener of listeners) listener({ kind: 'stopped' });
  }

  /** Before anything that has arrived since is judged. */
  #grantStall(gapMs: number): void {
    // As old as the silence that it explains: until it is applied, nothing since is judged. It began a tick after the last at the
    // latest, and what came until then must not undo it.
    const sinceMs = this.#options.runtime.now().monoMs - gapMs + TICK_MS;
    this.#inbox.insert({ kind: 'stalled', gapMs }, sinceMs);
    this.#kick();
  }

  /** Adds one of the few inputs that the coordinator itself makes. */
  #push(input: Input): void {
    this.#inbox.push(input, 0, this.#options.runtime.now().monoMs);
    this.#kick();
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
  #noticeStall(): void {
    const { monoMs } = this.#options.runtime.now();
    const gapMs = monoMs - this.#tickMonoMs;
    this.#tickMonoMs = monoMs;
    if (gapMs > STALL_MS) this.#grantStall(gapMs);
  }

  #tick(): void {
    const { runtime } = this.#options;
    this.#forgetTick = runtime.after(TICK_MS, () => {
      this.#noticeStall();
      // A wall clock that was set forward makes something due without any alarm.
      if (untilNextMs(this.#state, runtime.now()) === 0 || this.#mayPurge()) this.#kick();
      this.#watch.tick(runtime.now().monoMs);
      this.#tick();
    });
  }

  #kick(): void {
    if (this.#kicked || this.#turn !== null || this.#status === 'failed' || this.#status === 'stopped') return;
    this.#kicked = true;
    // Nothing acts inside an event callback: what else arrives in this turn of the loop shares the batch.
    this.#options.runtime.defer(() => {
      // Cleared last: a turn that neither reads nor writes lets its outputs out at once, and what these append must not begin
      // another one.
      this.#turnSinceMs = this.#options.runtime.now().monoMs;
      this.#turn = this.#runTurn().then(
        () => this.#afterTurn(),
        (error: unknown) => {
          this.#turn = null;
          this.#fail(error);
        },
      );
      this.#kicked = false;
    });
  }

  #afterTurn(): void {
    this.#turn = null;
    if (this.#status === 'failed') return;
    if (this.#inbox.size > 0 || this.#inbox.isAwaited || (this.#more && this.#status === 'running') || this.#mayPurge())
      this.#kick();
    else this.#setAlarm();
  }

  #setAlarm(): void {
    this.#forgetAlarm?.();
    this.#forgetAlarm = null;
    if (this.#status !== 'running' || !this.#judges) return;
    const { runtime } = this.#options;
    const untilMs = untilNextMs(this.#state, runtime.now());
    // Longer waits are cut: setTimeout takes 31 bits, and the tick looks at the clocks anyway.
    if (untilMs < 1_000_000) this.#forgetAlarm = runtime.after(Math.ceil(untilMs), () => this.#kick());
  }

  async #runTurn(): Promise<void> {
    const { runtime, store, onBatch, checkInvariants } = this.#options;
    const inputs = this.#inbox.take();
    const keys = keysToRead(this.#state, inputs);
    const read = { taskIds: keys, bodies: false };
    const rows = keys.length === 0 ? NO_ROWS : rowsById(await this.#calls.run(() => store.read(read)));

    // Whoever held the process may have let it go with something to read, which comes before any timer.
    if (this.#status === 'running') this.#noticeStall();
    const now = runtime.now();
    const startMs = now.monoMs;
    // What arrived while the batch before was written, or does not fit into this one, is not applied yet.
    const heardMonoMs = this.#judges ? this.#inbox.oldestMs() : -Infinity;
    const room = this.#watch.room();
    const result = step(this.#state, inputs, { now, heardMonoMs, rows, storeRoomBytes: room.bytes });
    checkInvariants?.(this.#state);
    this.#more = result.more;
    const steppedMs = runtime.now().monoMs;

    const hold = this.#hold;
    const writes = this.#withOwn(result.writes, hold?.leaseMs);
    const results = writes.length === 0 ? [] : await this.#calls.run(() => store.commit(writes));
    if (writes.length > 0) this.#watch.seen();
    if (hold !== null) {
      this.#hold = null;
      hold.onDurable();
    }
    const purged = this.#retention.settle(writes, results);
    if (purged.count > 0) this.#options.onPurged?.(purged);
    onBatch?.({
      inputs: inputs.length,
      writes: writes.length,
      stepMs: steppedMs - startMs,
      commitMs: runtime.now().monoMs - steppedMs,
    });
    this.#letOut(result, bodiesOf(writes, results), room.disk);
  }

  /** Adds what the engine itself writes: the end of a recovery, what is no longer kept, and the hold before a stop. */
  #withOwn(writes: readonly Write[], holdMs: number | undefined): readonly Write[] {
    const { runtime, store, config } = this.#options;
    const own = this.#mayPurge() ? [...this.#retention.take(runtime.now(), store.stats())] : [];
    // Nobody can hold an earlier coordinator's longer lease any more: the store forgets it.
    if (this.#recovered) own.push({ kind: 'longestLease', leaseMs: config.leaseMs });
    this.#recovered = false;
    if (holdMs !== undefined) own.push({ kind: 'longestLease', leaseMs: holdMs });
    return own.length === 0 ? writes : [...writes, ...own];
  }

  #mayPurge(): boolean {
    const { runtime, store } = this.#options;
    return this.#status === 'running' && this.#retention.isDue(runtime.now().monoMs, store.stats());
  }

  /**
   * Who observes is told before anybody else can know, which is a promise: a program that has its answer, and asks its pool for
   * figures, finds that answer counted. So events and `onSettled` come before the first frame and the first reply.
   */
  #letOut({ outputs }: StepResult, bodies: ReadonlyMap<string, TaskBody>, disk: DiskRoom | null): void {
    const bySession = new Map<number, SessionOutput[]>();
    const replies: { token: ReplyToken; reply: Reply }[] = [];
    for (const output of outputs) this.#sort(output, bodies, bySession, replies);
    this.#options.onSettled?.();
    for (const [sessionId, forSession] of bySession) this.#gateway?.deliver(sessionId, forSession);
    for (const { token, reply } of replies) {
      if (reply.kind === 'task') this.#answers.add(token, reply);
      else this.#listeners.get(token)?.(reply.kind === 'storeFull' ? { ...reply, disk } : reply);
    }
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

  #fail(error: unknown): void {
    if (this.#status === 'failed') return;
    // A store that still refuses when the coordinator stops: nothing of the batch was answered, and memory goes away.
    const isStopping = this.#status === 'stopping' || this.#status === 'stopped';
    const isStop = isStopping && error instanceof StoreError && error.retryable;
    this.#status = isStop ? 'stopped' : 'failed';
    this.#dismissListeners();
    if (isStop) return;
    const cause = error instanceof Error ? error : new Error(String(error));
    this.#options.onFatal(cause, cause instanceof StoreError ? EXIT_STORE : EXIT_BUG);
  }
}

/** True if its answer takes a read of its own, after the turn. */
function isAnsweredFromStore(input: Input): boolean {
  return input.kind === 'getTask' || (input.kind === 'submit' && input.want === 'task');
}

const NO_ROWS: ReadonlyMap<string, TaskRow> = new Map();

function rowsById(stored: readonly (StoredTask | undefined)[]): Map<string, TaskRow> {
  const rows = new Map<string, TaskRow>();
  for (const task of stored) if (task !== undefined) rows.set(task.row.taskId, task.row);
  return rows;
}

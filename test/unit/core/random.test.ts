import { expect, it } from 'vitest';
import type { Input } from '../../../coordinator/core/inputs.js';
import { hasEnded, type AttemptRef } from '../../../coordinator/core/task.js';
import type { WorkerRecord } from '../../../coordinator/core/worker.js';
import { CoreDriver, reportOf, seededRandom } from './support.js';

const SEEDS = 40;
const STEPS = 150;
const TYPES = ['work', 'rare'] as const;
const WANTS = [null, 'task', 'end', 'change'] as const;
const OUTCOMES = ['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'RELEASED'] as const;

/** Does anything at all to the core, in any order; the driver checks the invariants after every step. */
class Monkey {
  readonly core: CoreDriver;
  private readonly draw: () => number;
  private tasks = 0;
  /** By worker id: its newest incarnation and session number. */
  private readonly incarnations = new Map<string, { n: number; session: number }>();

  constructor(seed: number) {
    this.draw = seededRandom(seed);
    const balancing = seed % 2 === 0 ? 'least-loaded' : 'round-robin';
    const small = {
      maxOpenTasks: 60,
      maxWorkers: 9,
      maxHistory: 4,
      maxIdleClasses: 2,
      maxAssignmentsPerStep: 8,
      leaseMs: 3_000,
      stuckGraceMs: 100,
    };
    this.core = new CoreDriver({ ...small, balancing }, seed);
  }

  private chance(share: number): boolean {
    return this.draw() < share;
  }

  private below(bound: number): number {
    return Math.floor(this.draw() * bound);
  }

  private oneOf<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)];
  }

  private workers(): WorkerRecord[] {
    return [...this.core.state.incarnations.values()];
  }

  private someRefs(worker: WorkerRecord | undefined): AttemptRef[] {
    return [...(worker?.holds.values() ?? [])].filter(() => this.chance(0.5)).map(({ ref }) => ref);
  }

  /** Any attempt there ever was, often the newest. */
  private anyRef(): AttemptRef | undefined {
    const row = this.oneOf([...this.core.store.values()]);
    if (row === undefined) return undefined;
    const { taskId, attempt, leaseId } = this.chance(0.5) ? row : { ...row, ...this.oneOf(row.history) };
    return { taskId, attempt, leaseId };
  }

  private submit(): Input {
    const taskId = this.chance(0.1) ? `t${this.below(this.tasks + 1)}` : `t${this.tasks++}`;
    const { wallMs } = this.core;
    return this.core.submitInput(taskId, {
      type: this.oneOf(TYPES) ?? 'work',
      priority: this.below(3) * 10,
      requiredLabels: this.chance(0.2) ? { zone: 'a' } : {},
      timeoutMs: 1 + this.below(3_000),
      deadlineWallMs: this.chance(0.2) ? wallMs + this.below(60_000) : null,
      runTimeWallMs: this.chance(0.2) ? wallMs + this.below(10_000) : null,
      retry: { maxAttempts: 1 + this.below(4), initialBackoffMs: this.below(500) },
      want: this.oneOf(WANTS) ?? null,
    });
  }

  private hello(): Input {
    const workerId = `w${this.below(5)}`;
    const before = this.incarnations.get(workerId) ?? { n: 1, session: 0 };
    const next = this.chance(0.4) ? { n: before.n + 1, session: 1 } : { n: before.n, session: before.session + 1 };
    this.incarnations.set(workerId, next);
    const incarnation = `${workerId}#${this.chance(0.05) ? 1 : next.n}`;
    const known = this.core.state.incarnations.get(incarnation);
    const running = this.someRefs(known).map((ref) => ({ ref, started: this.chance(0.5) }));
    const stray = this.anyRef();
    const slots = 1 + this.below(3);
    return this.core.helloInput(workerId, {
      ...{ incarnation, sessionNumber: next.session, slots, prefetch: this.below(2), running },
      replaces: next.n > before.n && this.chance(0.5) ? [`${workerId}#${before.n}`] : [],
      taskTypes: this.chance(0.8) ? { work: slots, rare: 1 } : { work: slots },
      labels: this.chance(0.5) ? { zone: 'a' } : {},
      unsentReports: [...this.someRefs(known), ...(stray === undefined ? [] : [stray])],
    });
  }

  private frame(): Input | undefined {
    const worker = this.oneOf(this.workers().filter(({ sessionId }) => sessionId !== null));
    if (worker === undefined || worker.sessionId === null) return undefined;
    const reported = this.someRefs(worker).filter(() => this.chance(0.5));
    const stray = this.anyRef();
    if (stray !== undefined && this.chance(0.3)) reported.push(stray);
    return this.core.frameInput(worker.sessionId, {
      held: this.someRefs(worker),
      started: this.someRefs(worker),
      reports: reported.map((ref) =>
        reportOf(ref, this.oneOf(OUTCOMES) ?? 'FAILED', { nonRetryable: this.chance(0.1) }),
      ),
      notStarted: this.chance(0.2) ? this.someRefs(worker) : [],
      leaving: this.chance(0.05) ? { drainTimeoutMs: 1_000 } : null,
    });
  }

  private session(): Input | undefined {
    const worker = this.oneOf(this.workers().filter(({ sessionId }) => sessionId !== null));
    if (worker === undefined || worker.sessionId === null) return undefined;
    const { sessionId, incarnation } = worker;
    if (this.chance(0.1)) return { kind: 'processEnded', incarnation, how: this.chance(0.5) ? 'died' : 'killed' };
    if (this.chance(0.5)) return { kind: 'sessionEnded', sessionId };
    const sent = [...worker.holds.values()].filter(({ state }) => state === 'SENT').map(({ ref }) => ref);
    const suspect = this.chance(0.5);
    const deaf = suspect && this.chance(0.5);
    return { kind: 'suspect', sessionId, suspect, deaf, takenBack: deaf ? sent.slice(0, 1) : [] };
  }

  private input(): Input | undefined {
    const dice = this.draw();
    if (dice < 0.35) return this.submit();
    if (dice < 0.5) return this.hello();
    if (dice < 0.8) return this.frame();
    if (dice < 0.9) return this.session();
    if (dice < 0.93) return this.core.cancelInput(this.someTask());
    if (dice < 0.98) return this.question();
    return { kind: 'stalled', gapMs: this.below(30_000) };
  }

  private someTask(): string {
    return `t${this.below(this.tasks + 1)}`;
  }

  /** What operators and streams of clients ask. */
  private question(): Input {
    const token = 1_000_000 + this.below(5);
    const taskIds = [this.someTask(), this.someTask(), this.oneOf(this.deadLetters()) ?? 't0'];
    const patterns = [this.oneOf(['*', 'w1', 'w*', 'w2']) ?? '*'];
    const questions: readonly Input[] = [
      { kind: 'await', token, taskId: this.someTask(), want: this.chance(0.5) ? 'end' : 'change' },
      { kind: 'abandon', token, taskIds, cancel: this.chance(0.5) },
      { kind: 'requeue', token, taskIds },
      { kind: 'delete', token, taskIds },
      { kind: 'drain', token, patterns, whenIdle: this.chance(0.5) },
      { kind: 'resume', token, patterns: this.chance(0.5) ? ['*'] : patterns },
      { kind: 'stopWaiting', token },
      { kind: 'listQueues', token, afterType: '', limit: 1 },
      { kind: 'explain', token, taskIds },
    ];
    return this.oneOf(questions) ?? { kind: 'fleetStats', token };
  }

  private deadLetters(): string[] {
    return [...this.core.store.values()].filter(({ state }) => state === 'DEAD_LETTERED').map(({ taskId }) => taskId);
  }

  act(): void {
    const inputs = Array.from({ length: this.below(6) }, () => this.input()).filter((input) => input !== undefined);
    if (this.chance(0.02)) this.core.restart(3_000, this.chance(0.5));
    else if (this.chance(0.05)) this.core.step({ kind: 'listening' });
    if (this.chance(0.05)) this.core.wallMs += (this.draw() - 0.5) * 7_200_000;
    this.core.wallMs = Math.round(this.core.wallMs);
    this.core.advance(this.chance(0.1) ? this.below(20_000) : this.below(1_000), ...inputs);
    this.core.outputs = [];
  }

  /** From now on nothing fails: everything that is open has to end. */
  calm(): void {
    const { core } = this;
    core.step({ kind: 'listening' }, { kind: 'drain', token: 1, patterns: ['x'], whenIdle: false });
    core.step({ kind: 'resume', token: 1, patterns: ['*'] });
    // The wall clock has jumped by hours: every run_time and back-off is to be over.
    core.wallMs += 86_400_000;
    core.advance(60_000);
    core.stepUntilDone();
    const slots = 60;
    const sessions = [
      core.hello('calm', {
        incarnation: 'calm',
        slots,
        taskTypes: { work: slots, rare: slots },
        labels: { zone: 'a' },
      }),
      core.hello('calm2', {
        incarnation: 'calm2',
        slots,
        taskTypes: { work: slots, rare: slots },
        labels: { zone: 'a' },
      }),
    ];
    for (let round = 0; round < 200 && core.state.tasks.size > 0; round += 1) {
      core.monoMs += 3_000;
      core.wallMs += 3_000;
      const frames = sessions.map((sessionId) => {
        const held = [...(core.state.sessions.get(sessionId)?.holds.values() ?? [])];
        return core.frameInput(sessionId, { reports: held.map(({ ref }) => reportOf(ref)) });
      });
      core.step(...frames);
      core.stepUntilDone();
    }
  }
}

it(
  `holds its invariants under anything, and ends every task when it calms down (${SEEDS} seeds)`,
  { timeout: 60_000 },
  () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const monkey = new Monkey(seed);
      try {
        for (let n = 0; n < STEPS; n += 1) monkey.act();
        monkey.calm();
        const open = [...monkey.core.store.values()].filter(({ state }) => !hasEnded(state));
        expect(open.map(({ taskId, state }) => [taskId, state])).toEqual([]);
      } catch (cause) {
        throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
      }
    }
  },
);

import { afterEach, describe, expect, it, vi } from 'vitest';
import { CORE_DEFAULTS } from '../../../coordinator/core/config.js';
import { checkInvariants } from '../../../coordinator/core/invariants.js';
import { Engine, type EngineReply } from '../../../coordinator/engine.js';
import { systemRandom, systemRuntime } from '../../../coordinator/runtime.js';
import { MemoryStore } from '../../../coordinator/store/memory-store.js';
import { StoreError } from '../../../coordinator/store/store.js';
import { aBody } from '../../store/rows.js';

/** A memory store that says BUSY when it is told to. */
class MoodyStore extends MemoryStore {
  refusesReads = false;
  refusesCommits = false;
  /** What commits are answered with, whatever is asked. */
  answersCommits: (() => ReturnType<MemoryStore['commit']>) | null = null;
  readonly refused: string[] = [];

  override read(params: Parameters<MemoryStore['read']>[0]): ReturnType<MemoryStore['read']> {
    return this.refusesReads ? this.#refuse('read') : super.read(params);
  }

  override commit(writes: Parameters<MemoryStore['commit']>[0]): ReturnType<MemoryStore['commit']> {
    if (this.answersCommits !== null) return this.answersCommits();
    return this.refusesCommits ? this.#refuse('commit') : super.commit(writes);
  }

  #refuse(what: string): Promise<never> {
    this.refused.push(what);
    return Promise.reject(new StoreError('BUSY', 'it is busy'));
  }
}

function setup() {
  const store = new MoodyStore();
  const fatal: Error[] = [];
  const exitCodes: number[] = [];
  const trouble: (string | null)[] = [];
  const engine = new Engine({
    store,
    config: CORE_DEFAULTS,
    random: systemRandom,
    runtime: systemRuntime,
    inbox: { maxInputs: 100, maxBytes: 100_000, batchInputs: 10, batchBytes: 10_000 },
    onFatal: (error, exitCode) => {
      fatal.push(error);
      exitCodes.push(exitCode);
    },
    onStoreTrouble: (message) => trouble.push(message),
    checkInvariants,
  });
  engines.push(engine);
  const replies: EngineReply[] = [];
  const ask = (kind: 'submit' | 'getTask' | 'cancel', taskId: string): void => {
    const token = engine.ask(
      (made) => (kind === 'submit' ? submit(made, taskId) : { kind, token: made, taskId }),
      0,
      (reply) => {
        replies.push(reply);
        if (token !== null) engine.forget(token);
      },
    );
  };
  return { store, engine, fatal, exitCodes, trouble, replies, ask };
}

function submit(token: number, taskId: string) {
  const retry = { maxAttempts: 3, initialBackoffMs: 200, maxBackoffMs: 30_000, nonRetryableReasons: [] };
  const times = { timeoutMs: 1_000, deadlineWallMs: null, runTimeWallMs: null };
  const spec = { type: 'work', priority: 10, requiredLabels: {}, ...times, retry };
  return { kind: 'submit', token, taskId, spec, body: aBody(), digest: 'same', want: null } as const;
}

const engines: Engine[] = [];
const nowhere = { deliver: () => undefined };

afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.stop()));
});

describe('the engine, while the store refuses', () => {
  it('repeats reads and commits, tells of it once, and goes on when it takes them again', async () => {
    const { store, engine, fatal, trouble, replies, ask } = setup();
    await engine.start(nowhere);
    store.refusesCommits = true;
    ask('submit', 'a');
    await vi.waitFor(() => expect(store.refused.length).toBeGreaterThan(2));
    expect(engine.refusal).toMatchObject({ reason: 'STORE_UNAVAILABLE' });
    store.refusesCommits = false;
    await vi.waitFor(() => expect(replies).toMatchObject([{ kind: 'submitted', taskId: 'a' }]));
    expect([trouble, engine.refusal, fatal]).toEqual([['it is busy', null], null, []]);
  });

  it('keeps the trouble until no call is refused any more', async () => {
    const { store, engine, trouble, replies, ask } = setup();
    await engine.start(nowhere);
    ask('submit', 'a');
    await vi.waitFor(() => expect(replies).toHaveLength(1));
    store.refusesReads = true;
    store.refusesCommits = true;
    ask('getTask', 'a');
    await vi.waitFor(() => expect(store.refused).toContain('read'));
    // A task in memory: its cancel reads nothing, and is committed while the answer's read is still refused.
    ask('cancel', 'a');
    await vi.waitFor(() => expect(store.refused).toContain('commit'));
    store.refusesReads = false;
    await vi.waitFor(() => expect(replies).toMatchObject([{}, { kind: 'task' }]));
    expect([trouble, engine.refusal?.reason]).toEqual([['it is busy'], 'STORE_UNAVAILABLE']);
    store.refusesCommits = false;
    await vi.waitFor(() => expect(replies).toMatchObject([{}, {}, { kind: 'cancelled' }]));
    expect([trouble, engine.refusal]).toEqual([['it is busy', null], null]);
  });

  it('stops all the same, whoever waits for the store, and tells those who asked', async () => {
    const { store, engine, fatal, replies, ask } = setup();
    await engine.start(nowhere);
    ask('submit', 'a');
    await vi.waitFor(() => expect(replies).toHaveLength(1));
    store.refusesReads = true;
    ask('getTask', 'a');
    await vi.waitFor(() => expect(store.refused).toContain('read'));
    store.refusesCommits = true;
    store.refused.length = 0;
    ask('submit', 'b');
    await vi.waitFor(() => expect(store.refused.length).toBeGreaterThan(3));
    await engine.stop();
    expect(replies.slice(1)).toEqual([{ kind: 'stopped' }, { kind: 'stopped' }]);
    expect(fatal).toEqual([]);
  });

  it('stops in the middle of a start', async () => {
    const { store, engine, fatal } = setup();
    store.refusesCommits = true;
    const started = engine.start(nowhere).catch((error: unknown) => error);
    await vi.waitFor(() => expect(store.refused).toContain('commit'));
    await engine.stop();
    expect(await started).toBeInstanceOf(Error);
    expect(fatal).toEqual([]);
  });
});

describe('the engine, with a store that is not to be trusted', () => {
  const faults: readonly (readonly [
    what: string,
    exitCode: number,
    commit: () => ReturnType<MemoryStore['commit']>,
  ])[] = [
    ['an error of the disk', 74, () => Promise.reject(new StoreError('IO', 'the disk is broken'))],
    ['a file that is damaged', 74, () => Promise.reject(new StoreError('CORRUPT', 'it is damaged'))],
    ['another owner', 74, () => Promise.reject(new StoreError('FENCED', 'somebody has it'))],
    ['a write that does not fit', 70, () => Promise.resolve([{ kind: 'conflict', row: null }])],
  ];

  it.each(faults)('gives up at once after %s, and answers nothing of the batch', async (_what, exitCode, commit) => {
    const { store, engine, fatal, exitCodes, trouble, replies, ask } = setup();
    await engine.start(nowhere);
    store.answersCommits = commit;
    ask('submit', 'a');
    await vi.waitFor(() => expect(fatal).toHaveLength(1));
    expect(exitCodes).toEqual([exitCode]);
    expect([replies, trouble]).toEqual([[{ kind: 'stopped' }], []]);
    expect(engine.refusal).not.toBeNull();
  });
});

describe('the engine, while its inbox is full', () => {
  it('lets all go on who wait for room, a few at a time, also when nothing more arrives', async () => {
    const { engine } = setup();
    await engine.start(nowhere);
    while (engine.append({ kind: 'explain', token: 0, taskIds: [] }, 0, 'client'));
    let told = 0;
    const wait = (): void => {
      engine.onDrained(() => {
        told += 1;
        if (told < 50) wait();
      });
    };
    wait();
    await vi.waitFor(() => expect(told).toBe(50));
  });
});

import { v7 as uuidv7 } from 'uuid';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CORE_DEFAULTS } from '../../../coordinator/core/config.js';
import { checkInvariants } from '../../../coordinator/core/invariants.js';
import { Engine, type EngineReply } from '../../../coordinator/engine.js';
import type { Purged, RetentionOptions } from '../../../coordinator/retention.js';
import { systemRandom, systemRuntime } from '../../../coordinator/runtime.js';
import { MemoryDisk, MemoryStore } from '../../../coordinator/store/memory-store.js';
import { aBody, aRow, bytes } from '../../store/rows.js';

const engines: Engine[] = [];

afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.stop()));
});

/** An engine over a memory store that holds these rows already. */
async function setup(rows: ReturnType<typeof aRow>[], retention: Partial<RetentionOptions>, limitBytes = 1_000_000) {
  const disk = new MemoryDisk();
  const before = new MemoryStore({ disk });
  await before.open();
  await before.commit(rows.map((row) => ({ kind: 'insert', row, body: aBody(bytes(1_000)) })));
  const store = new MemoryStore({ disk, limitBytes });
  const fatal: Error[] = [];
  const purged: Purged[] = [];
  const engine = new Engine({
    ...{ store, config: CORE_DEFAULTS, random: systemRandom, runtime: systemRuntime, retention, checkInvariants },
    inbox: { maxInputs: 100, maxBytes: 100_000, batchInputs: 10, batchBytes: 10_000 },
    onFatal: (error) => fatal.push(error),
    onPurged: (figures) => purged.push(figures),
  });
  engines.push(engine);
  await engine.start({ deliver: () => undefined });
  const submit = (taskId: string): Promise<EngineReply> =>
    new Promise((resolve) => {
      const retry = { maxAttempts: 3, initialBackoffMs: 200, maxBackoffMs: 30_000, nonRetryableReasons: [] };
      const times = { timeoutMs: 1_000, deadlineWallMs: null, runTimeWallMs: null };
      const spec = { type: 'work', priority: 10, requiredLabels: {}, ...times, retry };
      const body = aBody(bytes(1_000));
      engine.ask((token) => ({ kind: 'submit', token, taskId, spec, body, digest: 'd', want: null }), 0, resolve);
    });
  return { engine, disk, fatal, purged, submit };
}

const now = (): number => systemRuntime.now().wallMs;
const DAY_MS = 86_400_000;

describe('the engine, what it keeps', () => {
  it('purges at its start all that is old, in steps, and tells how much', async () => {
    const old = Array.from({ length: 25 }, (_, index) =>
      aRow({ state: index < 5 ? 'DEAD_LETTERED' : 'SUCCEEDED', endWallMs: now() - 40 * DAY_MS }),
    );
    const rows = [...old, aRow({ state: 'SUCCEEDED', endWallMs: now() - DAY_MS / 2 }), aRow()];
    const { engine, disk, fatal, purged } = await setup(rows, { maxRows: 10 });
    await vi.waitFor(() => expect(disk.tasks.size).toBe(2));
    expect(engine.storeCounts()).toMatchObject({ openTasks: 1, endedTasks: 1, deadLetters: 0, limitBytes: 1_000_000 });
    expect(purged).toEqual([
      { count: 10, deadLetters: 0 },
      { count: 10, deadLetters: 0 },
      { count: 5, deadLetters: 5 },
    ]);
    expect(fatal).toEqual([]);
  });

  it('purges what was acknowledged or read after its time, though nothing else happens', async () => {
    const rows = ['acknowledged', 'read', 'unseen'].map(() =>
      aRow({ taskId: uuidv7(), state: 'SUCCEEDED', endWallMs: now() }),
    );
    const [acknowledged, read, unseen] = rows as [(typeof rows)[0], (typeof rows)[0], (typeof rows)[0]];
    const { engine, disk, fatal } = await setup(rows, { acknowledgedMs: 1, readMs: 1 });
    engine.seen(acknowledged.taskId, acknowledged.endWallMs ?? 0, 'acknowledged');
    engine.seen(read.taskId, read.endWallMs ?? 0, 'read');
    await vi.waitFor(() => expect([...disk.tasks.keys()]).toEqual([unseen.taskId]));
    expect([engine.wasPurged(read.taskId), engine.wasPurged(uuidv7({ msecs: now() + 5_000 }))]).toEqual([true, false]);
    expect(fatal).toEqual([]);
  });

  it('never purges a dead letter because somebody has seen it', async () => {
    const dead = aRow({ state: 'DEAD_LETTERED', endWallMs: now() });
    const done = aRow({ state: 'SUCCEEDED', endWallMs: now() });
    const { engine, disk } = await setup([dead, done], { acknowledgedMs: 1 });
    for (const { taskId, endWallMs } of [dead, done]) engine.seen(taskId, endWallMs ?? 0, 'acknowledged');
    await vi.waitFor(() => expect([...disk.tasks.keys()]).toEqual([dead.taskId]));
  });

  it('refuses submits at the bound of the store, and takes them again once acknowledged tasks have gone', async () => {
    const rows = Array.from({ length: 10 }, () => aRow({ state: 'SUCCEEDED', endWallMs: now() }));
    const { engine, submit, disk, fatal } = await setup(rows, {}, 20_500);
    expect(await submit('first')).toMatchObject({ kind: 'storeFull' });
    // Above 90 %: they go whatever their time, as many as it takes.
    for (const { taskId, endWallMs } of rows) engine.seen(taskId, endWallMs ?? 0, 'acknowledged');
    await vi.waitFor(() => expect(disk.tasks.size).toBeLessThan(10));
    expect(await submit('second')).toMatchObject({ kind: 'submitted' });
    await vi.waitFor(() => expect(disk.bytes).toBeLessThan(0.9 * 20_500));
    expect(disk.tasks.size).toBeGreaterThan(5);
    expect(fatal).toEqual([]);
  });
});

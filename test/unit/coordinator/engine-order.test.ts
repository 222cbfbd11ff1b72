import { expect, it, onTestFinished, vi } from 'vitest';
import { CORE_DEFAULTS } from '../../../coordinator/core/config.js';
import type { FrameInput, HelloInfo } from '../../../coordinator/core/inputs.js';
import type { SessionOutput } from '../../../coordinator/core/outputs.js';
import { Engine } from '../../../coordinator/engine.js';
import { systemRandom, systemRuntime } from '../../../coordinator/runtime.js';
import { MemoryStore } from '../../../coordinator/store/memory-store.js';
import { aBody } from '../../store/rows.js';

const HELLO: HelloInfo = {
  ...{ workerId: 'w', incarnation: 'i', sessionNumber: 1, replaces: [], version: '1', host: 'h', pid: 1 },
  ...{ taskTypes: new Map([['work', 1]]), labels: {}, slots: 1, prefetch: 0, running: [], unsentReports: [] },
};

const FRAME: Omit<FrameInput, 'atMonoMs'> = {
  ...{ kind: 'frame', sessionId: 1, held: [], started: [], reports: [], progress: [], notStarted: [] },
  ...{ load: null, leaving: null },
};

it('tells who observes of a batch before a frame or a reply of it leaves, and after it is durable', async () => {
  const told: string[] = [];
  const sent: SessionOutput[] = [];
  const store = new (class extends MemoryStore {
    override async commit(writes: Parameters<MemoryStore['commit']>[0]): ReturnType<MemoryStore['commit']> {
      const results = await super.commit(writes);
      told.push('durable');
      return results;
    }
  })();
  const engine = new Engine({
    ...{ store, config: CORE_DEFAULTS, random: systemRandom, runtime: systemRuntime },
    inbox: { maxInputs: 100, maxBytes: 100_000, batchInputs: 10, batchBytes: 10_000 },
    onFatal: (error) => told.push(`fatal: ${error.message}`),
    onEvent: ({ name }) => told.push(name),
    onSettled: () => told.push(`settled, ${engine.glance().totals.succeeded} succeeded`),
  });
  onTestFinished(() => engine.stop());
  await engine.start({
    deliver: (_, outputs) => {
      sent.push(...outputs);
      told.push(`frame: ${outputs.map(({ kind }) => kind).join(' ')}`);
    },
  });
  const atMonoMs = systemRuntime.now().monoMs;
  told.length = 0;

  engine.append({ kind: 'hello', sessionId: 1, atMonoMs, hello: HELLO }, 0);
  await vi.waitFor(() => expect(told).toContain('frame: welcome'));
  expect(told.slice(-3)).toEqual(['worker-joined', 'settled, 0 succeeded', 'frame: welcome']);

  const retry = { maxAttempts: 3, initialBackoffMs: 200, maxBackoffMs: 30_000, nonRetryableReasons: [] };
  const times = { timeoutMs: 60_000, deadlineWallMs: null, runTimeWallMs: null };
  const spec = { type: 'work', priority: 10, requiredLabels: {}, ...times, retry };
  const task = { taskId: 't', spec, body: aBody(), digest: 'same', want: 'end' } as const;
  engine.ask(
    (token) => ({ kind: 'submit', token, ...task }),
    0,
    ({ kind }) => told.push(`reply: ${kind}`),
  );
  await vi.waitFor(() => expect(told).toContain('reply: submitted'));
  told.length = 0;

  const assigned = sent.find((output) => output.kind === 'assign');
  if (assigned === undefined) throw new Error('the task was not handed out');
  const report = { outcome: 'SUCCEEDED', result: null, failure: null, startDelayMs: 0, runMs: 0 } as const;
  engine.append({ ...FRAME, atMonoMs, reports: [{ ref: assigned.ref, ...report }] }, 0);
  await vi.waitFor(() => expect(told).toContain('reply: ended'));
  expect(told).toEqual([
    ...['durable', 'attempt-started', 'attempt-ended', 'task-ended', 'settled, 1 succeeded'],
    ...['frame: reportAck', 'reply: ended'],
  ]);
});

/** A process that stood still: nobody's silence in that time counts. The clock jumps, the loop is the real one. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { CORE_DEFAULTS } from '../../../coordinator/core/config.js';
import type { HelloInfo } from '../../../coordinator/core/inputs.js';
import { Engine, type EngineReply } from '../../../coordinator/engine.js';
import { systemRandom, systemRuntime, type Runtime } from '../../../coordinator/runtime.js';
import { MemoryStore } from '../../../coordinator/store/memory-store.js';

const HELLO: HelloInfo = {
  ...{ workerId: 'w', incarnation: 'i', sessionNumber: 1, replaces: [], version: '1', host: 'h', pid: 1 },
  ...{ taskTypes: new Map([['work', 1]]), labels: {}, slots: 1, prefetch: 0, running: [], unsentReports: [] },
};
/** Longer than a lease and its margin. */
const STALL_MS = 2 * CORE_DEFAULTS.leaseMs;

async function setup() {
  let jumpedMs = 0;
  const runtime: Runtime = {
    ...systemRuntime,
    now: () => {
      const { monoMs, wallMs } = systemRuntime.now();
      return { monoMs: monoMs + jumpedMs, wallMs: wallMs + jumpedMs };
    },
  };
  const events: string[] = [];
  const engine = new Engine({
    ...{ store: new MemoryStore(), config: CORE_DEFAULTS, random: systemRandom, runtime },
    inbox: { maxInputs: 100, maxBytes: 100_000, batchInputs: 10, batchBytes: 10_000 },
    onFatal: (error) => events.push(`fatal: ${error.message}`),
    onEvent: ({ name }) => events.push(name),
  });
  onTestFinished(() => engine.stop());
  await engine.start({ deliver: () => undefined });
  engine.append({ kind: 'hello', sessionId: 1, atMonoMs: runtime.now().monoMs, hello: HELLO }, 0);
  await vi.waitFor(() => expect(events).toContain('worker-joined'));
  const ask = () =>
    new Promise<EngineReply>((resolve) => {
      engine.ask((token) => ({ kind: 'explain', token, taskIds: [] }), 0, resolve);
    });
  return { events, ask, standStill: () => (jumpedMs += STALL_MS) };
}

it(
  'moves the leases before anything is judged, whether a timer or an input comes first',
  { timeout: 30_000 },
  async () => {
    const { events, ask, standStill } = await setup();
    // What had arrived is read, and its step made, before Node runs the first timer.
    standStill();
    await ask();
    await ask();
    expect(events).not.toContain('worker-lost');
    // At most one lease between two arrivals, and the margin to be heard in: who says nothing is lost in the end.
    standStill();
    await vi.waitFor(() => expect(events).toContain('worker-lost'), 10_000);
  },
);

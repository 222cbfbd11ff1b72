import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { SESSION_MODES } from '../../../worker/session-options.js';
import type { createWorker as CreateWorker, WorkerOptions } from '../../../worker/index.js';
import { LIBRARY, onCleanup, ScriptedCoordinator } from './support.js';

// The compiled one: a thread can only be started from a JavaScript file.
const { createWorker } = (await import(LIBRARY)) as { createWorker: typeof CreateWorker };
const logger = pino({ level: 'silent' });

async function open(options: Partial<WorkerOptions>) {
  const coordinator = await ScriptedCoordinator.start();
  const worker = createWorker({ address: coordinator.address, logger, ...options });
  onCleanup(() => worker.stop({ drainTimeoutMs: 0 }));
  return { coordinator, worker };
}

/** In the same turn of the loop, but long after the handler has returned. */
async function spoilLater(bytes: Uint8Array): Promise<void> {
  for (let step = 0; step < 100; step += 1) await Promise.resolve();
  bytes.fill(0);
}

describe.each(SESSION_MODES)('createWorker, session %s', { timeout: 60_000 }, (mode) => {
  const setup = (options: Partial<WorkerOptions> = {}) => open({ session: mode, ...options });

  it('should start at the first welcome, run tasks, and stop; both idempotent', async () => {
    const { coordinator, worker } = await setup({ slots: 2, workerId: 'lib' });
    const events: string[] = [];
    worker.on('welcome', () => events.push('welcome')).on('left', ({ code }) => events.push(`left ${code}`));
    worker.registerTaskHandler('double', ({ n }: { n: number }) => ({ n: n * 2 }));
    const starting = worker.start();
    expect(worker.start()).toBe(starting);
    await starting;
    const session = await coordinator.session();
    expect(session.hello).toMatchObject({ workerId: 'lib', slots: 2, taskTypes: [{ type: 'double', slots: 0 }] });
    session.assign('t-1', 'double', { payload: { n: 21 } });
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    const [first, second] = await Promise.all([worker.stop(), worker.stop()]);
    expect(first).toMatchObject({ code: 0 });
    expect(second).toBe(first);
    expect(events).toEqual(['welcome', 'left 0']);
    await expect(worker.start()).resolves.toBeUndefined();
  });

  it('should stop before it has started, and then refuse to start', async () => {
    const { worker } = await setup();
    worker.registerTaskHandler('x', () => 1);
    expect(await worker.stop()).toMatchObject({ code: 0 });
    await expect(worker.start()).rejects.toThrow('the worker has been stopped');
  });

  it('should stop in the turn in which it was started', async () => {
    const { coordinator, worker } = await setup();
    const refused = expect(worker.registerTaskHandler('x', () => 1).start()).rejects.toThrow(/start|welcome/);
    expect(await worker.stop()).toMatchObject({ code: 0 });
    await refused;
    expect(coordinator.sessions).toEqual([]);
  });

  it('should work over a Unix socket', async () => {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), 'remuda-')));
    onCleanup(() => rmSync(directory, { recursive: true, force: true }));
    const address = `unix:${join(directory, 's')}`;
    const coordinator = await ScriptedCoordinator.start(address);
    const worker = createWorker({ address, logger, session: mode });
    onCleanup(() => worker.stop({ drainTimeoutMs: 0 }));
    await worker.registerTaskHandler('x', () => 1).start();
    const session = await coordinator.session();
    session.assign('t-1', 'x');
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
  });

  it('should tell of a stuck handler and keep its slot in use', async () => {
    const { coordinator, worker } = await setup();
    let release: (value: string) => void = () => undefined;
    worker.registerTaskHandler('deaf', () => new Promise((resolve) => (release = resolve)));
    const stuck = new Promise((resolve) => worker.on('stuck', resolve));
    await worker.start();
    const session = await coordinator.session();
    session.assign('t-1', 'deaf', { timeoutMs: 100 });
    expect(await stuck).toMatchObject({ taskId: 't-1', type: 'deaf' });
    expect(session.frames.flatMap(({ reports }) => reports)).toEqual([]);
    release('late');
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
  });

  it('should give each handler bytes of its own, and take those it returns as they are then', async () => {
    const { coordinator, worker } = await setup({ slots: 2 });
    const kept = new Uint8Array([9, 9]);
    worker.registerTaskHandler('spoil', (payload: Uint8Array) => {
      new Uint8Array(payload.buffer).fill(0);
      return null;
    });
    worker.registerTaskHandler('look', (payload: Uint8Array) => {
      void spoilLater(kept);
      return payload[0] === 7 ? kept : null;
    });
    await worker.start();
    const session = await coordinator.session();
    // In one frame, so that both payloads lie in the memory of one message.
    session.assignBytes([
      { taskId: 't-1', type: 'spoil', data: new Uint8Array([7]) },
      { taskId: 't-2', type: 'look', data: new Uint8Array([7]) },
    ]);
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    const { result } = await session.report('t-2');
    expect(Buffer.from((result?.body.value as Uint8Array | undefined) ?? [])).toEqual(Buffer.from([9, 9]));
  });

  it('should say progress, abort on a cancel, and go on after a cut stream', async () => {
    const { coordinator, worker } = await setup();
    worker.registerTaskHandler('wait', (_, ctx) => {
      ctx.progress({ percent: 10 });
      return new Promise((_resolve, reject) =>
        ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason as Error)),
      );
    });
    await worker.start();
    const first = await coordinator.session();
    first.assign('t-1', 'wait');
    await coordinator.until('progress', () => first.frames.some(({ progress }) => progress.length > 0));
    first.end(new FleetError(status.UNAVAILABLE, 'COORDINATOR_STOPPING', 'restart'));
    const second = await coordinator.session(1);
    expect(second.hello.running).toMatchObject([{ attempt: { taskId: 't-1' }, started: true }]);
    second.cancel('t-1');
    expect((await second.report('t-1')).outcome).toBe(AttemptOutcome.CANCELLED);
  });

  it('should move a large result without harm', async () => {
    const { coordinator, worker } = await setup();
    await worker.registerTaskHandler('large', () => 'x'.repeat(1_000_000)).start();
    const session = await coordinator.session();
    session.assign('t-1', 'large');
    const { result } = await session.report('t-1');
    expect((result?.body.value as Uint8Array | undefined)?.byteLength).toBe(1_000_002);
  });
});

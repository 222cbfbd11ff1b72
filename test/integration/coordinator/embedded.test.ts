/** A coordinator inside another program: what the program observes, asks and adds, and that it may be a thread. */
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { DatabaseSync } from '@photostructure/sqlite';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { coordinatorConfig, type CoordinatorConfig } from '../../../coordinator/config.js';
import { Coordinator, type CoordinatorDeps, type CoordinatorObserver } from '../../../coordinator/coordinator.js';
import type { WorkerGlance } from '../../../coordinator/core/fleet-glance.js';
import type { CoreEvent } from '../../../coordinator/core/outputs.js';
import { AttemptOutcome, TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { ROOT, within } from '../../support/programs.js';
import { json, Stubs } from '../../support/stubs.js';
import type { ThreadMessage } from './coordinator-thread.js';
import { RawWorker, type FrameInit } from './support.js';

const WAIT_MS = 20_000;
const FREE_PORT = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;

let folder: string;
const stops: (() => Promise<unknown> | undefined)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'embedded-'));
});

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await rm(folder, { recursive: true });
});

/** Notes all that it is told, in order. */
class Notes extends EventEmitter implements CoordinatorObserver {
  readonly all: (CoreEvent | 'settled' | { readonly trouble: string | null })[] = [];

  onEvent(event: CoreEvent): void {
    this.all.push(event);
  }

  onSettled(): void {
    this.all.push('settled');
    this.emit('note');
  }

  onDiskLow(): void {
    // Not on a disk of this size.
  }

  onStoreTrouble(message: string | null): void {
    this.all.push({ trouble: message });
    this.emit('note');
  }

  names(): string[] {
    return this.all.map((note) => (note === 'settled' ? note : 'name' in note ? note.name : 'trouble'));
  }

  /** The first event of this name, so far or later. */
  event(name: CoreEvent['name']): Promise<CoreEvent> {
    const find = (): CoreEvent | undefined =>
      this.all.find((note): note is CoreEvent => typeof note === 'object' && 'name' in note && note.name === name);
    return this.until(find, name);
  }

  /** What is found after some batch, or some trouble. */
  until<T>(find: () => T | undefined, what: string): Promise<T> {
    const wait = async (): Promise<T> => {
      for (;;) {
        const found = find();
        if (found !== undefined) return found;
        await once(this, 'note');
      }
    };
    return within(wait(), WAIT_MS, () => `no ${what} within ${WAIT_MS} ms: ${this.names().join(' ')}`);
  }
}

async function embedded(config: Partial<CoordinatorConfig> = {}, deps: Partial<CoordinatorDeps> = {}) {
  const notes = new Notes();
  const fatal: Error[] = [];
  const listen = { kind: 'unix', path: join(folder, 'c.sock') } as const;
  const coordinator = new Coordinator(coordinatorConfig({ listen, http: null, store: 'memory:', ...config }), {
    log: pino({ level: 'silent' }),
    onFatal: (error) => fatal.push(error),
    observer: notes,
    ...deps,
  });
  stops.push(async () => {
    await coordinator.stop();
    expect(fatal).toEqual([]);
  });
  const addresses = await coordinator.start();
  const stubs = new Stubs(addresses.listen);
  stops.push(() => Promise.resolve(stubs[Symbol.dispose]()));
  return { coordinator, notes, stubs, address: addresses.listen, http: addresses.http };
}

async function joined(address: string, workerId: string): Promise<RawWorker> {
  const worker = await RawWorker.join(address, { hello: { workerId } });
  stops.push(() => Promise.resolve(worker[Symbol.dispose]()));
  return worker;
}

/** Worker `pool/0` with one attempt of a task, started. */
async function running() {
  const setup = await embedded();
  const worker = await joined(setup.address, 'pool/0');
  const { taskId } = await setup.stubs.submit({ type: 'echo', payload: json(1) });
  const { attempt } = await worker.assignment();
  worker.say({ started: [attempt] } as FrameInit);
  await setup.notes.event('attempt-started');
  return { ...setup, worker, taskId, attempt };
}

describe('the observer of a coordinator', () => {
  it('has been told, and of the end of the batch too, when a caller has its answer', async () => {
    const { notes, stubs, address, coordinator } = await embedded();
    const worker = await joined(address, 'pool/0');
    const call = stubs.run({ task: { type: 'echo', payload: json(1) } });
    worker.report((await worker.assignment()).attempt, 1);
    await call;
    const names = notes.names();
    const started = names.indexOf('attempt-started');
    expect(names.slice(started, started + 4)).toEqual(['attempt-started', 'attempt-ended', 'task-ended', 'settled']);
    expect(coordinator.glance()).toMatchObject({
      tasks: { queued: 0, running: 0, scheduled: 0 },
      totals: { submitted: 1, succeeded: 1, attemptsRetried: 0 },
      refusal: null,
    });
  });

  it('is told once of a store that refuses, and once when it does no more, and sees by a look that work is refused', async () => {
    const path = join(folder, 'busy.db');
    const { coordinator, notes, stubs } = await embedded({ store: `sqlite:${path}` });
    const db = new DatabaseSync(path);
    onTestFinished(() => db.close());
    db.exec('BEGIN IMMEDIATE');
    const submitted = stubs.submit({ type: 'echo', payload: json(1) });
    const troubles = () => notes.all.filter((note) => typeof note === 'object' && 'trouble' in note);
    await notes.until(() => troubles()[0], 'trouble');
    expect(coordinator.glance().refusal).toMatchObject({ reason: 'STORE_UNAVAILABLE' });
    db.exec('ROLLBACK');
    await submitted;
    expect(troubles()).toEqual([{ trouble: expect.stringContaining(path) as string }, { trouble: null }]);
    expect(coordinator.glance().refusal).toBeNull();
  });

  it('learns by a look that the coordinator stops', async () => {
    const { coordinator } = await embedded();
    await coordinator.stop();
    expect(coordinator.glance().refusal).toMatchObject({ reason: 'COORDINATOR_STOPPING' });
  });
});

describe('a look at the fleet', () => {
  it('shows each worker process with what it holds', async () => {
    const { coordinator, notes, address, worker, taskId } = await running();
    await joined(address, 'pool/1');
    worker.say({ heartbeat: { cpuMillis: 1, rssBytes: 7_000_000n, handlerLoopLagMs: 1 } });
    const look = () => {
      const found = new Map<string, Pick<WorkerGlance, 'rssBytes'>>();
      coordinator.glance().eachWorker((one) => {
        const { workerId, incarnation, state, superseded, holdCount, attemptsDone, lastFrameWallMs, rssBytes } = one;
        const [taskIds, types] = [[...one.taskIds], [...one.taskTypes.keys()]];
        const rest = { incarnation, state, superseded, holdCount, attemptsDone, lastFrameWallMs, rssBytes };
        const shown = { ...rest, taskIds, types };
        found.set(workerId, shown);
      });
      return found;
    };
    await notes.until(() => look().get('pool/0')?.rssBytes ?? undefined, 'heartbeat');
    expect(look()).toEqual(
      new Map([
        [
          'pool/0',
          {
            ...{ incarnation: worker.hello.incarnation, state: 'READY', superseded: false, holdCount: 1 },
            ...{ taskIds: [taskId], types: ['echo'], attemptsDone: 0, rssBytes: 7_000_000 },
            lastFrameWallMs: expect.any(Number) as number,
          },
        ],
        ['pool/1', expect.objectContaining({ state: 'READY', holdCount: 0, taskIds: [], rssBytes: null }) as object],
      ]),
    );
  });
});

describe('the end of a process that its supervisor has seen', () => {
  it.each(['died', 'killed'] as const)('moves what it held as soon as its stream has ended (%s)', async (how) => {
    const { coordinator, notes, stubs, address, worker, taskId } = await running();
    const other = await joined(address, 'pool/1');
    coordinator.processEnded(String(worker.hello.incarnation), how);
    worker[Symbol.dispose]();
    expect((await other.assignment()).attempt).toMatchObject({ taskId, attempt: 2 });
    const task = await stubs.get(taskId);
    expect(task).toMatchObject(how === 'died' ? { crashCount: 1 } : { crashCount: 0, releaseCount: 1 });
    await notes.event(how === 'died' ? 'worker-lost' : 'worker-left');
    expect(coordinator.glance().totals.attemptsRetried).toBe(1);
    expect((await stubs.stats()).totals?.retryCount).toBe(1n);
  });

  it('costs nothing that it had reported before', async () => {
    const { coordinator, notes, stubs, worker, taskId, attempt } = await running();
    worker.report(attempt, 'done');
    coordinator.processEnded(String(worker.hello.incarnation), 'killed');
    worker.close();
    expect(await notes.event('attempt-ended')).toMatchObject({ outcome: 'SUCCEEDED' });
    expect((await stubs.get(taskId)).state).toBe(TaskState.SUCCEEDED);
  });
});

describe('a page of the program that embeds it', () => {
  const page = { contentType: 'application/json', text: '{"pool":{"size":2}}' };
  const routes = new Map([
    ['/metrics/worker-pool', () => page],
    ['/metrics', () => ({ contentType: 'text/plain', text: 'not this one' })],
    [
      '/broken',
      () => {
        throw new Error('on purpose');
      },
    ],
  ]);

  it('is served beside its own, under the same rules', async () => {
    const { http } = await embedded({ http: FREE_PORT }, { routes });
    const get = (path: string, init: RequestInit = {}) => fetch(`http://${http ?? ''}${path}`, init);
    const found = await get('/metrics/worker-pool?x=1');
    expect([found.status, found.headers.get('content-type'), await found.text()]).toEqual([
      200,
      page.contentType,
      page.text,
    ]);
    expect(found.headers.get('cache-control')).toBe('no-store');
    expect((await get('/metrics/worker-pool', { method: 'POST' })).status).toBe(405);
    expect(await (await get('/metrics')).text()).toContain('remuda_attempts_retried_total 0');
    expect((await get('/broken')).status).toBe(500);
    const missing = await get('/metrics/worker-pool/');
    const list = 'there are /metrics, /healthz, /readyz, /metrics/worker-pool and /broken\n';
    expect([missing.status, await missing.text()]).toEqual([404, list]);
  });
});

describe('a coordinator in a thread', () => {
  interface Hosted {
    readonly thread: Worker;
    readonly said: ThreadMessage;
  }

  async function hosted(name: string, store: string): Promise<Hosted> {
    const listen = { kind: 'unix', path: join(folder, `${name}.sock`) };
    const config = { listen, http: FREE_PORT, store: `sqlite:${join(folder, store)}` };
    const thread = new Worker(`${ROOT}dist/test/integration/coordinator/coordinator-thread.js`, { workerData: config });
    const exited = once(thread, 'exit');
    stops.push(async () => {
      thread.postMessage('stop');
      // By itself: nothing of the coordinator keeps its thread.
      expect(await within(exited, WAIT_MS, () => `the thread of ${name} does not end`)).toEqual([0]);
    });
    const [said] = (await within(once(thread, 'message'), WAIT_MS, () => `${name} says nothing`)) as [ThreadMessage];
    return { thread, said };
  }

  it('works, and so does another one beside it', async () => {
    for (const name of ['a', 'b']) {
      const { said } = await hosted(name, `${name}.db`);
      if (said.kind !== 'listening') throw new Error(said.message);
      const worker = await joined(said.listen, 'pool/0');
      using stubs = new Stubs(said.listen);
      const call = stubs.run({ task: { type: 'echo', payload: json(name) } });
      const { attempt } = await worker.assignment();
      worker.say({ reports: [{ attempt, outcome: AttemptOutcome.SUCCEEDED, result: json(name) }] });
      expect((await call).task?.state).toBe(TaskState.SUCCEEDED);
    }
  });

  it('is refused the store of another one in this process, and told so', async () => {
    await hosted('a', 'same.db');
    const { said } = await hosted('b', 'same.db');
    expect(said).toMatchObject({
      kind: 'failed',
      message: expect.stringMatching(
        `store ${join(folder, 'same.db')}: .* pid ${process.pid} \\(this very process\\), has had it since`,
      ) as string,
    });
  });
});

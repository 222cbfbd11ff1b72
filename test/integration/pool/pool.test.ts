import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  countsFromNow,
  createWorkerPool,
  eventOf,
  eventsOf,
  eventually,
  failure,
  HANDLERS,
  isAlive,
  openPool,
  sharedPool,
  writeFixture,
} from './support.js';

function sum(workers: Readonly<Record<string, number>>): number {
  const { total = 0, ...states } = workers;
  expect(Object.values(states).reduce((a, b) => a + b, 0)).toBe(total);
  return total;
}

describe('tasks of a pool', () => {
  const shared = sharedPool();

  it('should run, and be counted by the time their promises are fulfilled', async () => {
    const { pool } = await openPool();
    expect(pool.getPoolMetrics()).toMatchObject({
      pool: { size: 1 },
      workers: { total: 1, ready: 1, busy: 0, starting: 0, draining: 0, zombie: 0 },
      health: { status: 'healthy', reasons: [] },
    });
    for (let number = 1; number <= 100; number += 1) {
      expect(await pool.submitTask({ type: 'echo', payload: { number } })).toEqual({ number });
      const { tasks, workers } = pool.getPoolMetrics();
      expect(tasks).toMatchObject({ completed: number, queued: 0, running: 0 });
      expect(workers).toMatchObject({ total: 1, ready: 1, busy: 0 });
    }
    const { performance } = pool.getPoolMetrics();
    expect(performance.workerReuseRate).toBeGreaterThanOrEqual(0.95);
    expect(performance.p50StartMs).toBeGreaterThan(0);
    expect(performance.p99StartMs).toBeGreaterThanOrEqual(performance.p50StartMs);
    expect(performance.tasksPerSecond).toBeGreaterThan(0);
    const done = pool.getAllWorkersStatus().reduce((tasks, { tasksDone }) => tasks + tasksDone, 0);
    expect(done).toBe(100);
  });

  it('should queue when there are more than workers, and show who runs what', async () => {
    const { pool } = await openPool({ poolSize: 2 });
    const taskId = '01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f0';
    const completed = eventsOf(pool, 'task-completed');
    const first = pool.submitTask({ type: 'sleep', payload: { ms: 500 }, taskId });
    const others = Array.from({ length: 4 }, () => pool.submitTask({ type: 'sleep', payload: { ms: 100 } }));
    const busy = await eventually('both workers to be busy', () => {
      const { tasks, workers } = pool.getPoolMetrics();
      return workers.busy === 2 && tasks.queued > 0 && tasks;
    });
    expect(busy.running).toBe(2);
    const status = pool.getAllWorkersStatus().find(({ currentTasks }) => currentTasks.includes(taskId));
    expect(status).toMatchObject({ state: 'busy', restarts: 0 });
    expect(status?.pid).toBe(await first);
    await Promise.all(others);
    expect(pool.getPoolMetrics().tasks).toMatchObject({ completed: 5, queued: 0, running: 0 });
    await eventually('every completion to be told', () => completed.length === 5);
    expect(completed[0]?.durationMs).toBeGreaterThan(0);
  });

  it('should be retried when they fail, and tell each failure once', async () => {
    const { pool } = shared;
    const counts = countsFromNow(pool);
    const events = eventsOf(pool, 'task-failed');
    const dead = eventOf(pool, 'task-dead-lettered');
    const retry = { initialBackoffMs: 1 };
    const error = await failure(pool.submitTask({ type: 'fail', payload: { message: 'no way' }, retry }));
    expect(error.name).toBe('TaskFailedError');
    expect(error.message).toContain('HANDLER_ERROR: no way');
    expect(counts()).toMatchObject({ completed: 0, failed: 3, retried: 2, deadLettered: 1 });
    const { taskId } = await dead;
    const failed = events.filter((event) => event.taskId === taskId);
    expect(failed.map(({ attempt, retried }) => [attempt, retried])).toEqual([
      [1, true],
      [2, true],
      [3, false],
    ]);
    expect(failed[0]?.error.message).toBe('no way');
    expect(failed[0]?.error.stack).toContain('handlers.mjs');
    expect((await pool.client.get(taskId)).state).toBe('DEAD_LETTERED');
  });

  it('should be started at most once with maxAttempts 1', async () => {
    const { pool } = shared;
    const counts = countsFromNow(pool);
    const task = { type: 'fail', payload: { message: 'once' }, maxAttempts: 1 };
    await failure(pool.submitTask(task));
    expect(counts()).toMatchObject({ failed: 1, retried: 0, deadLettered: 1 });
  });

  it('should be told as failed, once, when their deadline passes before they ran', async () => {
    const { pool } = shared;
    const taskId = '01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f2';
    const events = eventsOf(pool, 'task-failed');
    const running = pool.submitTask({ type: 'sleep', payload: { ms: 600 } });
    const late = await failure(pool.submitTask({ type: 'echo', taskId, deadline: Date.now() + 200 }));
    expect(late.message).toContain('EXPIRED');
    await running;
    const failed = await eventually('the event', () => {
      const told = events.filter((event) => event.taskId === taskId);
      return told.length > 0 && told;
    });
    expect(failed).toMatchObject([{ attempt: 0, retried: false, error: { reason: 'DEADLINE_PASSED' } }]);
  });

  it('should be aborted at their time-out', async () => {
    const { pool } = await openPool({ poolSize: 1, taskTimeout: 100 });
    const error = await failure(pool.submitTask({ type: 'sleep', payload: { ms: 60_000 }, maxAttempts: 1 }));
    expect(error.message).toContain('TIMED_OUT');
    expect(await pool.submitTask({ type: 'sleep', payload: { ms: 300 }, timeout: 30_000 })).toBeTypeOf('number');
  });

  it('should be refused when no worker handles their type, or they cannot be read', async () => {
    const { pool } = shared;
    const counts = countsFromNow(pool);
    expect(await failure(pool.submitTask({ type: 'paint' }))).toMatchObject({ reason: 'NO_HANDLER' });
    expect(await failure(pool.submitTask({ type: 'echo', priority: -1 }))).toMatchObject({ reason: 'INVALID_TASK' });
    const bad = { type: 'echo', taskId: 'abc', metadata: { a: 1 } } as never;
    const faults = await failure(pool.submitTask(bad));
    expect(faults).toMatchObject({ reason: 'INVALID_TASK' });
    expect(faults.message).toMatch(/^taskId: .*metadata/);
    expect(await failure(pool.submitTask({ type: 'echo', payload: 1n }))).toMatchObject({ reason: 'PAYLOAD_NOT_JSON' });
    expect(counts()).toMatchObject({ completed: 0, failed: 0 });
  });

  it('should be spread as loadBalancing says', async () => {
    const { pool } = await openPool({ poolSize: 2, loadBalancing: 'round-robin' });
    const pids = new Set<number>();
    for (let number = 0; number < 4; number += 1) pids.add(await pool.submitTask<number>({ type: 'pid' }));
    expect(pids.size).toBe(2);
  });

  it('should be told to listeners again after all were removed', async () => {
    const { pool } = shared;
    pool.on('task-completed', () => undefined);
    for (let repeats = 0; repeats < 12; repeats += 1) pool.removeAllListeners();
    expect(pool.listenerCount('task-completed')).toBe(0);
    expect(pool.listenerCount('newListener' as never)).toBe(1);
    const completed = eventOf(pool, 'task-completed');
    await pool.submitTask({ type: 'echo' });
    expect((await completed).type).toBe('echo');
  });
});

describe('the size of a pool', () => {
  it('should change within its bounds, and say by how much', async () => {
    const { pool, log } = await openPool({ poolSize: 2, minWorkers: 1, maxWorkers: 3 });
    const events: string[] = [];
    pool.on('pool-scaled-up', ({ count, newSize }) => events.push(`up ${count} to ${newSize}`));
    pool.on('pool-scaled-down', ({ count, newSize }) => events.push(`down ${count} to ${newSize}`));
    expect(await pool.scaleUp(10)).toEqual({ count: 1, newSize: 3 });
    expect(events).toEqual(['up 1 to 3']);
    expect(sum(pool.getPoolMetrics().workers)).toBe(3);
    expect(await pool.scaleUp(1)).toEqual({ count: 0, newSize: 3 });
    expect(await pool.scaleDown(10)).toEqual({ count: 2, newSize: 1 });
    expect(pool.getPoolMetrics()).toMatchObject({ pool: { size: 1 }, workers: { total: 1, ready: 1 } });
    expect(await pool.scaleDown(1)).toEqual({ count: 0, newSize: 1 });
    expect(events).toEqual(['up 1 to 3', 'down 2 to 1']);
    expect(log()).toContain('scaleUp(10) changes the pool by 1 only: maxWorkers is 3');
    for (const count of [0, -1, 1.5, NaN, '2', undefined]) {
      expect(await failure(pool.scaleUp(count as number))).toMatchObject({ reason: 'INVALID_COUNT' });
      expect(await failure(pool.scaleDown(count as number))).toMatchObject({ reason: 'INVALID_COUNT' });
    }
  });

  it('should shrink by idle workers first, and never in the middle of a task', async () => {
    const { pool } = await openPool({ poolSize: 3 });
    const long = pool.submitTask<number>({ type: 'sleep', payload: { ms: 1_500 } });
    const busy = await eventually('a busy worker', () =>
      pool.getAllWorkersStatus().find(({ state }) => state === 'busy'),
    );
    expect(await pool.scaleDown(1)).toEqual({ count: 1, newSize: 2 });
    expect(pool.getAllWorkersStatus().map(({ id }) => id)).toContain(busy.id);
    // The other idle one, and then the busy one would be next.
    const down = pool.scaleDown(1);
    expect(await down).toEqual({ count: 1, newSize: 1 });
    expect(await long).toBe(busy.pid);
    expect(pool.getAllWorkersStatus()).toMatchObject([{ id: busy.id, state: 'ready' }]);
  });

  it('should let a busy worker finish before it goes', async () => {
    const { pool } = await openPool({ poolSize: 2 });
    const tasks = [1, 2].map(() => pool.submitTask({ type: 'sleep', payload: { ms: 700 } }));
    await eventually('two busy workers', () => pool.getPoolMetrics().workers.busy === 2);
    const down = pool.scaleDown(1);
    await eventually('a draining worker', () => pool.getPoolMetrics().workers.draining === 1);
    expect(pool.getPoolMetrics().pool.size).toBe(1);
    await Promise.all(tasks);
    expect(await down).toEqual({ count: 1, newSize: 1 });
    expect(pool.getPoolMetrics().tasks).toMatchObject({ completed: 2, failed: 0 });
  });
});

describe('shutdown', () => {
  it('should wait for what has just been handed out, wherever it is', async () => {
    const { pool } = await openPool({ poolSize: 2 });
    for (let round = 0; round < 3; round += 1) await pool.submitTask({ type: 'echo' });
    const tasks = [1, 2].map((number) => pool.submitTask({ type: 'echo', payload: number }));
    // Not a turn later: neither has arrived at its worker yet.
    for (let counts = pool.getPoolMetrics().tasks; counts.running + counts.completed < 5;) {
      await new Promise(setImmediate);
      counts = pool.getPoolMetrics().tasks;
    }
    await pool.shutdown(true);
    expect(await Promise.all(tasks)).toEqual([1, 2]);
    expect(pool.getPoolMetrics().tasks).toMatchObject({ completed: 5, failed: 0, retried: 0 });
  });

  it('should be what a listener of a signal asks for', async () => {
    const { pool } = await openPool();
    const task = pool.submitTask({ type: 'sleep', payload: { ms: 300 } });
    await eventually('it to run', () => pool.getPoolMetrics().tasks.running === 1);
    await pool.shutdown('SIGTERM' as unknown as boolean, 15 as never);
    expect(await task).toBeTypeOf('number');
  });

  it('should wait for what runs, fail what waits, and leave nothing', async () => {
    const { pool } = await openPool({ poolSize: 1 });
    const pids = pool.getAllWorkersStatus().map(({ pid }) => pid ?? 0);
    const directory = dirname(pool.address.slice('unix:'.length));
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    const running = pool.submitTask({ type: 'sleep', payload: { ms: 500 } });
    await eventually('it to run', () => pool.getPoolMetrics().tasks.running === 1);
    const waiting = failure(pool.submitTask({ type: 'echo' }));
    await eventually('the other to wait', () => pool.getPoolMetrics().tasks.queued === 1);
    const end = pool.shutdown(true);
    expect(pool.shutdown(true)).toBe(end);
    expect(await failure(pool.submitTask({ type: 'echo' }))).toMatchObject({ reason: 'POOL_SHUT_DOWN' });
    await end;
    expect(await running).toBe(pids[0]);
    expect(await waiting).toMatchObject({ reason: 'POOL_SHUT_DOWN' });
    expect((await waiting).message).toContain('whose store is memory:');
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(directory)).toBe(false);
    expect(pool.getPoolMetrics()).toMatchObject({ workers: { total: 0 }, health: { status: 'unhealthy' } });
    expect(pool.getAllWorkersStatus()).toEqual([]);
    expect(await pool.scaleUp(1)).toEqual({ count: 0, newSize: 0 });
  });

  it('should abort what runs when it is not graceful, and kill what does not heed it', async () => {
    const { pool } = await openPool({ poolSize: 2 });
    const pids = pool.getAllWorkersStatus().map(({ pid }) => pid ?? 0);
    const tasks = ['sleep', 'block'].map((type) => failure(pool.submitTask({ type, payload: { ms: 60_000 } })));
    await eventually('both to run', () => pool.getPoolMetrics().tasks.running === 2);
    await pool.shutdown(false);
    for (const error of await Promise.all(tasks)) expect(error).toMatchObject({ reason: 'POOL_SHUT_DOWN' });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('should fail tasks that have not arrived yet', async () => {
    const { pool } = await openPool();
    const tasks = Array.from({ length: 200 }, () =>
      failure(pool.submitTask({ type: 'sleep', payload: { ms: 60_000, text: 'x'.repeat(100_000) } })),
    );
    await pool.shutdown(false);
    for (const error of await Promise.all(tasks)) expect(error).toMatchObject({ reason: 'POOL_SHUT_DOWN' });
  });

  it('should come to an end at its deadline, or when it is asked for again', async () => {
    const { pool } = await openPool();
    const task = failure(pool.submitTask({ type: 'sleep', payload: { ms: 60_000 } }));
    await eventually('it to run', () => pool.getPoolMetrics().tasks.running === 1);
    const end = pool.shutdown(true, { timeout: 50_000 });
    expect(pool.shutdown(false)).toBe(end);
    await end;
    await task;
    const other = await openPool();
    const late = failure(other.pool.submitTask({ type: 'sleep', payload: { ms: 60_000 } }));
    await eventually('it to run', () => other.pool.getPoolMetrics().tasks.running === 1);
    await other.pool.shutdown(true, { timeout: 100 });
    expect(await late).toMatchObject({ reason: 'POOL_SHUT_DOWN' });
  });

  it('should deliver the results of all that ran, however many', async () => {
    const { pool } = await openPool({ poolSize: 2 });
    const payload = { text: 'x'.repeat(500_000) };
    const tasks = Array.from({ length: 20 }, () => pool.submitTask({ type: 'echo', payload }));
    const settled = Promise.allSettled(tasks);
    await tasks[0];
    await pool.shutdown(true);
    const { tasks: counts } = pool.getPoolMetrics();
    const fulfilled = (await settled).filter(({ status }) => status === 'fulfilled');
    expect(fulfilled.length).toBe(counts.completed);
  });

  it('should be what `await using` does', async () => {
    const { pool } = await openPool();
    await pool[Symbol.asyncDispose]();
    expect(pool.getPoolMetrics().health.status).toBe('unhealthy');
  });
});

describe('two pools in one process', () => {
  it('should not know of each other', async () => {
    const first = await openPool({ poolSize: 1 });
    const second = await openPool({ poolSize: 1 });
    expect(first.pool.address).not.toBe(second.pool.address);
    expect(first.pool.getAllWorkersStatus().map(({ id }) => id)).toEqual(['pool/0']);
    expect(second.pool.getAllWorkersStatus().map(({ id }) => id)).toEqual(['pool-2/0']);
    await first.pool.submitTask({ type: 'echo' });
    expect(second.pool.getPoolMetrics().tasks.completed).toBe(0);
    await first.pool.shutdown();
    expect(await second.pool.submitTask({ type: 'echo', payload: 2 })).toBe(2);
  });

  it('should not open one store file', async () => {
    const handlers = writeFixture('handlers.mjs', HANDLERS);
    const store = `sqlite:${dirname(handlers)}/pool.db`;
    const options = { poolSize: 1, store, handlers, logFile: false as const };
    const first = await createWorkerPool(options);
    try {
      const error = await failure(createWorkerPool(options));
      expect(error).toMatchObject({ reason: 'COORDINATOR_START_FAILED' });
      expect(error.message).toContain('pool.db');
      expect(await first.submitTask({ type: 'echo', payload: 1 })).toBe(1);
    } finally {
      await first.shutdown(false);
    }
  });
});

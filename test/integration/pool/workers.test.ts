import { execFileSync } from 'node:child_process';
import type { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { eventOf, eventsOf, eventually, failure, isAlive, openPool } from './support.js';

describe('workers of a pool', () => {
  it('should be replaced when they are killed, and their tasks run again at once', async () => {
    // A lease far longer than the test: nobody waits for it.
    const { pool } = await openPool({ poolSize: 2, heartbeatInterval: 60_000 });
    const names = ['worker-exit', 'worker-error', 'worker-restarted', 'task-failed'] as const;
    const [exits, errors, restarts, failed] = names.map((name) => eventsOf(pool, name));
    const task = pool.submitTask({ type: 'sleep', payload: { ms: 1_000 }, retry: { initialBackoffMs: 1 } });
    const busy = await eventually('a busy worker', () =>
      pool.getAllWorkersStatus().find(({ state }) => state === 'busy'),
    );
    // It must have been started to have failed.
    await eventually('the handler', () => pool.getPoolMetrics().performance.p50StartMs > 0);
    process.kill(busy.pid ?? 0, 'SIGKILL');
    expect(await task).not.toBe(busy.pid);
    await eventually('the restart', () => restarts?.length === 1);
    expect(exits).toMatchObject([{ workerId: busy.id, pid: busy.pid, signal: 'SIGKILL', expected: false }]);
    expect(errors).toMatchObject([{ workerId: busy.id, error: { reason: 'WORKER_FAILED' } }]);
    expect(restarts).toMatchObject([{ workerId: busy.id, restarts: 1 }]);
    expect(failed).toMatchObject([{ attempt: 1, retried: true, workerId: busy.id, error: { reason: 'WORKER_DIED' } }]);
    expect(pool.getPoolMetrics()).toMatchObject({
      workers: { total: 2, ready: 2 },
      tasks: { completed: 1, failed: 1, retried: 1, deadLettered: 0 },
    });
    expect(pool.getAllWorkersStatus().find(({ id }) => id === busy.id)).toMatchObject({ restarts: 1 });
  });

  it('should be given up when they fail too often, and be replaced by scaleUp', async () => {
    const { pool } = await openPool({ poolSize: 2, maxRestartAttempts: 2, minWorkers: 2 });
    const health = eventsOf(pool, 'health-changed');
    const givenUp = eventOf(pool, 'worker-given-up');
    const id = 'pool/0';
    for (let kills = 0; kills < 3; kills += 1) {
      const { pid } = await eventually(`process ${kills} of ${id}`, () =>
        pool.getAllWorkersStatus().find((worker) => worker.id === id && worker.state === 'ready'),
      );
      process.kill(pid ?? 0, 'SIGKILL');
      await eventually('its end', () => !isAlive(pid ?? 0));
      await eventually('the pool to know', () => pool.getAllWorkersStatus().every((worker) => worker.pid !== pid));
    }
    expect(await givenUp).toMatchObject({ workerId: id, restarts: 2, error: { reason: 'WORKER_GIVEN_UP' } });
    const { pool: size, workers, health: now } = pool.getPoolMetrics();
    expect(size).toEqual({ size: 1 });
    expect(workers).toMatchObject({ total: 1 });
    expect(now.status).toBe('degraded');
    expect(now.reasons.join()).toContain('given up');
    expect(await pool.scaleUp(1)).toEqual({ count: 1, newSize: 2 });
    expect(pool.getPoolMetrics().health).toEqual({ status: 'healthy', reasons: [] });
    await eventually('the news', () => health.at(-1)?.status === 'healthy');
    expect(health.map(({ status }) => status)).toContain('degraded');
  });

  it('should be started where the pool was, whatever directory its program goes to', async () => {
    const before = process.cwd();
    const { pool } = await openPool();
    const restarted = eventOf(pool, 'worker-restarted');
    process.chdir('/');
    try {
      process.kill(await pool.submitTask<number>({ type: 'pid' }), 'SIGKILL');
      await restarted;
      expect(await pool.submitTask({ type: 'cwd' })).toBe(before);
    } finally {
      process.chdir(before);
    }
  });

  it('should be started again when a handler exits, whatever the status', async () => {
    const { pool } = await openPool({ maxRestartAttempts: 10 });
    for (const status of [0, 2, 78]) {
      const restarted = eventOf(pool, 'worker-restarted');
      await failure(pool.submitTask({ type: 'exit', payload: { status }, maxAttempts: 1 }));
      await restarted;
    }
    expect(pool.getPoolMetrics()).toMatchObject({ pool: { size: 1 }, workers: { ready: 1 } });
    expect(await pool.submitTask({ type: 'echo', payload: 1 })).toBe(1);
  });

  it('should be taken out, and not given up, while they wait for their restart', async () => {
    const { pool, log } = await openPool({ poolSize: 2, maxRestartAttempts: 50 });
    const givenUp = eventsOf(pool, 'worker-given-up');
    // Until its restarts are far enough apart to be caught between two.
    await eventually('a worker without a process', () => {
      const worker = pool.getAllWorkersStatus().find(({ id }) => id === 'pool/1');
      if (worker?.pid !== undefined && isAlive(worker.pid)) process.kill(worker.pid, 'SIGKILL');
      return worker !== undefined && worker.pid === undefined && worker.restarts > 1;
    });
    expect(await pool.scaleDown(1)).toEqual({ count: 1, newSize: 1 });
    expect(pool.getPoolMetrics()).toMatchObject({ pool: { size: 1 }, workers: { total: 1 } });
    await pool.shutdown();
    expect(givenUp).toEqual([]);
    expect(log()).not.toContain('worker-given-up');
  });

  it('should not be replaced over and over by a memory limit that is too low', async () => {
    const { pool, log } = await openPool({ workerMemoryLimitMB: 16, heartbeatInterval: 100 });
    const exits = eventsOf(pool, 'worker-exit');
    await eventually('the log to say so', () => log().includes('memory-limit-too-low'));
    expect(await pool.submitTask({ type: 'sleep', payload: { ms: 500 } })).toBeTypeOf('number');
    expect(exits.length).toBeLessThanOrEqual(1);
  });

  it('should end with the thread of their pool, and everybody be told', async () => {
    const threads: Worker[] = [];
    process.once('worker', (thread) => threads.push(thread));
    const { pool } = await openPool();
    const warnings: string[] = [];
    const onWarning = ({ message }: Error): void => void warnings.push(message);
    process.on('warning', onWarning);
    // On a slow machine there are others before it.
    const changes = eventsOf(pool, 'health-changed');
    const running = failure(pool.submitTask({ type: 'block', payload: { ms: 60_000 } }));
    await eventually('it to run', () => pool.getPoolMetrics().tasks.running === 1);
    const [worker] = pool.getAllWorkersStatus();
    await threads[0]?.terminate();
    expect(await running).toMatchObject({ reason: 'POOL_FAILED' });
    expect(changes.at(-1)).toMatchObject({
      status: 'unhealthy',
      reasons: [expect.stringContaining('the pool has failed')],
    });
    await eventually('the worker to end', () => !isAlive(worker?.pid ?? 0));
    expect(await failure(pool.submitTask({ type: 'echo' }))).toMatchObject({ reason: 'POOL_FAILED' });
    expect(pool.getPoolMetrics()).toMatchObject({ workers: { total: 0 }, health: { status: 'unhealthy' } });
    await pool.shutdown();
    process.off('warning', onWarning);
    expect(warnings.join()).toContain('the pool has failed');
  });

  it('should not be started again with autoRestart false', async () => {
    const { pool } = await openPool({ poolSize: 2, autoRestart: false });
    const givenUp = eventOf(pool, 'worker-given-up');
    const pid = await pool.submitTask<number>({ type: 'pid' });
    process.kill(pid, 'SIGKILL');
    expect((await givenUp).error.message).toContain('autoRestart is false');
    expect(pool.getPoolMetrics()).toMatchObject({ pool: { size: 1 }, workers: { total: 1 } });
    expect(await pool.submitTask({ type: 'echo', payload: 1 })).toBe(1);
  });

  it('should be killed and replaced when they are zombies', async () => {
    const { pool } = await openPool({ heartbeatInterval: 300 });
    const zombie = eventOf(pool, 'zombie-detected');
    const restarted = eventOf(pool, 'worker-restarted');
    const pid = await pool.submitTask<number>({ type: 'pid' });
    process.kill(pid, 'SIGSTOP');
    expect(await zombie).toMatchObject({ pid });
    await restarted;
    expect(isAlive(pid)).toBe(false);
    expect(pool.getPoolMetrics()).toMatchObject({ workers: { total: 1, zombie: 0 }, health: { status: 'degraded' } });
    expect(pool.getPoolMetrics().health.reasons).toEqual(['a worker was a zombie within the last minute']);
  });

  it('should be busy, and no zombie, while a handler blocks for many leases', async () => {
    const { pool } = await openPool({ heartbeatInterval: 200 });
    const zombies = eventsOf(pool, 'zombie-detected');
    const task = pool.submitTask({ type: 'block', payload: { ms: 3_000 } });
    await eventually('a busy worker', () => pool.getPoolMetrics().workers.busy === 1);
    expect(await task).toBeTypeOf('number');
    expect(zombies).toEqual([]);
    expect(pool.getPoolMetrics().tasks).toMatchObject({ completed: 1, failed: 0, retried: 0 });
  });

  it('should be replaced above the memory limit, after their tasks', async () => {
    const { pool, log } = await openPool({ poolSize: 1, workerMemoryLimitMB: 300, heartbeatInterval: 200 });
    const exit = eventOf(pool, 'worker-exit');
    const restarted = eventOf(pool, 'worker-restarted');
    const pid = await pool.submitTask<number>({ type: 'hoard', payload: { mib: 350 } });
    expect(await exit).toMatchObject({ pid, expected: true, code: 0 });
    await restarted;
    expect(await pool.submitTask({ type: 'pid' })).not.toBe(pid);
    expect(pool.getPoolMetrics().tasks).toMatchObject({ completed: 2, failed: 0 });
    expect(log()).toContain('worker-over-memory-limit');
  });

  it('should not let a task kill them for ever', async () => {
    const { pool } = await openPool({ maxRestartAttempts: 10 });
    const failed = eventsOf(pool, 'task-failed');
    const error = await failure(pool.submitTask({ type: 'crash', retry: { initialBackoffMs: 1 } }));
    expect(error.name).toBe('TaskFailedError');
    await eventually('the last failure', () => failed.at(-1)?.retried === false);
    expect(failed.filter(({ retried }) => !retried).length).toBe(1);
    await eventually('the worker', () => pool.getPoolMetrics().workers.ready === 1);
    expect(await pool.submitTask({ type: 'echo', payload: 1 })).toBe(1);
  });

  it('should take the processes that they have started with them', async () => {
    const { pool } = await openPool({ poolSize: 1 });
    const forked = await pool.submitTask<number>({ type: 'fork' });
    expect(isAlive(forked)).toBe(true);
    await pool.shutdown(true);
    expect(isAlive(forked)).toBe(false);
  });

  it('should be reached by other programs over the socket', async () => {
    const { pool } = await openPool();
    const remuda = new URL('../../../dist/client/cli/main.js', import.meta.url).pathname;
    const text = execFileSync(process.execPath, [remuda, 'workers', '--json', '--address', pool.address], {
      encoding: 'utf8',
    });
    expect(text).toContain('pool/0');
  });
});

describe('the log of a pool', () => {
  it('should have every line of the workers, with who wrote it', async () => {
    const { pool, log } = await openPool({ poolSize: 1 });
    expect(await pool.submitTask({ type: 'print', payload: { lines: 20_000 } })).toBe('printed');
    await pool.shutdown();
    const lines = log()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const printed = lines.filter(({ stream }) => stream === 'stdout').map(({ msg }) => msg);
    expect(printed).toEqual(Array.from({ length: 20_000 }, (_, line) => `line ${line}`));
    expect(lines.every(({ worker_id: id, stream }) => stream === undefined || id === 'pool/0')).toBe(true);
    expect(lines.map(({ msg }) => msg)).toEqual(expect.arrayContaining(['worker-ready', 'worker-exit']));
  });
});

describe('the HTTP side of a pool', () => {
  it('should serve the figures as getPoolMetrics gives them, and those of the coordinator', async () => {
    const { pool } = await openPool({ httpPort: 0 });
    await pool.submitTask({ type: 'echo' });
    const answer = await fetch(`${pool.httpUrl ?? ''}/metrics/worker-pool`);
    expect(answer.headers.get('content-type')).toContain('application/json');
    const { performance, ...rest } = (await answer.json()) as ReturnType<typeof pool.getPoolMetrics>;
    const { performance: own, ...ownRest } = pool.getPoolMetrics();
    expect(rest).toEqual(ownRest);
    expect(Object.keys(performance)).toEqual(Object.keys(own));
    expect((await fetch(`${pool.httpUrl ?? ''}/readyz`)).status).toBe(200);
    const metrics = await (await fetch(`${pool.httpUrl ?? ''}/metrics`)).text();
    for (const line of [
      'remuda_tasks_ended_total{state="SUCCEEDED"} 1',
      'remuda_pool_size 1',
      'remuda_pool_workers{state="ready"} 1',
      'remuda_pool_health{status="healthy"} 1',
    ]) {
      expect(metrics).toContain(line);
    }
  });

  it('should not be ready when no worker takes tasks', async () => {
    const { pool } = await openPool({ httpPort: 0, autoRestart: false });
    const givenUp = eventOf(pool, 'worker-given-up');
    process.kill(await pool.submitTask<number>({ type: 'pid' }), 'SIGKILL');
    await givenUp;
    const answer = await fetch(`${pool.httpUrl ?? ''}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain('no worker takes tasks');
    expect(await pool.scaleUp(1)).toEqual({ count: 1, newSize: 1 });
    expect((await fetch(`${pool.httpUrl ?? ''}/readyz`)).status).toBe(200);
  });
});

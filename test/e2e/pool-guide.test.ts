/** Programs that were written for another pool, of the same names: they move over by their require paths alone. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PoolMetrics, WorkerStatus } from '../../coordinator/pool/index.js';
import { endPrograms, isAlive, ROOT, startNode, type Program } from '../support/programs.js';

/** A project with these programs, which has the package as it is built. */
function makeProject(changes: Readonly<Record<string, Readonly<Record<string, string>>>>): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'remuda-guide-')));
  cpSync(`${ROOT}test/e2e/pool-guide`, folder, { recursive: true });
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules/remuda'));
  symlinkSync(`${ROOT}node_modules/express`, join(folder, 'node_modules/express'));
  for (const [file, replacements] of Object.entries(changes)) {
    const path = join(folder, file);
    const changed = Object.entries(replacements).reduce(
      (text, [from, to]) => {
        if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
        return text.replace(from, to);
      },
      readFileSync(path, 'utf8'),
    );
    writeFileSync(path, changed);
  }
  return folder;
}

/** Twenty processes, on a machine that is busy with others. */
const START_MS = 60_000;

describe('a program with warm workers, requests, metrics, events and scaling', () => {
  let folder: string;
  let program: Program;
  let url: string;

  beforeAll(async () => {
    folder = makeProject({
      // A zombie shows after three of them; the scaling looks more often.
      'main.js': { 'heartbeatInterval: 5000': 'heartbeatInterval: 1000', '}, 30000);': '}, 2000);' },
    });
    program = startNode('cortex', ['main.js'], { cwd: folder });
    const { text } = await said(/^Listening on \d+$/, START_MS);
    url = `http://127.0.0.1:${text.split(' ').at(-1) ?? ''}`;
  }, START_MS);

  afterAll(async () => {
    await endPrograms();
    rmSync(folder, { recursive: true });
  });

  const said = (pattern: RegExp, timeoutMs?: number) =>
    program.line(({ text }) => pattern.test(text), String(pattern), timeoutMs);
  const complained = (pattern: RegExp) => program.complaint((text) => pattern.test(text), String(pattern));

  async function get<T>(path: string): Promise<T> {
    const response = await fetch(`${url}${path}`);
    return (await response.json()) as T;
  }

  async function request(body: object): Promise<{ status: number; answer: Readonly<Record<string, unknown>> }> {
    const response = await fetch(`${url}/requests`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, answer: (await response.json()) as Readonly<Record<string, unknown>> };
  }

  async function idleWorker(): Promise<WorkerStatus & { readonly pid: number }> {
    const worker = (await get<WorkerStatus[]>('/workers')).find(({ state }) => state === 'ready');
    if (worker?.pid === undefined) throw new Error('no worker is idle');
    return { ...worker, pid: worker.pid };
  }

  it('should have its workers when createWorkerPool() resolves', async () => {
    await said(/^Worker pool initialized with 20 workers$/);
    expect(await get('/metrics')).toMatchObject({
      workerPool: { size: 20, healthy: 20, busy: 0, tasksQueued: 0, healthStatus: 'healthy' },
    });
  });

  it('should have its requests run by the handlers of lib/worker-pool/worker-process.js', async () => {
    const implementation = { type: 'implementation', data: { feature: 'login', requirements: ['a', 'b'] } };
    const { answer } = await request(implementation);
    expect(answer).toEqual({ feature: 'login', fulfilled: ['a', 'b'], pid: expect.any(Number) });
    const pids = (await get<WorkerStatus[]>('/workers')).map(({ pid }) => pid);
    expect(pids).toContain(answer['pid']);
    const analysis = { type: 'analysis', data: { source: 'three short words' }, priority: 90, timeout: 10_000 };
    expect((await request(analysis)).answer).toEqual({ words: 3 });
    expect((await request({ type: 'test', data: { taskId: 7 } })).answer).toEqual({ taskId: 7 });
  });

  it('should use its workers again and again', async () => {
    await fetch(`${url}/test`, { method: 'POST' });
    await said(/^Test result: \{ feature: 'test-feature'/);
    const { text } = await said(/^Worker reuse rate: /);
    expect(Number(text.split(': ')[1])).toBeGreaterThanOrEqual(0.95);
  });

  it('should show its metrics through its own route', async () => {
    const { pool, workers, tasks, performance } = await get<PoolMetrics>('/metrics/worker-pool');
    expect(pool).toEqual({ size: 20 });
    const { total, ...states } = workers;
    expect(Object.keys(states)).toEqual(['ready', 'busy', 'starting', 'draining', 'zombie']);
    expect(Object.values(states).reduce((sum, count) => sum + count)).toBe(total);
    expect(tasks).toMatchObject({ queued: 0, running: 0, failed: 0, retried: 0, deadLettered: 0 });
    expect(tasks.completed).toBeGreaterThanOrEqual(101);
    expect(performance.workerReuseRate).toBeGreaterThanOrEqual(0.95);
  });

  it('should hear of each attempt that fails, and once that the task has', async () => {
    const { status, answer } = await request({ type: 'analysis', data: {} });
    expect(status).toBe(500);
    expect(answer).toMatchObject({ reason: 'HANDLER_ERROR' });
    await complained(/^\[WorkerPool\] Task [-\w]+ moved to DLQ$/);
    const failures = program.errors.filter((text) => /^\[WorkerPool\] Task [-\w]+ failed: .*no source/.test(text));
    expect(failures).toHaveLength(3);
    expect(program.errors.filter((text) => text.endsWith('moved to DLQ'))).toHaveLength(1);
  });

  it('should hear of a worker that was killed', async () => {
    const { id, pid } = await idleWorker();
    process.kill(pid, 'SIGKILL');
    await complained(new RegExp(`^\\[WorkerPool\\] Worker error in ${id}: .*SIGKILL`));
  });

  it('should hear of a zombie, whose process is ended', async () => {
    const { id, pid } = await idleWorker();
    process.kill(pid, 'SIGSTOP');
    await complained(new RegExp(`^\\[WorkerPool\\] Zombie worker detected: ${id}$`));
    await complained(new RegExp(`^\\[WorkerPool\\] Worker error in ${id}: .*zombie`));
    expect(isAlive(pid)).toBe(false);
  });

  it('should scale with its queue, and end by itself once its requests have been answered', async () => {
    await fetch(`${url}/scaling`, { method: 'POST' });
    await said(/^Pool mostly idle, scaling down\.\.\.$/);
    const until = join(folder, 'until');
    const requests = Array.from({ length: 75 }, () => request({ type: 'test', data: { until } }));
    await said(/^\[WorkerPool\] Scaled up by \d+ workers to \d+$/, START_MS / 2);
    const pids = (await get<WorkerStatus[]>('/workers')).map(({ pid }) => pid ?? 0);
    program.kill('SIGTERM');
    await said(/^Shutting down worker pool\.\.\.$/);
    writeFileSync(until, '');
    const answers = await Promise.all(requests);
    expect(await program.exit()).toEqual({ code: 0, signal: null });
    expect(program.stdout).toMatch(/^Worker pool shut down$/m);
    // What ran has come to its end; what waited is told.
    const answered = answers.filter(({ status }) => status === 200);
    expect(answered.length).toBeGreaterThanOrEqual(15);
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    for (const { answer } of refused) expect(answer).toMatchObject({ reason: 'POOL_SHUT_DOWN' });
    expect(pids.filter(isAlive)).toEqual([]);
    expect(readFileSync(join(folder, 'logs/worker-pool.log'), 'utf8')).toContain('"msg":"worker-ready"');
  });
});

describe('a module that runs tasks, with a pool behind it', () => {
  it('should make the pool at its first use, and leave nothing', async () => {
    const folder = makeProject({ 'task-executor.js': { 'poolSize: 20': 'poolSize: 2' } });
    const source = `
      const { executeTask, shutdown, initializePool } = require('./task-executor');
      (async () => {
        console.log(JSON.stringify(await executeTask('implementation', { feature: 'a', requirements: [] })));
        console.log(JSON.stringify(await Promise.all([1, 2, 3].map((taskId) => executeTask('test', { taskId })))));
        const pool = await initializePool();
        console.log(JSON.stringify(pool.getAllWorkersStatus().map(({ pid }) => pid)));
        await shutdown();
      })();`;
    try {
      const program = startNode('executor', ['-e', source], { cwd: folder });
      expect(await program.exit()).toEqual({ code: 0, signal: null });
      const [first, others, pids] = program.lines.map(({ text }) => JSON.parse(text) as unknown);
      expect(first).toMatchObject({ feature: 'a' });
      expect(others).toEqual([{ taskId: 1 }, { taskId: 2 }, { taskId: 3 }]);
      expect((pids as number[]).length).toBe(2);
      expect((pids as number[]).filter(isAlive)).toEqual([]);
      expect(existsSync(join(folder, 'logs/worker-pool.log'))).toBe(true);
    } finally {
      await endPrograms();
      rmSync(folder, { recursive: true });
    }
  });
});

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { endPrograms, startNode, type Program } from '../../support/programs.js';
import { eventually, HANDLERS, isAlive, onCleanup, POOL, temporaryDirectory } from './support.js';

afterEach(endPrograms);

/** Begins each program: a pool of two, of which it says where everything is. */
const PREAMBLE = `
const { createWorkerPool } = require(${JSON.stringify(POOL)});
const say = (fields) => console.log(JSON.stringify(fields));
async function open(options = {}) {
  const pool = await createWorkerPool({ handlers: './handlers.mjs', poolSize: 2, ...options });
  say({ msg: 'open', pids: pool.getAllWorkersStatus().map(({ pid }) => pid), address: pool.address });
  return pool;
}
process.on('exit', () => say({ msg: 'exit' }));
`;

interface Host {
  readonly program: Program;
  readonly directory: string;
  /** What the program said with this message. */
  said(msg: string): Promise<Readonly<Record<string, unknown>>>;
  /** The worker processes and the socket's directory of its first pool. */
  opened(): Promise<{ readonly pids: readonly number[]; readonly socketDirectory: string }>;
}

function startHost(source: string, options: { readonly detached?: boolean } = {}): Host {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'handlers.mjs'), HANDLERS);
  writeFileSync(join(directory, 'host.cjs'), `${PREAMBLE}\n(async () => {\n${source}\n})();\n`);
  const program = startNode('host', ['host.cjs'], { cwd: directory, ...options });
  const said = async (msg: string) => (await program.line(({ json }) => json?.['msg'] === msg, msg)).json ?? {};
  const opened = async () => {
    const { pids, address } = await said('open');
    // Whatever becomes of the test.
    onCleanup(() => (pids as number[]).filter(isAlive).forEach((pid) => process.kill(pid, 'SIGKILL')));
    return { pids: pids as number[], socketDirectory: dirname(String(address).slice('unix:'.length)) };
  };
  return { program, directory, said, opened };
}

const allEnded = (pids: readonly number[]) => eventually('the workers to end', () => !pids.some(isAlive));

describe('the program that has a pool', () => {
  it('should end by itself after shutdown, with nothing left', async () => {
    const host = startHost(`
      const pool = await open({ poolSize: 1 });
      say({ msg: 'result', result: await pool.submitTask({ type: 'echo', payload: [1] }) });
      await pool.shutdown(true);
      say({ msg: 'shut down' });`);
    const { pids, socketDirectory } = await host.opened();
    expect(await host.said('result')).toMatchObject({ result: [1] });
    expect(await host.program.exit()).toEqual({ code: 0, signal: null });
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(socketDirectory)).toBe(false);
    expect(readFileSync(join(host.directory, 'logs/worker-pool.log'), 'utf8')).toContain('worker-ready');
    expect(host.program.stderr).not.toMatch(/Error|RemudaPoolWarning/);
  });

  it('should not hear that a pool has failed which it shuts down while it is busy', async () => {
    // The thread's last word and its end arrive in one turn of a loop that turns so slowly.
    const host = startHost(`
      const pool = await open({ poolSize: 1 });
      let isOver = false;
      const block = () => {
        for (const untilMs = Date.now() + 150; Date.now() < untilMs;);
        if (!isOver) setImmediate(block);
      };
      setImmediate(block);
      await pool.shutdown();
      isOver = true;`);
    expect(await host.program.exit()).toEqual({ code: 0, signal: null });
    expect(host.program.stderr).toBe('');
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)('should leave no orphan when %s ends it', async (signal) => {
    const host = startHost(`
      const pool = await open();
      // One that heeds nothing, and one that does nothing.
      pool.submitTask({ type: 'block', payload: { ms: 600_000 } }).catch(() => {});
      setInterval(() => pool.getPoolMetrics().performance.p50StartMs > 0 && say({ msg: 'running' }), 20);`);
    const { pids } = await host.opened();
    await host.said('running');
    host.program.kill(signal);
    expect(await host.program.exit()).toEqual({ code: null, signal });
    await allEnded(pids);
  });

  it("should be the only one that a terminal's Ctrl-C reaches", async () => {
    const source = `
      const pool = await open();
      const task = pool.submitTask({ type: 'sleep', payload: { ms: 700 } });
      process.once('SIGINT', async () => {
        await pool.shutdown(true);
        say({ msg: 'result', result: await task, metrics: pool.getPoolMetrics() });
      });
      setInterval(() => pool.getPoolMetrics().tasks.running && say({ msg: 'running' }), 20).unref();`;
    // In a group of its own, as a shell starts it.
    const host = startHost(source, { detached: true });
    const { pids } = await host.opened();
    await host.said('running');
    process.kill(-host.program.pid, 'SIGINT');
    const { result, metrics } = await host.said('result');
    expect(pids).toContain(result);
    expect(metrics).toMatchObject({ tasks: { completed: 1, failed: 0, retried: 0 } });
    expect(await host.program.exit()).toEqual({ code: 0, signal: null });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('should leave neither process nor directory when it calls process.exit()', async () => {
    const host = startHost(`const pool = await open({ poolSize: 1 }); process.exit(7);`);
    const { pids, socketDirectory } = await host.opened();
    expect(await host.program.exit()).toEqual({ code: 7, signal: null });
    await allEnded(pids);
    expect(existsSync(socketDirectory)).toBe(false);
  });

  it('should see what a listener throws as an uncaught exception, and keep its pool', async () => {
    const host = startHost(`
      const pool = await open({ poolSize: 1 });
      process.on('uncaughtException', (error) => say({ msg: 'uncaught', text: error.message }));
      const seen = [];
      pool.on('task-completed', () => { throw new Error('a listener of the test'); });
      pool.on('task-completed', (event) => say({ msg: 'second listener', type: event.type }));
      await pool.submitTask({ type: 'echo' });
      say({ msg: 'result', result: await pool.submitTask({ type: 'echo', payload: 2 }) });
      await pool.shutdown();`);
    expect(await host.said('uncaught')).toMatchObject({ text: 'a listener of the test' });
    expect(await host.said('second listener')).toMatchObject({ type: 'echo' });
    expect(await host.said('result')).toMatchObject({ result: 2 });
    expect(await host.program.exit()).toEqual({ code: 0, signal: null });
  });

  it('should hear of a log that cannot be written, and find it on stderr', async () => {
    const host = startHost(`
      const pool = await open({ poolSize: 1, logFile: './handlers.mjs/pool.log' });
      await pool.submitTask({ type: 'print', payload: { lines: 1 } });
      await pool.shutdown();`);
    expect(await host.program.exit()).toEqual({ code: 0, signal: null });
    expect(host.program.stderr).toMatch(/RemudaPoolWarning: .*handlers\.mjs\/pool\.log/);
    expect(host.program.stderr).toContain('"msg":"line 0"');
  });

  it('should find its tasks again in a durable store', async () => {
    const store = "store: 'sqlite:./pool.db'";
    const first = startHost(`
      const pool = await open({ poolSize: 1, ${store} });
      pool.client.submit('echo', 'later', { taskId: '01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f0', runAt: new Date(Date.now() + 2_000) });
      const running = pool.submitTask({ type: 'sleep', payload: { ms: 600_000 }, taskId: '01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f1' });
      running.catch((error) => say({ msg: 'rejected', text: error.message, reason: error.reason }));
      setInterval(() => pool.getPoolMetrics().tasks.running && say({ msg: 'running' }), 20).unref();
      setTimeout(() => {}, 600_000).unref();
      process.stdin.resume();
      process.on('SIGTERM', async () => { process.stdin.destroy(); await pool.shutdown(false); });`);
    await first.said('running');
    first.program.kill('SIGTERM');
    expect(await first.said('rejected')).toMatchObject({ reason: 'POOL_SHUT_DOWN' });
    expect(String((await first.said('rejected'))['text'])).toMatch(/it is kept in sqlite:\/.*\/pool\.db/);
    expect(await first.program.exit()).toEqual({ code: 0, signal: null });

    writeFileSync(
      join(first.directory, 'again.cjs'),
      `${PREAMBLE}
      (async () => {
        const pool = await open({ poolSize: 2, ${store} });
        say({ msg: 'later', result: await pool.client.result('01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f0') });
        const { state, attempts } = await pool.client.get('01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f1');
        say({ msg: 'given back', state, outcomes: attempts.map(({ outcome }) => outcome) });
        await pool.shutdown(false);
      })();`,
    );
    const second = startNode('host again', ['again.cjs'], { cwd: first.directory });
    const line = (msg: string) => second.line(({ json }) => json?.['msg'] === msg, msg);
    expect((await line('later')).json).toMatchObject({ result: 'later' });
    const { state, outcomes } = (await line('given back')).json ?? {};
    expect(state).toBe('RUNNING');
    expect((outcomes as string[])[0]).toBe('RELEASED');
    expect(await second.exit()).toEqual({ code: 0, signal: null });
  });
});

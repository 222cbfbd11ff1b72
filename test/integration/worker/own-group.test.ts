import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { gone, isAlive, onCleanup, Program, ScriptedCoordinator, scriptFile } from './support.js';

/** Its handlers start a process that ends only when somebody ends it. */
const WORKER = `
const { spawn } = require('node:child_process');
const { WorkerProcess } = require('remuda/worker');
const worker = new WorkerProcess('w', JSON.parse(process.env.WORKER_CONFIG));
const start = () => spawn(process.execPath, ['-e', 'setInterval(() => undefined, 60_000)'], { stdio: 'ignore' }).pid;
const settled = new Promise((resolve) => setTimeout(resolve, 600_000));
worker
  .registerTaskHandler('start', () => start())
  .registerTaskHandler('deaf', (_, ctx) => { ctx.progress(start()); return settled; })
  .registerTaskHandler('block', (_, ctx) => {
    ctx.progress(start());
    setImmediate(() => setImmediate(() => { for (;;); }));
    return settled;
  })
  .registerTaskHandler('polite', (_, ctx) => new Promise((resolve) => {
    ctx.progress(start());
    ctx.signal.addEventListener('abort', () => { console.error('cleaned up'); resolve(); });
  }))
  .start();
process.on('exit', () => console.error('exited'));
`;

/** What the pool does: children that lead groups of their own, and a socket that ends with it. */
const SUPERVISOR = `
const { spawn } = require('node:child_process');
const [, , script, handsOn] = process.argv;
const env = { ...process.env, REMUDA_INCARNATION: 'a'.repeat(32), REMUDA_SUPERVISOR_FD: '3', REMUDA_OWN_GROUP: '1' };
const child = spawn(process.execPath, [script], { env, detached: handsOn !== 'no-group', stdio: ['ignore', 2, 2, 'pipe'] });
child.on('exit', (code, signal) => console.log('ended', code, signal));
`;

/** A supervised worker, and its process's supervisor. */
async function setup(...args: string[]) {
  const coordinator = await ScriptedCoordinator.start();
  const env = { WORKER_CONFIG: JSON.stringify({ address: coordinator.address }) };
  const supervisor = new Program([scriptFile(WORKER), ...args], { script: scriptFile(SUPERVISOR), env });
  // Whoever has its output holds it open: all that was printed has been read then, too.
  const closed = once(supervisor.process, 'close');
  const session = await coordinator.session();
  const worker = session.hello.pid;
  killAfterwards(worker);
  return { coordinator, supervisor, session, worker, closed };
}

type Setup = Awaited<ReturnType<typeof setup>>;

function killAfterwards(pid: number): void {
  onCleanup(() => isAlive(pid) && process.kill(pid, 'SIGKILL'));
}

/** Runs a handler that tells the id of the process that it has started, and goes on. */
async function startedBy({ coordinator, session }: Setup, type: string, timeoutMs = 60_000): Promise<number> {
  session.assign('t-1', type, { timeoutMs });
  const { data } = await coordinator.until('the id of the process', () =>
    session.frames.flatMap(({ progress }) => progress).find(({ data: payload }) => payload !== undefined),
  );
  const pid = Number(Buffer.from((data?.body.value as Uint8Array | undefined) ?? []).toString());
  expect(isAlive(pid)).toBe(true);
  killAfterwards(pid);
  return pid;
}

describe('a worker that leads a process group of its own', { timeout: 60_000 }, () => {
  it.each(['deaf', 'block', 'polite'])(
    'should leave nothing behind when its supervisor is killed while a handler runs: %s',
    async (type) => {
      const fleet = await setup();
      const grandchild = await startedBy(fleet, type);
      fleet.supervisor.process.kill('SIGKILL');
      await gone(fleet.worker);
      await gone(grandchild);
      await fleet.closed;
      // The handlers were told, and the process came to its own end if they listened.
      expect(fleet.supervisor.lines.includes('cleaned up')).toBe(type === 'polite');
      expect(fleet.supervisor.lines.includes('exited')).toBe(type === 'polite');
    },
  );

  it('should leave nothing behind when its supervisor is killed while no handler runs', async () => {
    const fleet = await setup();
    const { session, supervisor, worker } = fleet;
    session.assign('t-1', 'start');
    const { result } = await session.report('t-1');
    const grandchild = Number(Buffer.from((result?.body.value as Uint8Array | undefined) ?? []).toString());
    killAfterwards(grandchild);
    expect(isAlive(grandchild)).toBe(true);
    supervisor.process.kill('SIGKILL');
    await gone(worker);
    await gone(grandchild);
    await fleet.closed;
    expect(supervisor.lines).toContain('exited');
  });

  it('should take what a stuck handler has started with it', async () => {
    const fleet = await setup();
    const grandchild = await startedBy(fleet, 'deaf', 200);
    await fleet.supervisor.until('the end', () => fleet.supervisor.lines.includes('ended null SIGKILL'));
    await gone(grandchild);
  });

  it('should end itself all the same when it leads no group, whatever it was told', async () => {
    const fleet = await setup('no-group');
    const grandchild = await startedBy(fleet, 'deaf');
    fleet.supervisor.process.kill('SIGKILL');
    await gone(fleet.worker);
    expect(isAlive(grandchild)).toBe(true);
  });
});

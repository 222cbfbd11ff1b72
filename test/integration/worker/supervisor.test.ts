import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { SESSION_MODES } from '../../../worker/session-options.js';
import { handlersFile, isAlive, onCleanup, Program, ScriptedCoordinator, type Session } from './support.js';

const HANDLERS = `
import { setTimeout as delay } from 'node:timers/promises';
export default {
  echo: (payload) => payload,
  deaf: () => delay(60_000),
  block: ({ ms }) => { const until = Date.now() + ms; while (Date.now() < until); },
  speak: () => { process.stdout.write('half a '); process.stdout.write('line\\n'); },
  env: () => Object.keys(process.env).filter((name) => name.startsWith('REMUDA_')),
};
`;

/** A supervisor with its children welcomed. */
async function setup(processes: number, more: readonly string[] = []) {
  const coordinator = await ScriptedCoordinator.start();
  const args = ['--address', coordinator.address, '--worker-id', 'w', '--processes', String(processes), ...more];
  const program = new Program([handlersFile(HANDLERS), ...args]);
  const sessions: Session[] = [];
  for (let index = 0; index < processes; index += 1) sessions.push(await coordinator.session(index));
  // Whatever the test finds, no child outlives it.
  onCleanup(() => {
    for (const { hello } of coordinator.sessions) if (isAlive(hello.pid)) process.kill(hello.pid, 'SIGKILL');
  });
  return { coordinator, program, sessions };
}

/** The process has ended; polled, since only its parent is told. */
async function gone(pid: number): Promise<void> {
  for (let look = 0; look < 1_000 && isAlive(pid); look += 1) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(isAlive(pid)).toBe(false);
}

describe.each(SESSION_MODES)('remuda-worker --processes --session %s', { timeout: 60_000 }, (mode) => {
  const inMode = (processes: number) => setup(processes, ['--session', mode]);

  it('should start children with ids of their own and drain them all on one SIGTERM', async () => {
    const { program, sessions } = await inMode(3);
    expect(sessions.map(({ hello }) => hello.workerId).sort()).toEqual(['w/0', 'w/1', 'w/2']);
    program.process.kill('SIGTERM');
    expect(await program.ended()).toEqual({ code: 0, signal: null });
    for (const { hello } of sessions) expect(isAlive(hello.pid)).toBe(false);
  });

  it('should restart a killed child at once, and name the dead one until it is known', async () => {
    const { coordinator, program, sessions } = await inMode(1);
    const first = sessions[0]?.hello;
    if (first === undefined) throw new Error('no session');
    process.kill(first.pid, 'SIGKILL');
    const second = (await coordinator.session(1)).hello;
    expect(second).toMatchObject({ workerId: 'w/0', sessionNumber: 1, replaces: [first.incarnation] });
    expect(second.incarnation).not.toBe(first.incarnation);
    await program.until('the second child to be ready', () =>
      program.logs().some(({ msg, child_pid: pid }) => msg === 'child ready' && pid === second.pid),
    );
    process.kill(second.pid, 'SIGKILL');
    const third = (await coordinator.session(2)).hello;
    expect(third.replaces).toEqual([second.incarnation]);
    expect(await program.log('child ended; it is started again')).toMatchObject({
      signal: 'SIGKILL',
      restart_in_ms: 0,
    });
  });

  it('should leave no orphan when the supervisor is killed, not even one whose handler does not stop', async () => {
    const { program, sessions } = await inMode(2);
    const [idle, busy] = sessions;
    if (idle === undefined || busy === undefined) throw new Error('no session');
    busy.assign('t-1', 'deaf');
    await busy.started('t-1');
    program.process.kill('SIGKILL');
    await gone(idle.hello.pid);
    await gone(busy.hello.pid);
  });

  it('should replace a child with a stuck handler, which is no failure', async () => {
    const { coordinator, program, sessions } = await inMode(1);
    const [session] = sessions;
    if (session === undefined) throw new Error('no session');
    session.assign('t-1', 'deaf', { timeoutMs: 200 });
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.TIMED_OUT);
    const second = (await coordinator.session(1)).hello;
    expect(second.replaces).toEqual([session.hello.incarnation]);
    expect(await program.log('child replaced: a handler was stuck')).toMatchObject({
      kind: 'recycled',
      restart_in_ms: 0,
    });
  });

  it('should not start a superseded child again, and end with 78 when none is left', async () => {
    const { program, sessions } = await inMode(1);
    sessions[0]?.end(new FleetError(status.ABORTED, 'SUPERSEDED', 'taken over'));
    expect(await program.ended()).toEqual({ code: 78, signal: null });
    expect(await program.log(/another process has its worker_id/)).toMatchObject({ kind: 'final' });
  });
});

describe('remuda-worker --processes', { timeout: 60_000 }, () => {
  it('should leave a SIGINT that reaches parent and children alike to the parent', async () => {
    const { program, sessions } = await setup(1);
    const [session] = sessions;
    if (session === undefined) throw new Error('no session');
    session.assign('t-1', 'block', { payload: { ms: 500 } });
    await session.started('t-1');
    process.kill(session.hello.pid, 'SIGINT');
    program.process.kill('SIGINT');
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    expect(await program.ended()).toEqual({ code: 0, signal: null });
  });

  it('should leave no orphan when the supervisor is killed, not even one whose loop is blocked', async () => {
    const { coordinator, program, sessions } = await setup(2);
    const [idle, blocked] = sessions;
    if (idle === undefined || blocked === undefined) throw new Error('no session');
    coordinator.welcome.stuckGraceMs = 10_000;
    blocked.assign('t-1', 'block', { payload: { ms: 120_000 } });
    await blocked.started('t-1');
    program.process.kill('SIGKILL');
    await gone(idle.hello.pid);
    await gone(blocked.hello.pid);
  });

  it('should drain a child whose loop is blocked', async () => {
    const { program, sessions } = await setup(1);
    const [session] = sessions;
    if (session === undefined) throw new Error('no session');
    session.assign('t-1', 'block', { payload: { ms: 2_000 } });
    await session.started('t-1');
    program.process.kill('SIGTERM');
    await session.report('t-1');
    // Asked while it was blocked: over the socket, since a signal waits for the loop.
    const leavingAt = session.frames.findIndex(({ leaving }) => leaving !== undefined);
    expect(leavingAt).toBeLessThan(session.frames.findIndex(({ reports }) => reports.length > 0));
    expect((await program.ended()).code).toBe(0);
  });

  it("should pass the children's output through line by line, and keep the supervision from user code", async () => {
    const { program, sessions } = await setup(1);
    const [session] = sessions;
    if (session === undefined) throw new Error('no session');
    session.assign('t-1', 'speak');
    await program.until('the line', () => program.lines.includes('half a line'));
    // With one slot, nothing is assigned before the slot is free.
    await session.report('t-1');
    session.assign('t-2', 'env');
    const { result } = await session.report('t-2');
    expect(Buffer.from((result?.body.value as Uint8Array | undefined) ?? []).toString()).toBe('[]');
  });
});

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { SESSION_MODES } from '../../../worker/session-options.js';
import { handlersFile, Program, ScriptedCoordinator } from './support.js';

const HANDLERS = `
import { setTimeout as delay } from 'node:timers/promises';
export default {
  setup() { console.log('setup ran'); },
  teardown() { console.log('teardown ran'); },
  echo: (payload) => payload,
  wait: (_, ctx) => new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 60_000);
    ctx.signal.addEventListener('abort', () => { clearTimeout(timer); reject(ctx.signal.reason); });
  }),
  deaf: () => delay(60_000),
  block: ({ ms }) => { const until = Date.now() + ms; while (Date.now() < until); return 'done'; },
  vanish: () => process.kill(process.pid, 'SIGKILL'),
  crash: () => { setImmediate(() => { throw new Error('boom'); }); return delay(60_000); },
};
`;

async function setup(...args: string[]) {
  const coordinator = await ScriptedCoordinator.start();
  const program = new Program([handlersFile(HANDLERS), '--address', coordinator.address, ...args]);
  return { coordinator, program };
}

describe.each(SESSION_MODES)('remuda-worker --session %s', { timeout: 60_000 }, (mode) => {
  const inMode = (...args: string[]) => setup('--session', mode, ...args);

  it('should set up, say hello, run a task and report it', async () => {
    const { coordinator, program } = await inMode('--worker-id', 'w-1', '--slots', '2', '--label', 'disk=ssd');
    const session = await coordinator.session();
    expect(program.lines).toContain('setup ran');
    expect(session.hello).toMatchObject({
      workerId: 'w-1',
      slots: 2,
      labels: { disk: 'ssd' },
      pid: program.process.pid,
    });
    const ready = await program.log('ready');
    expect(ready).toMatchObject({ worker_id: 'w-1', session_number: 1, incarnation: session.hello.incarnation });
    session.assign('t-1', 'echo', { payload: { n: [1, 'x'] } });
    const report = await session.report('t-1');
    expect(report.outcome).toBe(AttemptOutcome.SUCCEEDED);
    expect(Buffer.from((report.result?.body.value as Uint8Array | undefined) ?? []).toString()).toBe('{"n":[1,"x"]}');
  });

  it.each(['stdout', 'stderr'] as const)(
    'should leave in good order when nobody reads its %s any more',
    async (output) => {
      const { coordinator, program } = await inMode();
      await coordinator.session();
      program.process[output]?.destroy();
      program.process.kill('SIGTERM');
      expect(await program.ended()).toEqual({ code: 0, signal: null });
    },
  );

  it('should drain on SIGTERM: finish, abort at the deadline, tear down, exit 0', async () => {
    const { coordinator, program } = await inMode('--drain-timeout', '300ms');
    const session = await coordinator.session();
    session.assign('t-1', 'wait');
    await session.started('t-1');
    program.process.kill('SIGTERM');
    const report = await session.report('t-1');
    expect(report.outcome).toBe(AttemptOutcome.RELEASED);
    expect(await program.ended()).toEqual({ code: 0, signal: null });
    expect(program.lines).toContain('teardown ran');
    await coordinator.until('the end of the stream', () => session.ended);
  });

  it('should end at once on a second signal', async () => {
    const { coordinator, program } = await inMode();
    const session = await coordinator.session();
    session.assign('t-1', 'wait');
    await session.started('t-1');
    program.process.kill('SIGTERM');
    await program.log(/draining; a second signal/);
    program.process.kill('SIGTERM');
    expect(await program.ended()).toEqual({ code: 143, signal: null });
  });

  it('should let others finish before a deaf handler costs the process', async () => {
    const { coordinator, program } = await inMode('--slots', '2');
    const session = await coordinator.session();
    session.assign('t-1', 'deaf');
    await session.started('t-1');
    session.assign('t-2', 'wait', { timeoutMs: 2_000 });
    await session.started('t-2');
    session.cancel('t-1');
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.CANCELLED);
    expect(program.exit).toBeUndefined();
    expect((await session.report('t-2')).outcome).toBe(AttemptOutcome.TIMED_OUT);
    expect((await program.ended()).signal).toBe('SIGKILL');
  });

  it('should exit 78 when superseded and 2 when refused', async () => {
    const { coordinator, program } = await inMode();
    const session = await coordinator.session();
    session.end(new FleetError(status.ABORTED, 'SUPERSEDED', 'taken over'));
    expect((await program.ended()).code).toBe(78);
    coordinator.refusal = new FleetError(status.INVALID_ARGUMENT, 'INVALID_HELLO', 'bad label');
    const other = new Program([handlersFile(HANDLERS), '--address', coordinator.address, '--session', mode]);
    expect((await other.ended()).code).toBe(2);
    expect(await other.log(/refuses this worker: bad label/)).toMatchObject({ reason: 'INVALID_HELLO' });
  });

  it('should exit 1 with a line in the log on an uncaught exception of user code', async () => {
    const { coordinator, program } = await inMode();
    const session = await coordinator.session();
    session.assign('t-1', 'crash');
    expect((await program.ended()).code).toBe(1);
    expect(await program.log(/^uncaught exception in user code/)).toMatchObject({ err: { message: 'boom' } });
  });

  it('should have said that a repeated attempt has started before it can end the process', async () => {
    const { coordinator, program } = await inMode();
    const session = await coordinator.session();
    session.assign('t-1', 'vanish', { attempt: 2 });
    expect(await program.ended()).toEqual({ code: null, signal: 'SIGKILL' });
    expect(await session.started('t-1')).toMatchObject({ attempt: 2 });
  });

  it('should keep dialling an address where nobody is, and say what to start', async () => {
    const { coordinator, program } = await inMode();
    await coordinator.session();
    coordinator.server.forceShutdown();
    const line = await program.log(/^no session with a coordinator at .*UNAVAILABLE/);
    expect(line.msg).toContain(`remuda-coordinator --listen ${coordinator.address}`);
    program.process.kill('SIGTERM');
    expect((await program.ended()).code).toBe(0);
  });
});

// What an inline session does instead is in inline-session.test.ts.
describe('remuda-worker with its session in a thread', { timeout: 60_000 }, () => {
  it('should keep heartbeating and show the lag while a handler blocks its loop', async () => {
    const { coordinator, program } = await setup();
    const session = await coordinator.session();
    session.assign('t-1', 'block', { payload: { ms: 4_000 } });
    await session.started('t-1');
    const early = await session.heartbeat('a lag of 1 s', (lagMs) => lagMs > 1_000);
    const late = await session.heartbeat('a lag of 2.5 s', (lagMs) => lagMs > 2_500);
    expect(late.handlerLoopLagMs).toBeGreaterThan(early.handlerLoopLagMs);
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    expect(coordinator.sessions).toHaveLength(1);
    expect(program.exit).toBeUndefined();
  });

  it('should time out a handler that blocks the loop, report it and end the process by SIGKILL', async () => {
    const { coordinator, program } = await setup('--slots', '2');
    const session = await coordinator.session();
    session.assign('t-1', 'wait');
    await session.started('t-1');
    session.assign('t-2', 'block', { payload: { ms: 60_000 }, timeoutMs: 300 });
    const report = await session.report('t-2');
    expect(report.outcome).toBe(AttemptOutcome.TIMED_OUT);
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.RELEASED);
    expect(await program.ended()).toEqual({ code: null, signal: 'SIGKILL' });
    expect(await program.log(/^stuck: /)).toMatchObject({ task_id: 't-2' });
  });

  it('should come back to its running task when the stream is cut', async () => {
    const { coordinator } = await setup();
    const first = await coordinator.session();
    first.assign('t-1', 'block', { payload: { ms: 1_000 } });
    await first.started('t-1');
    first.end(new FleetError(status.UNAVAILABLE, 'COORDINATOR_STOPPING', 'restart'));
    const second = await coordinator.session(1);
    expect(second.hello).toMatchObject({ sessionNumber: 2, incarnation: first.hello.incarnation });
    expect(second.hello.running).toMatchObject([{ attempt: { taskId: 't-1' }, started: true }]);
    expect((await second.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
  });
});

describe('remuda-worker', { timeout: 60_000 }, () => {
  it('should log an error and dial again when a frame is refused after the welcome', async () => {
    const { coordinator, program } = await setup();
    const session = await coordinator.session();
    session.end(new FleetError(status.INVALID_ARGUMENT, 'INVALID_FRAME', 'frame.seq: is 7'));
    const line = await program.log(/refused a frame of this worker \(frame\.seq: is 7\).*dialling again$/);
    expect(line).toMatchObject({ level: 50, reason: 'INVALID_FRAME' });
    program.process.kill('SIGTERM');
    expect(await program.ended()).toEqual({ code: 0, signal: null });
  });

  it('should say that something else answers at its address, and that --address is not the HTTP one', async () => {
    const server = createServer((_request, response) => response.writeHead(404).end());
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const program = new Program([handlersFile(HANDLERS), '--address', address]);
    const line = await program.log(/^no session with a coordinator at /);
    expect(line.msg).toContain(`something else answers at ${address}, no Remuda coordinator (Protocol error)`);
    expect(line.msg).toMatch(/not its HTTP one \(7071\), with --address.*; dialling again$/);
    program.process.kill('SIGTERM');
    expect((await program.ended()).code).toBe(0);
  });

  it('should name every fault of its options in one message and exit 2', async () => {
    const program = new Program(['--slots', '0', '--address', 'nowhere', '--label', 'x', '--bogus'], {
      env: { REMUDA_PREFETCH: 'many' },
    });
    expect((await program.ended()).code).toBe(2);
    const text = program.lines.join('\n');
    for (const fault of [
      'no handlers file',
      '--slots is 0',
      'address is "nowhere"',
      '--label is "x"',
      'unknown option --bogus',
      '--prefetch is "many"',
    ]) {
      expect(text).toContain(fault);
    }
  });

  it('should exit 2 with a clear line for a handlers file that cannot be used', async () => {
    const coordinator = await ScriptedCoordinator.start();
    const program = new Program([handlersFile('export default {};'), '--address', coordinator.address]);
    expect((await program.ended()).code).toBe(2);
    await program.log(/its default export is empty/);
  });
});

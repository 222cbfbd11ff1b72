import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { handlersFile, isAlive, onCleanup, Program, ScriptedCoordinator } from './support.js';

const HANDLERS = `
export default {
  wait: (_, ctx) => new Promise((_, reject) => {
    const timer = setTimeout(() => undefined, 600_000);
    ctx.signal.addEventListener('abort', () => { clearTimeout(timer); reject(ctx.signal.reason); });
  }),
  env: () => Object.keys(process.env).filter((name) => name.startsWith('REMUDA_')),
};
`;

/** A worker program with a pipe as stdin, and its first session. */
async function setup(guard: string, ...args: string[]) {
  const coordinator = await ScriptedCoordinator.start();
  const program = new Program([handlersFile(HANDLERS), '--address', coordinator.address, ...args], {
    env: { REMUDA_STOP_ON_STDIN_EOF: guard },
    stdin: 'pipe',
  });
  const session = await coordinator.session();
  onCleanup(() => isAlive(session.hello.pid) && process.kill(session.hello.pid, 'SIGKILL'));
  return { coordinator, program, session };
}

describe('REMUDA_STOP_ON_STDIN_EOF', { timeout: 60_000 }, () => {
  it.each([['one process'], ['supervised processes', '--processes', '1']])(
    'should drain soon when stdin ends, whatever the drain time-out: %s',
    async (_name, ...args) => {
      const { program, session } = await setup('1', ...args);
      session.assign('t-1', 'wait');
      await session.started('t-1');
      program.process.stdin?.end();
      expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.RELEASED);
      expect(await program.ended()).toEqual({ code: 0, signal: null });
      expect(isAlive(session.hello.pid)).toBe(false);
    },
  );

  it('should keep the guard from supervised children and from user code', async () => {
    const { session } = await setup('1', '--processes', '1');
    session.assign('t-1', 'env');
    const { result } = await session.report('t-1');
    expect(Buffer.from((result?.body.value as Uint8Array | undefined) ?? []).toString()).toBe('[]');
  });

  it('should not look at stdin unless asked to', async () => {
    const { program, session } = await setup('');
    program.process.stdin?.end();
    session.assign('t-1', 'env');
    await session.report('t-1');
    expect(program.exit).toBeUndefined();
    program.process.kill('SIGTERM');
    expect((await program.ended()).code).toBe(0);
  });
});

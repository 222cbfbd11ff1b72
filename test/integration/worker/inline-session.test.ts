import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { handlersFile, Program, ScriptedCoordinator } from './support.js';

/** A handler can only be blocked until something happens that needs no loop of its own: a file appears, or time passes. */
const HANDLERS = `
import { existsSync } from 'node:fs';
export default {
  echo: (payload) => payload,
  'block-until': ({ path }) => { while (!existsSync(path)); return 'done'; },
  block: ({ ms }) => { const until = Date.now() + ms; while (Date.now() < until); return 'done'; },
  wait: (_, ctx) => new Promise((_resolve, reject) => {
    const timer = setTimeout(() => undefined, 60_000);
    ctx.signal.addEventListener('abort', () => { clearTimeout(timer); reject(ctx.signal.reason); });
  }),
};
`;

async function setup({ leaseMs = 6_000, slots = 1 } = {}) {
  const coordinator = await ScriptedCoordinator.start();
  coordinator.welcome.leaseMs = leaseMs;
  const file = handlersFile(HANDLERS);
  const program = new Program([file, '--address', coordinator.address, '--session', 'inline', '--slots', `${slots}`]);
  return { coordinator, program, session: await coordinator.session(), sign: join(dirname(file), 'sign') };
}

describe('an inline session whose loop a handler blocks', { timeout: 60_000 }, () => {
  it('should have said that the handler has started, and go on with the same stream within the lease', async () => {
    const { coordinator, session, sign } = await setup();
    session.assign('t-1', 'block-until', { payload: { path: sign } });
    await session.started('t-1');
    // It stands still from here on: without its frame nothing would ever be written for it to see.
    writeFileSync(sign, '');
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    session.assign('t-2', 'block', { payload: { ms: 2_000 } });
    await session.report('t-2');
    await session.heartbeat('a lag that tells of the block', (lagMs) => lagMs > 1_000);
    expect(coordinator.sessions).toHaveLength(1);
  });

  it('should find its lease lost afterwards: abort what else runs, dial again, and report all the same', async () => {
    const { coordinator, program, session } = await setup({ leaseMs: 600, slots: 2 });
    session.assign('t-1', 'wait');
    await session.started('t-1');
    session.assign('t-2', 'block', { payload: { ms: 2_000 } });
    const second = await coordinator.session(1);
    expect(second.hello).toMatchObject({ incarnation: session.hello.incarnation, sessionNumber: 2 });
    expect((await second.report('t-2')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    expect((await second.report('t-1')).outcome).toBe(AttemptOutcome.RELEASED);
    await program.log(/^lease lost/);
  });

  it('should not take a handler for stuck that has settled when the loop is free again', async () => {
    const { coordinator, program, session } = await setup();
    // Longer than time-out and grace together.
    session.assign('t-1', 'block', { payload: { ms: 2_000 }, timeoutMs: 200 });
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    session.assign('t-2', 'echo');
    expect((await session.report('t-2')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    expect(coordinator.sessions).toHaveLength(1);
    expect(program.exit).toBeUndefined();
  });
});

import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { AttemptOutcome } from '../../../proto/gen/remuda/v1/task_pb.js';
import { Program, ScriptedCoordinator, scriptFile, type Session } from './support.js';

/** As the guide for existing programs has it. */
const GUIDE = `
const { WorkerProcess } = require('remuda/worker');

if (require.main === module) {
  const workerId = process.env.WORKER_ID || 'unknown';
  const config = process.env.WORKER_CONFIG ? JSON.parse(process.env.WORKER_CONFIG) : {};
  const worker = new WorkerProcess(workerId, config);

  // Import your existing task execution logic
  const { executeImplementationTask } = require('./task-handlers/implementation');

  // Register handlers
  worker.registerTaskHandler('implementation', async (payload) => {
    return await executeImplementationTask(payload);
  });

  worker.start();
}
`;
const OTHERS = {
  'task-handlers/implementation.js': `
exports.executeImplementationTask = async (payload) => ({ done: payload.feature, env: Object.keys(process.env) });
`,
};

/** A worker "pool/0" of a script whose `worker` is there and not started. */
const script = (body: string) => `
const { WorkerProcess } = require('remuda/worker');
const { execSync } = require('node:child_process');
const worker = new WorkerProcess(process.env.WORKER_ID, JSON.parse(process.env.WORKER_CONFIG));
${body}
`;
const ECHO = "worker.registerTaskHandler('echo', (payload) => payload);";

/** Runs a script with the environment that the pool gives its workers. */
function run(
  body: string,
  { address = '127.0.0.1:1', name = 'worker.cjs', supervised = true, others = {}, config = {} } = {},
): Program {
  const env = { WORKER_ID: 'pool/0', WORKER_CONFIG: JSON.stringify({ address, ...config }) };
  return new Program([], { script: scriptFile(body, name, others), env, supervised });
}

async function welcomed(body: string, options: Omit<NonNullable<Parameters<typeof run>[1]>, 'address'> = {}) {
  const coordinator = await ScriptedCoordinator.start();
  const program = run(body, { ...options, address: coordinator.address });
  return { coordinator, program, session: await coordinator.session() };
}

async function resultOf(session: Session, taskId: string): Promise<unknown> {
  const { result } = await session.report(taskId);
  return JSON.parse(Buffer.from((result?.body.value as Uint8Array | undefined) ?? []).toString());
}

/** The last thing the supervisor was told, which is the process's end. */
async function ending(program: Program) {
  const exit = await program.ended();
  const last = program.said.at(-1);
  if (last === undefined || !('ending' in last))
    throw new Error(`no ending said; output:\n${program.lines.join('\n')}`);
  return { exit, ...last.ending };
}

describe('a script with a WorkerProcess', { timeout: 60_000 }, () => {
  it('should work in the form of the guide, un-awaited start and all', async () => {
    const { program, session } = await welcomed(GUIDE, { name: 'worker.js', others: OTHERS, config: { poolSize: 20 } });
    expect(session.hello).toMatchObject({
      workerId: 'pool/0',
      incarnation: 'a'.repeat(32),
      slots: 1,
      prefetch: 0,
      pid: program.process.pid,
      taskTypes: [{ type: 'implementation' }],
    });
    await program.until('its word to the supervisor', () => program.said.length > 0);
    expect(program.said).toEqual([{ ready: true }]);
    session.assign('t-1', 'implementation', { payload: { feature: 'x' } });
    const { done, env } = (await resultOf(session, 't-1')) as { done: string; env: string[] };
    expect(done).toBe('x');
    // What a supervisor says is for this process alone; the rest stays.
    expect(env.filter((name) => name.startsWith('REMUDA_'))).toEqual([]);
    expect(env).toContain('WORKER_CONFIG');
    program.process.kill('SIGTERM');
    expect(await ending(program)).toMatchObject({ exit: { code: 0, signal: null }, code: 0 });
  });

  it('should be at the address of REMUDA_ADDRESS without one in its config, for systemd', async () => {
    const coordinator = await ScriptedCoordinator.start();
    const file = scriptFile(GUIDE, 'worker.js', OTHERS);
    const program = new Program([], { script: file, env: { REMUDA_ADDRESS: coordinator.address } });
    expect((await coordinator.session()).hello).toMatchObject({ workerId: 'unknown' });
    program.process.kill('SIGTERM');
    expect(await program.ended()).toEqual({ code: 0, signal: null });
  });

  it('should work as an ES module, chain, tell events, and end the process after stop()', async () => {
    const { program, session } = await welcomed(
      `
import { WorkerProcess } from 'remuda/worker';
const worker = new WorkerProcess(process.env.WORKER_ID, JSON.parse(process.env.WORKER_CONFIG))
  .registerTaskHandler('last', { run: () => { setImmediate(stop); return 'bye'; }, timeout: 5_000 })
  .on('welcome', ({ sessionNumber }) => console.log('welcome', sessionNumber));
const started = worker.start();
console.log('same', started === worker.start());
await started;
async function stop() {
  const { code } = await worker.stop();
  console.log('left', code);
}
`,
      { name: 'worker.mjs', config: { slots: 3, labels: { disk: 'ssd' } } },
    );
    expect(session.hello).toMatchObject({ slots: 3, labels: { disk: 'ssd' } });
    session.assign('t-1', 'last');
    expect(await resultOf(session, 't-1')).toBe('bye');
    expect(await program.ended()).toEqual({ code: 0, signal: null });
    expect(program.lines).toEqual(expect.arrayContaining(['welcome 1', 'same true', 'left 0']));
  });

  it('should be busy, not silent, while a handler blocks', async () => {
    const body = script(
      "worker.registerTaskHandler('block', () => { execSync('sleep 2'); return 'done'; }); worker.start();",
    );
    const { coordinator, session } = await welcomed(body);
    session.assign('t-1', 'block');
    await session.started('t-1');
    await session.heartbeat('a heartbeat out of the block', (lagMs) => lagMs > 1_000);
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.SUCCEEDED);
    expect(coordinator.sessions).toHaveLength(1);
  });

  it('should drain for as long as its config says', async () => {
    const body = script(`
worker.registerTaskHandler('wait', (_, ctx) => new Promise((_resolve, reject) => {
  const timer = setTimeout(() => undefined, 60_000);
  ctx.signal.addEventListener('abort', () => { clearTimeout(timer); reject(ctx.signal.reason); });
}));
worker.start();`);
    const { program, session } = await welcomed(body, { config: { drainTimeout: 200 } });
    session.assign('t-1', 'wait');
    await session.started('t-1');
    program.process.kill('SIGTERM');
    expect((await session.report('t-1')).outcome).toBe(AttemptOutcome.RELEASED);
    expect(await program.ended()).toEqual({ code: 0, signal: null });
  });

  it('should leave when its supervisor asks before it has started', async () => {
    const program = run(script(`${ECHO} setInterval(() => undefined, 60_000); console.log('here');`));
    await program.until('its output', () => program.lines.includes('here'));
    program.supervision?.write('{"drainMs":0}\n');
    expect(await ending(program)).toMatchObject({
      exit: { code: 0 },
      message: expect.stringMatching(/asked to leave/) as string,
    });
  });

  it('should end with the status of a refusal, and no unhandled rejection, when nobody awaits start()', async () => {
    const coordinator = await ScriptedCoordinator.start();
    coordinator.refusal = new FleetError(status.INVALID_ARGUMENT, 'INVALID_HELLO', 'bad label');
    const program = run(script(`${ECHO} worker.start().then(() => console.log('never'));`), {
      address: coordinator.address,
    });
    expect(await ending(program)).toMatchObject({ exit: { code: 2 }, code: 2 });
    expect(program.lines.join('\n')).not.toMatch(/unhandled rejection|never/);
  });

  it('should name every fault of its id and config at once', async () => {
    const program = run(
      `
const { WorkerProcess } = require('remuda/worker');
const faults = [];
for (const args of [['no id', { address: 'nowhere', slots: 0, drainTimeout: -1, logLevel: 'loud' }], ['w', []], []])
  try { new WorkerProcess(...args); } catch (error) { faults.push(error.name + ': ' + error.message); }
console.log(JSON.stringify(faults));
`,
      { supervised: false },
    );
    expect((await program.ended()).code).toBe(0);
    const [all = '', array = '', nothing = ''] = JSON.parse(
      program.lines.find((line) => line.startsWith('[')) ?? '[]',
    ) as string[];
    expect(all).toMatch(/^TypeError: new WorkerProcess: /);
    for (const fault of [
      'worker_id is "no id"',
      'address is "nowhere"',
      'slots is 0',
      'drainTimeout is -1',
      'logLevel is "loud"',
    ])
      expect(all).toContain(fault);
    expect(array).toContain('the config is an array');
    expect(nothing).toContain('worker_id is null');
  });
});

describe('a WorkerProcess that cannot start', { timeout: 60_000 }, () => {
  it.each([
    [
      'a type that is registered twice',
      `${ECHO} ${ECHO} worker.start();`,
      2,
      /registerTaskHandler\("echo"\): the type has a handler already/,
    ],
    ['no handlers', 'worker.start();', 2, /start\(\): no handlers; call registerTaskHandler\(\) first/],
    ['no start()', ECHO, 2, /"pool\/0" has come to its end without start\(\)/],
    [
      'a second one',
      `${ECHO} new WorkerProcess('b'); worker.start();`,
      2,
      /new WorkerProcess\("b"\): this process is the worker "pool\/0" already/,
    ],
    [
      'an exception',
      "require('./not-there');",
      1,
      /^uncaught exception in user code: Error: Cannot find module '\.\/not-there'[^]*worker\.cjs/,
    ],
    [
      'a rejection',
      "Promise.reject('no database'); setInterval(() => undefined, 60_000);",
      1,
      /^unhandled rejection in user code: the string "no database"/,
    ],
  ])('should tell its supervisor of %s', async (_what, body, code, message) => {
    const program = run(script(body));
    const end = await ending(program);
    expect(end).toMatchObject({ exit: { code, signal: null }, code });
    expect(end.message).toMatch(message);
    expect(program.logs().find(({ level }) => level === 60)).toBeDefined();
  });

  it('should tell of an exception at the top of an ES module', async () => {
    const body = `
import { WorkerProcess } from 'remuda/worker';
new WorkerProcess('w');
await Promise.reject(new TypeError('no database'));
`;
    expect(await ending(run(body, { name: 'worker.mjs' }))).toMatchObject({
      exit: { code: 1 },
      message: expect.stringMatching(/TypeError: no database\n.*worker\.mjs:4/) as string,
    });
  });

  it('should cut what it says to its bound', async () => {
    const { message } = await ending(run(script("throw new Error('é'.repeat(50_000));")));
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(8_192);
    expect(message).toMatch(/é…$/);
  });

  it('should refuse a type after start(), and name one that is there already', async () => {
    const body = script(`
${ECHO}
worker.start();
for (const type of ['echo', 'other'])
  try { worker.registerTaskHandler(type, () => null); } catch (error) { console.log(error.message); }`);
    const { program } = await welcomed(body);
    expect(program.lines).toContain('registerTaskHandler("echo"): the type has a handler already');
    expect(program.lines.join('\n')).toContain('registerTaskHandler("other"): the worker has started');
  });
});

describe('remuda-worker that cannot start', { timeout: 60_000 }, () => {
  const worker = (body: string, ...args: string[]) => {
    const file = scriptFile(body, 'handlers.mjs');
    return new Program([file, '--address', '127.0.0.1:1', ...args], { supervised: true });
  };

  it.each([
    [
      'what a handlers file throws',
      "throw new Error('no database');",
      2,
      /failed while it was loaded:\nError: no database\n.*handlers\.mjs:1/,
    ],
    ['a handlers file without handlers', 'export default {};', 2, /its default export is empty/],
    [
      'what setup() throws',
      "export default { setup() { throw new Error('no disk'); }, a() {} };",
      1,
      /^setup\(\) of the handlers file failed: Error: no disk\n.*handlers\.mjs:1/,
    ],
  ])('should tell its supervisor %s', async (_what, body, code, message) => {
    for (const mode of ['thread', 'inline']) {
      const end = await ending(worker(body, '--session', mode));
      expect(end).toMatchObject({ exit: { code, signal: null }, code });
      expect(end.message).toMatch(message);
    }
  });

  it('should tell its supervisor that there is no handlers file', async () => {
    const program = new Program(['/nowhere/handlers.mjs'], { supervised: true });
    expect(await ending(program)).toMatchObject({
      exit: { code: 2 },
      message: expect.stringMatching(/no handlers file \/nowhere/) as string,
    });
  });
});

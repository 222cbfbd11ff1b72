import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { endPrograms, startCoordinator, startProgram, type Program } from '../../support/programs.js';
import { json, Stubs } from '../../support/stubs.js';
import { ended, errorOf, failed, RawWorker, startedWith } from './support.js';

/** What an orderly stop may take at most; the program ends itself with an error after that. */
const STOP_MS = 5_000;
const GOOD_EXIT = { code: 0, signal: null };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'program-'));
});

afterEach(async () => {
  await endPrograms();
  await rm(folder, { recursive: true });
});

function stopping(program: Program): Promise<unknown> {
  return program.line(({ json: line }) => line?.['msg'] === 'stopping', 'line that it stops');
}

describe('remuda-coordinator, its start', () => {
  it('says in one line that it is ready, with the real addresses', async () => {
    const { program, address, http } = await startCoordinator();
    expect(address).toMatch(/^127\.0\.0\.1:[1-9]\d+$/);
    expect(http).toMatch(/^127\.0\.0\.1:[1-9]\d+$/);
    const ready = program.lines.filter(({ json: line }) => line?.['msg'] === 'ready');
    expect(ready).toHaveLength(1);
    expect(ready[0]?.json).toMatchObject({ store: 'memory:', listen: address, http });
    expect(program.lines.every(({ json: line }) => line !== null)).toBe(true);
    expect(program.stderr).toBe('');
  });

  it('takes its options from variables too', async () => {
    const env = { REMUDA_LISTEN: '127.0.0.1:0', REMUDA_HTTP: 'off', REMUDA_STORE: 'memory:' };
    const program = startProgram('coordinator', [], { env });
    const { json: line } = await program.line(({ json: one }) => one?.['msg'] === 'ready', 'ready line');
    expect(line).toMatchObject({ http: null, store: 'memory:' });
  });

  it('listens on [::1]', async () => {
    const { address } = await startCoordinator(['--listen', '[::1]:0']);
    expect(address).toMatch(/^\[::1\]:[1-9]\d+$/);
    using stubs = new Stubs(address);
    expect((await stubs.stats()).version).not.toBe('');
  });

  it('explains itself', async () => {
    const { code, out } = await failed(['--help']);
    expect(code).toBe(0);
    for (const part of ['--listen', '--insecure', 'REMUDA_LISTEN', 'LISTEN_FDS', 'SIGTERM', '74'])
      expect(out).toContain(part);
  });

  it('names two faults in one message', async () => {
    const { code, text, out } = await failed(['--listen', '0.0.0.0:7070', '--lease', '5']);
    expect(code).toBe(2);
    expect(text).toMatch(/--listen is "0\.0\.0\.0:7070".*TLS.*--insecure/);
    expect(text).toContain('--lease is "5"');
    expect(out).toBe('');
  });
});

describe('remuda-coordinator, addresses', () => {
  let taken: Server | undefined;

  afterEach(async () => {
    const server = taken;
    taken = undefined;
    if (server !== undefined) await new Promise((done) => server.close(done));
  });

  it.each(['--listen', '--http'])('refuses a %s address in use', async (flag) => {
    const server = createServer();
    taken = server;
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('no port');
    const other = flag === '--listen' ? '--http' : '--listen';
    const args = [flag, `127.0.0.1:${bound.port}`, other, '127.0.0.1:0', '--store', 'memory:'];
    const { code, text } = await failed(args);
    expect(code).toBe(1);
    const address = `127.0.0.1:${bound.port}`;
    expect(text).toBe(
      `remuda-coordinator: cannot start: cannot listen on ${address} (${flag}): another process listens there; stop it, or choose another address`,
    );
  });

  it('listens on a socket, and removes it when it stops', async () => {
    const path = join(folder, 's');
    const { program, address } = await startCoordinator(['--listen', `unix:${path}`]);
    expect(address).toBe(`unix:${path}`);
    using stubs = new Stubs(address);
    const { taskId } = await stubs.submit({ type: 'nobody' });
    expect((await stubs.get(taskId)).taskId).toBe(taskId);
    program.kill('SIGTERM');
    expect(await program.exit()).toEqual(GOOD_EXIT);
    expect(existsSync(path)).toBe(false);
  });

  it('replaces the socket of one that was killed', async () => {
    const path = join(folder, 's');
    const args = ['--listen', `unix:${path}`, '--http', `unix:${path}.http`];
    const { program } = await startCoordinator(args);
    program.kill('SIGKILL');
    await program.exit();
    expect((await stat(path)).isSocket()).toBe(true);
    const { address } = await startCoordinator(args);
    using stubs = new Stubs(address);
    expect((await stubs.stats()).version).not.toBe('');
  });

  it('refuses a socket on which another one listens, and leaves it to that', async () => {
    const path = join(folder, 's');
    const { address } = await startCoordinator(['--listen', `unix:${path}`]);
    const { code, text } = await failed(['--listen', `unix:${path}`, '--http', 'off', '--store', 'memory:']);
    expect(code).toBe(1);
    expect(text).toContain(`another process listens on ${path}`);
    using stubs = new Stubs(address);
    expect((await stubs.stats()).version).not.toBe('');
  });

  it('refuses a path where a file is, and leaves the file', async () => {
    const path = join(folder, 'precious');
    await writeFile(path, 'x');
    const { code, text } = await failed(['--listen', `unix:${path}`, '--http', 'off', '--store', 'memory:']);
    expect(code).toBe(1);
    expect(text).toContain('is no socket');
    expect(await readFile(path, 'utf8')).toBe('x');
  });

  it('refuses a folder that is not there', async () => {
    const { code, text } = await failed(['--listen', `unix:${folder}/none/s`, '--http', 'off', '--store', 'memory:']);
    expect(code).toBe(1);
    expect(text).toContain('(--listen)');
  });
});

describe('remuda-coordinator, its end', () => {
  it('stops in good order when nobody reads its log any more', async () => {
    const { program } = await startCoordinator();
    program.child.stdout?.destroy();
    program.kill('SIGTERM');
    expect(await program.exit()).toEqual({ code: 0, signal: null });
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('stops in good order on %s', async (signal) => {
    const { program } = await startCoordinator(['--store', `sqlite:${join(folder, 'x.db')}`]);
    program.kill(signal);
    expect(await program.exit(STOP_MS)).toEqual(GOOD_EXIT);
    const line = await program.line(({ json: one }) => one?.['msg'] === 'stopping', 'line that it stops');
    expect(line.json).toMatchObject({ cause: signal });
  });

  it('answers the calls that wait and the workers, and abandons nothing', async () => {
    const store = `sqlite:${join(folder, 'x.db')}`;
    const first = await startedWith(store);
    using stubs = first.stubs;
    using worker = await RawWorker.join(first.address);
    const taskIds = [randomUUID(), randomUUID()];
    const calls = ['echo', 'nobody'].map((type, index) => {
      const task = { taskId: taskIds[index] ?? '', type, payload: json(index) };
      return stubs.call(TaskService.method.runTask, { task });
    });
    const errors = calls.map((call) => errorOf(call.response));
    for (const call of calls) await call.initialMetadata;
    const { attempt } = await worker.assignment();
    await stubs.get(taskIds[1] ?? '');

    first.program.kill('SIGTERM');
    for (const error of await Promise.all(errors)) {
      expect(error).toMatchObject({ code: Code.UNAVAILABLE, reason: 'COORDINATOR_STOPPING' });
      expect(error.retryDelayMs).toBeGreaterThan(0);
    }
    expect(await worker.end()).toMatchObject({ code: Code.UNAVAILABLE, reason: 'COORDINATOR_STOPPING' });
    expect(await first.program.exit(STOP_MS)).toEqual(GOOD_EXIT);

    const second = await startedWith(store);
    using again = second.stubs;
    if (attempt === undefined) throw new Error('no attempt');
    const running = { running: [{ attempt, started: true }] };
    using back = await RawWorker.join(second.address, { hello: { ...worker.hello, sessionNumber: 2, ...running } });
    expect(back.frames[0]?.welcome?.keep).toMatchObject([attempt]);
    back.report(attempt, 'kept');
    expect(await ended(again, taskIds[0] ?? '')).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 1 });
    expect(await again.get(taskIds[1] ?? '')).toMatchObject({ state: TaskState.QUEUED, cancelRequested: false });
  });

  it('does not wait for a caller that keeps a silent connection, or for one that reads nothing', async () => {
    const { program, address } = await startCoordinator();
    using mute = new RawWorker(address, { mute: true });
    using idle = new Stubs(address);
    await idle.stats();
    program.kill('SIGTERM');
    expect(await program.exit(STOP_MS)).toEqual(GOOD_EXIT);
    expect((await mute.end()).code).toBe(Code.UNAVAILABLE);
  });

  it('does not wait for one that takes no notice of the end of its connection', async () => {
    const { program, address } = await startCoordinator();
    const [host, port] = address.split(':');
    const deaf = connect({ host: host!, port: Number(port), allowHalfOpen: true });
    await once(deaf, 'data');
    program.kill('SIGTERM');
    expect(await program.exit()).toEqual({ code: 0, signal: null });
    deaf.destroy();
  });

  it('ends at once on a second signal', async () => {
    const { program, address } = await startCoordinator();
    const client = new Client(address, credentials.createInsecure());
    try {
      // A watch does not end by itself: the first signal gives it a moment.
      const bytes = (given: Buffer): Buffer => given;
      const watch = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', bytes, bytes, Buffer.alloc(0));
      watch.on('error', () => undefined);
      await once(watch, 'data');
      program.kill('SIGTERM');
      await stopping(program);
      program.kill('SIGTERM');
      expect(await program.exit()).toEqual({ code: 1, signal: null });
    } finally {
      client.close();
    }
  });

  it('stops when its stdin ends, if it is told so', async () => {
    const { program } = await startCoordinator([], { stdin: 'pipe', env: { REMUDA_STOP_ON_STDIN_EOF: '1' } });
    program.child.stdin?.end();
    expect(await program.exit(STOP_MS)).toEqual(GOOD_EXIT);
  });

  it('does not look at its stdin otherwise', async () => {
    const { program, address } = await startCoordinator([], { stdin: 'ignore' });
    using stubs = new Stubs(address);
    expect((await stubs.stats()).version).not.toBe('');
    expect(program.lines.some(({ json: line }) => line?.['msg'] === 'stopping')).toBe(false);
  });
});

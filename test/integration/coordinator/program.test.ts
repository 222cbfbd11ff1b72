import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Client, credentials, status as Code } from '@grpc/grpc-js';
import { DatabaseSync } from '@photostructure/sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import {
  endPrograms,
  startCoordinator,
  startProgram,
  type Program,
  type StartOptions,
} from '../../support/programs.js';
import { json, parsed, Stubs } from '../../support/stubs.js';
import { ended, errorOf, RawWorker } from './support.js';

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

const LOCAL = ['--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'];

/** Starts one that is expected to give up. */
async function failed(args: readonly string[], options: StartOptions = {}) {
  const program = startProgram('coordinator', args, options);
  const { code } = await program.exit();
  return { code, text: program.stderr, out: program.stdout };
}

async function startedWith(store: string) {
  const started = await startCoordinator(['--store', store]);
  return { ...started, stubs: new Stubs(started.address) };
}

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
    for (const part of ['--listen', '--insecure', 'REMUDA_LISTEN', 'SIGTERM', '74']) expect(out).toContain(part);
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

describe('remuda-coordinator, the store', () => {
  it('refuses a file that is no database, and leaves it', async () => {
    const path = join(folder, 'notes.txt');
    await writeFile(path, 'not a database, but something that somebody wants to keep\n'.repeat(100));
    const { code, text } = await failed([...LOCAL, '--store', `sqlite:${path}`]);
    expect(code).toBe(1);
    expect(text).toContain('remuda-coordinator: cannot start: ');
    expect(text).toContain(path);
    expect(text).toMatch(/no(t a)? (SQLite )?database/i);
    expect((await readFile(path, 'utf8')).startsWith('not a database')).toBe(true);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a file that it may not write', async () => {
    const path = join(folder, 'r.db');
    await stopped(`sqlite:${path}`);
    await chmod(path, 0o444);
    const { code, text } = await failed([...LOCAL, '--store', `sqlite:${path}`]);
    expect(code).toBe(1);
    expect(text).toContain(path);
    expect(text).toMatch(/read-only|may not be written|permission/i);
  });

  it('refuses a file that a newer one has written', async () => {
    const path = join(folder, 'newer.db');
    await stopped(`sqlite:${path}`);
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA user_version = 9; UPDATE meta SET value = 8 WHERE key = 'breaking_version'`);
    db.close();
    const { code, text } = await failed([...LOCAL, '--store', `sqlite:${path}`]);
    expect(code).toBe(1);
    expect(text).toContain(path);
    expect(text).toContain('start the newer version');
  });

  it('refuses a file that another living one owns, and takes it over when that was killed', async () => {
    const store = `sqlite:${join(folder, 'owned.db')}`;
    const { program } = await startCoordinator(['--store', store]);
    const { code, text } = await failed([...LOCAL, '--store', store]);
    expect(code).toBe(1);
    expect(text).toContain('owned.db');
    expect(text).toContain(String(program.pid));
    program.kill('SIGKILL');
    await program.exit();
    const { program: next } = await startCoordinator(['--store', store]);
    next.kill('SIGTERM');
    expect(await next.exit()).toEqual(GOOD_EXIT);
  });

  it('refuses a store that is none', async () => {
    const { code, text } = await failed([...LOCAL, '--store', 'postgres://x']);
    expect(code).toBe(2);
    expect(text).toMatch(/postgres:\/\/x.*sqlite:PATH/);
  });

  it('says nothing on stdout that it is ready when it is not', async () => {
    const { out } = await failed([...LOCAL, '--store', `sqlite:${folder}/none/x.db`]);
    expect(out).not.toContain('"ready"');
  });

  async function stopped(store: string): Promise<void> {
    const { program } = await startCoordinator(['--store', store]);
    program.kill('SIGTERM');
    expect(await program.exit()).toEqual(GOOD_EXIT);
  }

  it('keeps the queue, its options and its results over a restart', async () => {
    const store = `sqlite:${join(folder, 'kept.db')}`;
    const first = await startedWith(store);
    const worker = await RawWorker.join(first.address);
    const done = first.stubs.run({ task: { taskId: randomUUID(), type: 'echo', payload: json({ n: 1 }) } });
    worker.report((await worker.assignment()).attempt, { ok: true });
    const doneId = (await done).task?.taskId ?? '';
    const options = {
      priority: 77,
      requiredLabels: { zone: 'a' },
      timeout: durationFromMs(1_234),
      deadline: timestampFromMs(Date.now() + 3_600_000),
      metadata: { who: 'me' },
      retryPolicy: { maxAttempts: 9, nonRetryableReasons: ['NO'] },
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    };
    const waiting = { taskId: randomUUID(), type: 'later', payload: json({ big: 'x'.repeat(10_000) }), options };
    await first.stubs.submit(waiting);
    const scheduled = await first.stubs.submit({
      type: 'later',
      options: { runTime: timestampFromMs(Date.now() + 3_600_000) },
    });
    const before = await first.stubs.get(waiting.taskId);
    first.program.kill('SIGTERM');
    expect(await first.program.exit()).toEqual(GOOD_EXIT);
    worker[Symbol.dispose]();
    first.stubs[Symbol.dispose]();

    const { address, stubs } = await startedWith(store);
    using _ = stubs;
    expect(await stubs.get(waiting.taskId)).toEqual(before);
    expect(await stubs.submit(waiting)).toMatchObject({ alreadyExisted: true });
    expect((await stubs.get(scheduled.taskId)).state).toBe(TaskState.SCHEDULED);
    const finished = await stubs.get(doneId);
    expect(finished.state).toBe(TaskState.SUCCEEDED);
    expect(parsed(finished.result)).toEqual({ ok: true });

    const hello = { workerId: 'later', taskTypes: [{ type: 'later' }], labels: { zone: 'a' } };
    using late = await RawWorker.join(address, { hello });
    const { attempt, payload, ...assignment } = await late.assignment();
    expect(attempt).toMatchObject({ taskId: waiting.taskId, attempt: 1 });
    expect(parsed(payload)).toEqual({ big: 'x'.repeat(10_000) });
    expect(assignment).toMatchObject({ timeoutMs: 1_234, metadata: { who: 'me' }, traceparent: options.traceparent });
    late.report(attempt, 'after the restart');
    expect((await ended(stubs, waiting.taskId)).state).toBe(TaskState.SUCCEEDED);
  });
});

describe('remuda-coordinator, its end', () => {
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

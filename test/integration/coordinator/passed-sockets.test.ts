import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import {
  closeHeldSockets,
  HeldSocket,
  readyActivated,
  startActivated,
  type Passed,
} from '../../support/held-socket.js';
import { endPrograms } from '../../support/programs.js';
import { json, parsed, Stubs } from '../../support/stubs.js';
import { errorOf, RawWorker } from './support.js';

const MEMORY = ['--store', 'memory:'];
const GOOD_EXIT = { code: 0, signal: null };
const LOOPBACK = { host: '127.0.0.1', port: 0 };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'passed-'));
});

afterEach(async () => {
  await endPrograms();
  await closeHeldSockets();
  await rm(folder, { recursive: true });
});

/** One that is expected to give up. */
async function refusal(passed: readonly Passed[], args: readonly string[] = [], env: Record<string, string> = {}) {
  const program = startActivated(passed, ['--http', 'off', ...MEMORY, ...args], env);
  const { code } = await program.exit();
  return { code, text: program.stderr, out: program.stdout };
}

/** A task from its submission to its result. */
async function roundTrip(address: string, value: string): Promise<unknown> {
  using stubs = new Stubs(address);
  using worker = await RawWorker.join(address);
  const done = stubs.run({ task: { type: 'echo', payload: json(value) } });
  const { attempt } = await worker.assignment();
  worker.report(attempt, value);
  const { task } = await done;
  expect(task).toMatchObject({ state: TaskState.SUCCEEDED });
  return parsed(task?.result);
}

describe('remuda-coordinator with sockets passed to it', () => {
  it.each([
    ['127.0.0.1', () => LOOPBACK],
    ['[::1]', () => ({ host: '::1', port: 0 })],
    ['a Unix socket', () => ({ path: join(folder, 's') })],
  ])('serves on %s, and says its real address', async (_, where) => {
    const held = await HeldSocket.listen(where());
    const { program, address } = await readyActivated([held], MEMORY);
    expect(address).toBe(held.address);
    expect(await roundTrip(held.address, 'there and back')).toBe('there and back');
    program.kill('SIGTERM');
    expect(await program.exit()).toEqual(GOOD_EXIT);
    expect(program.stderr).toBe('');
  });

  it('serves on all of them, of both kinds', async () => {
    const tcp = await HeldSocket.listen(LOOPBACK);
    const unix = await HeldSocket.listen({ path: join(folder, 's') });
    const { address } = await readyActivated([tcp, unix], MEMORY);
    expect(address).toBe(`${tcp.address}, ${unix.address}`);
    for (const one of [tcp, unix]) expect(await roundTrip(one.address, one.address)).toBe(one.address);
  });

  it('leaves the path of a Unix socket when it stops', async () => {
    const path = join(folder, 's');
    const held = await HeldSocket.listen({ path });
    const { program } = await readyActivated([held], MEMORY);
    program.kill('SIGTERM');
    expect(await program.exit()).toEqual(GOOD_EXIT);
    expect(existsSync(path)).toBe(true);
  });

  it('serves whoever has connected before it started', async () => {
    const held = await HeldSocket.listen(LOOPBACK);
    const early = Array.from(
      { length: 20 },
      (_, n) => new RawWorker(held.address, { hello: { workerId: `early/${n}` } }),
    );
    try {
      // Their connections are made, and what they say is on its way, before anybody is there to read it.
      const knocking = connect(Number(held.address.split(':')[1]), '127.0.0.1');
      await once(knocking, 'connect');
      knocking.destroy();
      await readyActivated([held], MEMORY);
      for (const worker of early) await worker.frame(({ welcome }) => welcome !== undefined, 'welcome');
    } finally {
      for (const worker of early) worker[Symbol.dispose]();
    }
  });

  it('says that --listen is not used, and does not', async () => {
    const held = await HeldSocket.listen(LOOPBACK);
    const path = join(folder, 'unused');
    const { program, address } = await readyActivated([held], [...MEMORY, '--listen', `unix:${path}`]);
    expect(address).toBe(held.address);
    const line = program.lines.find(({ json: one }) => one?.['msg'] === 'listen-unused');
    expect(line?.json).toMatchObject({ listen: held.address, unused: `unix:${path}` });
    expect(existsSync(path)).toBe(false);
  });

  it('says nothing of --listen when nobody has given it', async () => {
    const { program } = await readyActivated([await HeldSocket.listen(LOOPBACK)], MEMORY);
    expect(program.lines.filter(({ json: one }) => one?.['msg'] === 'listen-unused')).toEqual([]);
  });

  it('ignores what was passed to another process', async () => {
    const held = await HeldSocket.listen(LOOPBACK);
    const args = [...MEMORY, '--listen', '127.0.0.1:0'];
    const { address } = await readyActivated([held], args, { LISTEN_PID: '1' });
    expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(address).not.toBe(held.address);
  });
});

describe('remuda-coordinator, the stop of one with passed sockets', () => {
  it('answers the calls that wait and the workers', async () => {
    const held = await HeldSocket.listen(LOOPBACK);
    const { program, address } = await readyActivated([held], MEMORY);
    using stubs = new Stubs(address);
    using worker = await RawWorker.join(address);
    const call = stubs.call(TaskService.method.runTask, { task: { type: 'nobody' } });
    const error = errorOf(call.response);
    await call.initialMetadata;
    program.kill('SIGTERM');
    expect(await error).toMatchObject({ code: Code.UNAVAILABLE, reason: 'COORDINATOR_STOPPING' });
    expect(await worker.end()).toMatchObject({ code: Code.UNAVAILABLE, reason: 'COORDINATOR_STOPPING' });
    expect(await program.exit()).toEqual(GOOD_EXIT);
  });

  it('says goodbye to a connection that it has taken and that asks nothing', async () => {
    const held = await HeldSocket.listen(LOOPBACK);
    const { program } = await readyActivated([held], MEMORY);
    const session = connectHttp2(`http://${held.address}`);
    try {
      await once(session, 'remoteSettings');
      const goodbye = once(session, 'goaway') as Promise<[number]>;
      program.kill('SIGTERM');
      expect((await goodbye)[0]).toBe(constants.NGHTTP2_NO_ERROR);
      expect(await program.exit()).toEqual(GOOD_EXIT);
    } finally {
      session.destroy();
    }
  });

  it('leaves who connects from then on to the next one', async () => {
    const held = await HeldSocket.listen(LOOPBACK);
    const first = await readyActivated([held], MEMORY);
    using worker = await RawWorker.join(held.address);
    first.program.kill('SIGTERM');
    await worker.end();
    using stubs = new Stubs(held.address);
    const stats = stubs.stats();
    expect(await first.program.exit()).toEqual(GOOD_EXIT);
    using late = new RawWorker(held.address);
    await readyActivated([held], MEMORY);
    expect((await stats).version).not.toBe('');
    await late.frame(({ welcome }) => welcome !== undefined, 'welcome');
  });
});

describe('remuda-coordinator, sockets that it refuses', () => {
  const REFUSED = /cannot start: cannot listen on descriptor 3, which was passed \(LISTEN_FDS\): it (.*); pass TCP/;

  it('a file', async () => {
    const file = await open(join(folder, 'file'), 'w');
    try {
      const { code, text } = await refusal([file.fd]);
      expect(code).toBe(2);
      expect(REFUSED.exec(text)?.[1]).toBe('is no socket');
    } finally {
      await file.close();
    }
  });

  it('nothing at all', async () => {
    const { code, text } = await refusal([], [], { LISTEN_FDS: '1' });
    expect(code).toBe(2);
    expect(REFUSED.exec(text)?.[1]).toMatch(/^is (not open|no socket)$/);
  });

  it('a connection, which a socket unit with Accept=yes passes', async () => {
    const { code, text } = await refusal(['pipe']);
    expect(code).toBe(2);
    expect(REFUSED.exec(text)?.[1]).toBe('is a socket that takes no connections (EINVAL)');
    expect(text).toContain('ListenStream= with Accept=no');
  });

  it('the second of two, and serves on none', async () => {
    const held = await HeldSocket.listen(LOOPBACK);
    const { code, text, out } = await refusal([held, 'pipe']);
    expect(code).toBe(2);
    expect(text).toContain('cannot listen on descriptor 4');
    expect(out).not.toContain('ready');
  });

  it.each([
    ['0.0.0.0', { host: '0.0.0.0', port: 0 }],
    ['[::]', { host: '::', port: 0 }],
  ])('one that listens on %s, without --insecure', async (host, where) => {
    const held = await HeldSocket.listen(where);
    const { code, text } = await refusal([held]);
    expect(code).toBe(2);
    expect(held.address.startsWith(`${host}:`)).toBe(true);
    expect(text).toContain(
      `cannot serve on descriptor 3, which was passed (LISTEN_FDS) and listens on ${held.address}: other machines can reach that`,
    );
    expect(text).toContain('--insecure');
  });

  it('not one that listens on 0.0.0.0, with --insecure', async () => {
    const held = await HeldSocket.listen({ host: '0.0.0.0', port: 0 });
    const { address } = await readyActivated([held], [...MEMORY, '--insecure']);
    expect(address).toBe(held.address);
    expect(await roundTrip(held.address.replace('0.0.0.0', '127.0.0.1'), 'in')).toBe('in');
  });

  it('variables that make no sense', async () => {
    const { code, text } = await refusal([], [], { LISTEN_FDS: 'two' });
    expect(code).toBe(2);
    expect(text).toContain('LISTEN_FDS is "two"');
  });
});

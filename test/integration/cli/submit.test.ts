import { createServer as createWebServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { AttemptCharge, AttemptOutcome, TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { OnAbandon } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import {
  CannedCoordinator,
  jsonPayload,
  printed,
  remuda,
  sentText,
  startRemuda,
  type Answers,
  type Outcome,
} from './support.js';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TASK_ID = '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60';

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A coordinator whose tasks succeed with their own payload. */
const echoing = () =>
  CannedCoordinator.start({
    run: ({ task }) => ({
      task: { taskId: task?.taskId ?? '', state: TaskState.SUCCEEDED, ...(task?.payload && { result: task.payload }) },
    }),
  });

/** A coordinator whose tasks never end, and wait with a reason. */
const endless = () =>
  CannedCoordinator.start({
    run: () => undefined,
    get: ({ taskId }) => ({ task: { taskId, state: TaskState.QUEUED, waiting: { message: 'no worker for it' } } }),
  });

describe('remuda submit', { timeout: 60_000 }, () => {
  it('should print the id alone, made here, and what the coordinator has to say on stderr', async () => {
    const coordinator = await CannedCoordinator.start({
      submit: ({ taskId }) => ({ taskId, notice: 'no worker handles this type' }),
    });
    const { code, stdout, stderr } = await remuda(coordinator.address, ['submit', 'echo', '{"a":1}']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'no worker handles this type' });
    expect(stdout).toMatch(UUID_V7);
    expect(coordinator.submitted).toMatchObject([{ taskId: stdout, type: 'echo' }]);
    expect(sentText(coordinator.submitted[0]?.payload)).toBe('{"a":1}');
  });

  it('should send every option', async () => {
    const coordinator = await CannedCoordinator.start();
    const options = ['--priority', '50', '--timeout', '1.5s', '--label', 'disk=ssd', '--label', 'zone=a=b'];
    const { stdout } = await remuda(coordinator.address, [
      'submit',
      'x',
      ...options,
      '--task-id',
      TASK_ID.toUpperCase(),
    ]);
    expect(stdout).toBe(TASK_ID);
    expect(coordinator.submitted[0]).toMatchObject({
      taskId: TASK_ID,
      options: {
        priority: 50,
        timeout: { seconds: 1n, nanos: 500_000_000 },
        requiredLabels: { disk: 'ssd', zone: 'a=b' },
      },
    });
    expect(coordinator.submitted[0]?.payload).toBeUndefined();
  });

  it('should take the payload from a file and from stdin', async () => {
    const coordinator = await CannedCoordinator.start();
    const directory = mkdtempSync(join(tmpdir(), 'remuda-cli-'));
    cleanups.push(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'payload.json');
    writeFileSync(file, '\uFEFF{"from":"file"}\n');
    await remuda(coordinator.address, ['submit', 'echo', `@${file}`]);
    await remuda(coordinator.address, ['submit', 'echo', '-'], '{"from":"stdin"}');
    expect(coordinator.submitted.map(({ payload }) => sentText(payload))).toEqual([
      '{"from":"file"}\n',
      '{"from":"stdin"}',
    ]);
    const missing = await remuda(coordinator.address, ['submit', 'echo', `@${file}.not`]);
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toContain(`${file}.not`);
    expect(missing.stderr).toContain('check the path');
  });

  it('should print with --wait the result alone, and let the task survive the wait', async () => {
    const coordinator = await echoing();
    const args = ['submit', 'echo', '{"n":12345678901234567890}', '--wait', '--wait-timeout', '30s'];
    expect(await remuda(coordinator.address, args)).toEqual({
      code: 0,
      stdout: '{"n":12345678901234567890}',
      stderr: '',
    });
    expect(coordinator.run).toMatchObject([{ onAbandon: OnAbandon.KEEP }]);
    // A gRPC deadline would become the task's own.
    expect(coordinator.deadlines).toEqual([Infinity]);
  });

  it('should print null for a task that returned nothing', async () => {
    const coordinator = await CannedCoordinator.start({ run: () => ({ task: { state: TaskState.SUCCEEDED } }) });
    expect(await remuda(coordinator.address, ['submit', 'echo', '--wait'])).toMatchObject({ code: 0, stdout: 'null' });
  });

  it('should tell on stderr why a task failed, with every attempt, and exit 1', async () => {
    const failure = { reason: 'ASKED_TO_FAIL', message: 'no \u001b[31mluck' };
    const attempt = { outcome: AttemptOutcome.FAILED, charge: AttemptCharge.FAILURE, failure, runMs: 12 };
    const coordinator = await CannedCoordinator.start({
      run: () => ({
        task: {
          ...{ taskId: TASK_ID, type: 'fail', state: TaskState.DEAD_LETTERED, failure, attempt: 2 },
          attempts: [
            { ...attempt, attempt: 1, workerId: 'w/0' },
            { ...attempt, attempt: 2, workerId: 'w/1' },
          ],
        },
      }),
    });
    const { code, stdout, stderr } = await remuda(coordinator.address, ['submit', 'fail', '--wait']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('DEAD_LETTERED: ASKED_TO_FAIL: no \\u001b[31mluck');
    expect(stderr).toMatch(/1 {2}FAILED on w\/0 after 12ms \(a failure\)[^]*2 {2}FAILED on w\/1/);
  });

  it('should give up waiting after --wait-timeout with exit 4, saying where the task stands', async () => {
    const coordinator = await endless();
    const args = ['submit', 'echo', '--wait', '--wait-timeout', '300ms', '--task-id', TASK_ID];
    const { code, stdout, stderr } = await remuda(coordinator.address, args);
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
    expect(stderr).toContain('has not ended within 300ms (QUEUED: no worker for it)');
    expect(stderr).toContain(`remuda get ${TASK_ID}`);
  });

  it('should say while it waits why nothing happens; Ctrl-C leaves with 130 and the id', async () => {
    const coordinator = await endless();
    const program = startRemuda(coordinator.address, ['submit', 'echo', '--wait', '--task-id', TASK_ID]);
    await printed(program.child.stderr, 'waiting: no worker for it');
    program.kill('SIGINT');
    expect(await program.exit()).toEqual({ code: 130, signal: null });
    expect(program.stdout).toBe('');
    expect(program.stderr).toContain(`remuda get ${TASK_ID}`);
  });

  it('should name with --address the address in the command that shows the task, and the time as it was given', async () => {
    const coordinator = await endless();
    const at = ['--address', coordinator.address];
    const args = ['submit', 'echo', '--wait', '--wait-timeout', '1500ms', '--task-id', TASK_ID];
    const { code, stderr } = await remuda(undefined, [...at, ...args]);
    expect(code).toBe(4);
    expect(stderr).toContain('has not ended within 1.5s (');
    expect(stderr).toContain(`see it with: remuda get ${TASK_ID} --address ${coordinator.address}`);
  });

  it('should exit 3 and say that nothing was submitted when --wait-timeout passes before there is a connection', async () => {
    const { address } = await mute();
    const { code, stdout, stderr } = await remuda(address, ['submit', 'echo', '--wait', '--wait-timeout', '300ms']);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toBe(
      `not submitted: no answer within 300ms while connecting to the coordinator at ${address}; check that one runs ` +
        'there, and submit again',
    );
  });

  it('should exit 130 at once and say that nothing was submitted at Ctrl-C before there is a connection', async () => {
    const { address, connected } = await mute();
    const program = startRemuda(address, ['submit', 'echo', '--wait']);
    await connected;
    program.kill('SIGINT');
    expect(await program.exit()).toEqual({ code: 130, signal: null });
    expect(program.stderr).toContain(`not submitted: interrupted while connecting to the coordinator at ${address}`);
  });

  it('should not claim that a task goes on that was sent and not accepted', async () => {
    const answers = { accepts: false, run: () => undefined };
    const lost = await CannedCoordinator.start(answers);
    const args = ['submit', 'echo', '--wait', '--wait-timeout', '1s', '--task-id', TASK_ID];
    const { code, stderr } = await remuda(lost.address, args);
    expect({ code, run: lost.run.length }).toEqual({ code: 3, run: 1 });
    expect(stderr).toContain('has not said whether it accepted task');
    expect(stderr).toContain(`submit again with --task-id ${TASK_ID}`);

    const get = () => ({ task: { taskId: TASK_ID, state: TaskState.RUNNING } });
    const slow = await CannedCoordinator.start({ ...answers, get });
    expect(await remuda(slow.address, args)).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('has not ended within 1s (RUNNING); it goes on'),
    });
  });

  it('should ask again with the same id when the coordinator goes away and comes back', async () => {
    const first = await endless();
    const program = startRemuda(first.address, ['submit', 'echo', '7', '--wait', '--task-id', TASK_ID]);
    await printed(program.child.stderr, 'waiting: no worker for it');
    first.server.forceShutdown();
    await printed(program.child.stderr, 'the coordinator went away');
    const second = await CannedCoordinator.start(
      { run: () => ({ task: { state: TaskState.SUCCEEDED, result: jsonPayload('7') } }) },
      first.address,
    );
    expect((await program.exit()).code).toBe(0);
    expect(program.stdout).toBe('7');
    expect(second.run).toMatchObject([{ task: { taskId: TASK_ID } }]);
  });

  it('should name the id, and what makes a repeat safe, when the answer is lost or late', async () => {
    const late = new FleetError(status.DEADLINE_EXCEEDED, '', 'upstream request timeout');
    for (const [why, reason] of [
      ['the connection was lost (', ' [CONNECTION_LOST]'],
      ['no answer in time: ', ''],
    ] as const) {
      const { address, coordinator, proxy } = await behindProxy({
        submit: () => {
          if (reason === '') throw late;
          proxy.cut();
          return {};
        },
      });
      const { code, stdout, stderr } = await remuda(undefined, ['submit', 'echo', '7', '--address', address]);
      const taskId = coordinator.submitted[0]?.taskId ?? '';
      expect({ code, stdout, count: coordinator.submitted.length }).toEqual({ code: 3, stdout: '', count: 1 });
      expect(stderr).toContain(`remuda: ${why}`);
      expect(stderr).toContain(
        `the coordinator at ${address} has not said whether it accepted task ${taskId}; see with: remuda get ${taskId} ` +
          `--address ${address}, or submit again with --task-id ${taskId}, which makes it the same task${reason}`,
      );
    }
  });

  it('should submit again with the same id when a connection breaks before the coordinator has accepted', async () => {
    const { address, coordinator, proxy } = await behindProxy({
      accepts: false,
      run: () => {
        if (coordinator.run.length > 1) return { task: { state: TaskState.SUCCEEDED } };
        proxy.cut();
        return undefined;
      },
    });
    const { code, stderr } = await remuda(address, ['submit', 'echo', '7', '--wait']);
    const [first, second, ...others] = coordinator.run.map(({ task }) => task?.taskId);
    expect({ code, others }).toEqual({ code: 0, others: [] });
    expect(second).toBe(first);
    expect(stderr).toBe(
      `the coordinator went away; waiting for it to come back (task ${first} is then submitted again, with this id)`,
    );
  });

  it('should still name the id when --wait-timeout or Ctrl-C ends the wait for one that went away before it accepted', async () => {
    for (const [options, expected] of [
      [['--wait-timeout', '3s'], 3],
      [[], 130],
    ] as const) {
      const { address, coordinator, proxy } = await behindProxy({
        accepts: false,
        run: () => {
          proxy.close();
          return undefined;
        },
      });
      const program = startRemuda(address, ['submit', 'echo', '7', '--wait', ...options]);
      await printed(program.child.stderr, 'the coordinator went away');
      if (expected === 130) program.kill('SIGINT');
      expect((await program.exit()).code).toBe(expected);
      expect(program.stderr).toContain(`submit again with --task-id ${coordinator.run[0]?.task?.taskId}`);
    }
  });

  it('should exit 5 when the coordinator refuses, with its sentence and reason', async () => {
    const refuse = () => {
      throw new FleetError(status.ALREADY_EXISTS, 'TASK_ID_TAKEN', 'the id is taken; choose another');
    };
    const coordinator = await CannedCoordinator.start({ submit: refuse, run: refuse });
    for (const wait of [[], ['--wait']]) {
      expect(await remuda(coordinator.address, ['submit', 'echo', ...wait])).toEqual({
        code: 5,
        stdout: '',
        stderr: 'remuda: the id is taken; choose another [TASK_ID_TAKEN]',
      });
    }
  });

  it.each([[[]], [['--wait']]])('should exit 3 when nobody listens, naming the address: %j', async (wait) => {
    const port = await freePort();
    const { code, stdout, stderr } = await remuda(`127.0.0.1:${port}`, ['submit', 'echo', ...wait]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain(`no coordinator answers at 127.0.0.1:${port} (connect ECONNREFUSED`);
    expect(stderr).toContain('remuda-coordinator --listen');
  });

  it.each([
    ['a web server', () => createWebServer((_request, response) => response.writeHead(404).end())],
    ['an HTTP/2 server', () => createHttp2Server((_request, response) => response.writeHead(404).end())],
    ['a page at every path', () => createHttp2Server((_request, response) => response.end('<html>'))],
    [
      'a server that greets',
      () =>
        createServer((socket) =>
          socket
            .on('error', () => undefined)
            .resume()
            .end('SSH-2.0-x\r\n'),
        ),
    ],
  ])('should exit 3 when something else answers: %s', async (_name, create) => {
    const server = create();
    const address = `127.0.0.1:${await listen(server)}`;
    cleanups.push(() => server.close());
    expectForeign(await remuda(address, ['stats']), address);
  });

  it('should exit 3 when a gRPC server of something else answers', async () => {
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    cleanups.push(() => server.forceShutdown());
    const address = `127.0.0.1:${port}`;
    for (const wait of [[], ['--wait']]) expectForeign(await remuda(address, ['submit', 'echo', ...wait]), address);
  });

  it('should exit 3 when somebody listens who never answers', async () => {
    const { address } = await mute();
    const { code, stderr } = await remuda(address, ['stats']);
    expect(code).toBe(3);
    expect(stderr).toContain(`no coordinator answers at ${address}`);
  });

  it.each([
    ['malformed JSON', ['echo', '{path: 1}'], ['"p" at line 1, column 2', `'{"hello":"world"}'`]],
    ['a bad type', ['-echo'], ["unknown option '-echo'"]],
    ['an empty type', [''], ['TYPE is "". A task type is', 'file.checksum']],
    ['a priority out of range', ['echo', '--priority', '101'], ['--priority', '0 to 100']],
    ['a time without a unit', ['echo', '--timeout', '30'], ['--timeout', '500ms, 30s or 5m']],
    ['a label without a value', ['echo', '--label', 'disk'], ['--label', 'KEY=VALUE']],
    ['a label named twice', ['echo', '--label', 'a=1', '--label', 'a=2'], ['"a" is named twice']],
    ['an id that is no UUID', ['echo', '--task-id', 'x'], ['--task-id', 'UUID']],
    ['a wait time without --wait', ['echo', '--wait-timeout', '1s'], ['add --wait']],
    ['two payloads', ['echo', '1', '2'], ['too many arguments']],
    ['no type', [], ["missing required argument 'TYPE'"]],
  ])('should exit 2 before sending anything for %s', async (_name, args, said) => {
    const coordinator = await CannedCoordinator.start();
    const { code, stdout, stderr } = await remuda(coordinator.address, ['submit', ...args]);
    expect({ code, stdout, submitted: coordinator.submitted }).toEqual({ code: 2, stdout: '', submitted: [] });
    for (const text of said) expect(stderr).toContain(text);
  });

  it('should tell everything that is out of range in one message', async () => {
    const wrong = ['--priority', '101', '--timeout', '30', '--label', 'x', '--run-at', '2030-02-31T00:00:00Z'];
    const also = ['--wait', '--wait-timeout', '9x', '--address', 'nowhere', '--task-id', '1'];
    const { code, stdout, stderr } = await remuda(undefined, ['submit', '!', ...wrong, ...also]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    const [head, ...faults] = stderr.split('\n');
    expect(head).toBe('remuda: the command line has 8 faults:');
    expect(faults.map((line) => line.trim().split(/ is |: /)[0]).sort()).toEqual(
      ['--address', '--label', '--priority', '--run-at', '--task-id', '--timeout', '--wait-timeout', 'TYPE'].sort(),
    );
    // What commander itself refuses comes with the rest, too.
    const unknown = await remuda(undefined, ['submit', 'x', '--priority', '101', '--nope']);
    expect(unknown.stderr).toContain("unknown option '--nope'");
    expect(unknown.stderr).toContain('--priority is "101"');
  });

  it('should exit 2 for a payload over 1 MiB, before sending it', async () => {
    const coordinator = await CannedCoordinator.start();
    const { code, stderr } = await remuda(coordinator.address, ['submit', 'echo', '-'], `"${'x'.repeat(1_048_576)}"`);
    expect({ code, submitted: coordinator.submitted }).toEqual({ code: 2, submitted: [] });
    expect(stderr).toContain('1048576');
  });
});

function expectForeign({ code, stdout, stderr }: Outcome, address: string): void {
  expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  expect(stderr).toMatch(`remuda: something else answers at ${address}, no Remuda coordinator (`);
  expect(stderr).toContain(
    "name the coordinator's gRPC address (default 127.0.0.1:7070), not its HTTP one (7071), with --address or REMUDA_ADDRESS " +
      '[NOT_A_COORDINATOR]',
  );
}

/** A coordinator behind a proxy that can lose its answers. */
async function behindProxy(answers: Partial<Answers>) {
  const coordinator = await CannedCoordinator.start(answers);
  const sockets = new Set<Socket>();
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
    sockets.clear();
  };
  const server = createServer((near) => {
    const far = connect(Number(coordinator.address.split(':')[1]), '127.0.0.1');
    for (const socket of [near, far]) sockets.add(socket.on('error', () => undefined));
    near.pipe(far).pipe(near);
  });
  const close = () => {
    server.close();
    cut();
  };
  cleanups.push(close);
  return { coordinator, address: `127.0.0.1:${await listen(server)}`, proxy: { cut, close } };
}

/** Somebody who listens and never says anything. `connected`: somebody has come. */
async function mute(): Promise<{ readonly address: string; readonly connected: Promise<void> }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
  const connected = new Promise<void>((done) => server.once('connection', () => done()));
  const port = await listen(server);
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${port}`, connected };
}

async function listen(server: Pick<NetServer, 'listen' | 'address'>): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((done) => server.close(done));
  return port;
}

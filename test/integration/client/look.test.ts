import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { Server, ServerCredentials, status as Code } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, TaskFailedError, type Client } from '../../../client/index.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { failure, next, refusal, setup } from './support.js';

let address: string;

beforeAll(async () => {
  ({ address } = await startCoordinator());
});

afterAll(endPrograms);

describe('get', () => {
  it('gives a task as a plain object', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const runAt = new Date(Date.now() + 3_600_000);
    const retry = { maxAttempts: 5, initialBackoffMs: 10, maxBackoffMs: 2_000, nonRetryableReasons: ['BAD'] };
    const options = {
      priority: 50,
      timeoutMs: 1_500,
      runAt,
      retry,
      metadata: { order: '7' },
      requiredLabels: { zone: 'a' },
    };
    const { taskId } = await client.submit(type, { n: 1 }, options);
    const task = await client.get(taskId.toUpperCase());
    expect(task).toMatchObject({
      ...{ taskId, type, state: 'SCHEDULED', payload: { n: 1 }, result: undefined, failure: undefined, attempts: [] },
      ...{ attempt: 0, failureCount: 0, cancelRequested: false, dueTime: runAt, endTime: undefined },
      options: { ...options, deadline: undefined, traceparent: '' },
      waiting: { reason: 'RUN_TIME', message: expect.any(String) },
    });
    expect(task.createTime).toBeInstanceOf(Date);
    expect(JSON.parse(JSON.stringify(task))).toMatchObject({ state: 'SCHEDULED', options: { retry } });
  });

  it('says so for a task that there is not', async () => {
    await using client = createClient({ address });
    expect(await refusal(client.get(randomUUID()))).toMatchObject({ code: Code.NOT_FOUND, reason: 'TASK_NOT_FOUND' });
  });
});

describe('list', () => {
  it('gives what fits, the newest first, over as many pages as it takes', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const receipts = await client.submitMany(Array.from({ length: 7 }, (_, n) => ({ type, payload: n })));
    const ids = receipts.map((receipt) => ('taskId' in receipt ? receipt.taskId : ''));
    const found = [];
    for await (const task of client.list({ type, pageSize: 3, states: ['RUNNING', 'QUEUED'] })) found.push(task);
    expect(found.map(({ taskId }) => taskId)).toEqual(ids.reverse());
    expect(found.map(({ payload }) => payload)).toEqual(Array(7).fill(undefined));
    const first = await next(client.list({ type, payloads: true }));
    expect(first.payload).toBe(6);
    const none = [];
    for await (const task of client.list({ type, states: ['EXPIRED'] })) none.push(task);
    expect(none).toEqual([]);
  });
});

describe('watch', () => {
  it('shows every change that its reader keeps up with, and ends with the task', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const { taskId } = await client.submit(type, null);
    const { attempt } = await worker.assignment();
    const watch = client.watch(taskId);
    expect(await next(watch)).toMatchObject({ state: 'RUNNING', attempt: 1, attempts: [{ outcome: undefined }] });
    const later = next(watch);
    worker.report(attempt, { done: true });
    expect(await later).toMatchObject({ state: 'SUCCEEDED', result: { done: true } });
    expect(await watch.next()).toEqual({ done: true, value: undefined });
  });

  it('says so for a task that there is not', async () => {
    await using client = createClient({ address });
    expect(await refusal(client.watch(randomUUID()).next())).toMatchObject({ reason: 'TASK_NOT_FOUND' });
    expect(() => client.watch('nine')).toThrow(expect.objectContaining({ reason: 'INVALID_TASK_ID' }));
  });

  it('ends when its signal is aborted, or its loop is left', async () => {
    await using world = await setup(address);
    const { client, type } = world;
    const { taskId } = await client.submit(type, null);
    const controller = new AbortController();
    const watch = client.watch(taskId, { signal: controller.signal });
    await next(watch);
    const waiting = refusal(next(watch));
    controller.abort('enough');
    expect(await waiting).toMatchObject({ code: Code.CANCELLED, cause: 'enough' });
    for await (const task of client.watch(taskId)) {
      expect(task.taskId).toBe(taskId);
      break;
    }
  });
});

describe('cancel', () => {
  it('ends a task for everybody, asked by two clients at once', async () => {
    await using world = await setup(address);
    await using other = createClient({ address });
    const { client } = world;
    const { taskId } = await client.submit('nobody.does', null);
    const running = failure(other.result(taskId));
    expect(await Promise.all([client.cancel(taskId), other.cancel(taskId)])).toEqual(['CANCELLED', 'CANCELLED']);
    const error = await running;
    expect(error instanceof TaskFailedError && [error.state, error.reason]).toEqual(['CANCELLED', 'CANCELLED']);
    expect(error.message).toMatch(/ended CANCELLED before it had run/);
    expect(await client.cancel(taskId)).toBe('CANCELLED');
  });

  it('says where a task stands whose handler has not stopped, and what has ended otherwise', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const { taskId } = await client.submit(type, null);
    const { attempt } = await worker.assignment();
    expect(await client.cancel(taskId)).toBe('RUNNING');
    worker.report(attempt, 1);
    expect(await client.result(taskId)).toBe(1);
    expect(await refusal(client.cancel(taskId))).toMatchObject({
      ...{ code: Code.FAILED_PRECONDITION, reason: 'TASK_ENDED', metadata: { task_id: taskId, state: 'SUCCEEDED' } },
    });
  });
});

describe('requeue and delete', () => {
  it('judge each dead letter by itself', async () => {
    await using world = await setup(address);
    const { client, type, worker } = world;
    const running = failure(client.run(type, null));
    const { attempt } = await worker.assignment();
    worker.fail(attempt, 'BROKEN');
    const error = await running;
    if (!(error instanceof TaskFailedError)) throw error;
    const { taskId } = error;
    const unknown = randomUUID();
    const requeued = await client.requeue([taskId, unknown]);
    expect(requeued.map((change) => [change.taskId, change.error?.reason])).toEqual([
      [taskId, undefined],
      [unknown, 'TASK_NOT_FOUND'],
    ]);
    worker.report((await worker.assignment(1)).attempt, 'repaired');
    expect(await client.result(taskId)).toBe('repaired');
    const [again] = await client.requeue(taskId);
    expect(again?.error).toMatchObject({ code: Code.FAILED_PRECONDITION, reason: 'TASK_NOT_DEAD_LETTERED' });
    expect(await client.delete([taskId])).toEqual([{ taskId, error: undefined }]);
    expect(await refusal(client.get(taskId))).toMatchObject({ code: Code.NOT_FOUND });
    const many = await client.delete(Array.from({ length: 1_500 }, () => randomUUID()));
    expect(new Set(many.map((change) => change.error?.reason))).toEqual(new Set(['TASK_NOT_FOUND']));
    expect(many).toHaveLength(1_500);
  });
});

describe('an address', () => {
  /** The errors of a submit, of a run and of a read, which take two ways. */
  async function errors(client: Client) {
    const calls = [
      client.submit('echo', 1),
      client.run('echo', 1),
      client.get(randomUUID()),
      client.watch(randomUUID()).next(),
    ];
    return Promise.all(calls.map((call) => refusal(call)));
  }

  it('where nobody answers: which one, and what to start', async () => {
    // Port 1 is privileged and taken by nobody.
    await using client = createClient({ address: '127.0.0.1:1', connectTimeoutMs: 300 });
    for (const error of await errors(client)) {
      expect(error).toMatchObject({ code: Code.UNAVAILABLE, reason: 'COORDINATOR_UNREACHABLE' });
      expect(error.message).toMatch(
        /^no coordinator answers at 127\.0\.0\.1:1 \(.*ECONNREFUSED.*remuda-coordinator --listen/,
      );
      expect(error.message).toMatch(/or name another with the option address of createClient\(\)$/);
    }
  });

  it('where nobody answers yet: calls wait when that was asked for', async () => {
    const first = await startCoordinator();
    first.program.kill('SIGKILL');
    await first.program.exit();
    await using client = createClient({ address: first.address, connectTimeoutMs: 100, waitForReady: true });
    const submitted = client.submit('nobody.does', 1);
    const listed = client.list().next();
    await startCoordinator(['--listen', first.address]);
    expect(await submitted).toMatchObject({ state: 'QUEUED' });
    await listed;
  });

  it('where a web server answers', async () => {
    const server = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const web = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using client = createClient({ address: web, connectTimeoutMs: 300 });
    try {
      for (const { code, reason } of await errors(client)) {
        expect({ code, reason }).toEqual({ code: Code.UNAVAILABLE, reason: 'NOT_A_COORDINATOR' });
      }
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('where a gRPC server of something else answers', async () => {
    const server = new Server();
    new HealthImplementation().addToServer(server);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    await using client = createClient({ address: `127.0.0.1:${port}` });
    try {
      for (const error of await errors(client)) {
        expect(error.reason).toBe('NOT_A_COORDINATOR');
        expect(error.message).toContain('something else answers');
        expect(error.message).toMatch(/not its HTTP one \(7071\), with the option address of createClient\(\)$/);
      }
    } finally {
      server.forceShutdown();
    }
  });

  it('that is a Unix socket', async () => {
    await using client = createClient({ address: 'unix:/nowhere/remuda.sock', connectTimeoutMs: 200 });
    for (const error of await errors(client)) {
      expect(error).toMatchObject({ reason: 'COORDINATOR_UNREACHABLE', message: expect.stringContaining('ENOENT') });
    }
  });
});

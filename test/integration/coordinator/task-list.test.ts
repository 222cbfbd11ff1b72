import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { PayloadView } from '../../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState, WaitingReason, type Task } from '../../../proto/gen/remuda/v1/task_pb.js';
import { TaskService, type TaskChangeResult } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, parsed, Stubs } from '../../support/stubs.js';
import { ended, errorOf, RawWorker } from './support.js';

let folder: string;
let address: string;
let stubs: Stubs;
let worker: RawWorker;
/** Each test has types of its own: one that its worker handles, and one that nobody does. */
let type: string;
let nobody: string;
let tests = 0;

async function submit(request: Parameters<Stubs['submit']>[0] = {}): Promise<string> {
  return (await stubs.submit({ taskId: randomUUID(), type, ...request })).taskId;
}

/** A task that a worker has failed for good. */
async function deadLetter(): Promise<string> {
  const taskId = await submit();
  worker.fail((await worker.assignment()).attempt, 'BROKEN');
  await ended(stubs, taskId);
  return taskId;
}

type ListRequest = Parameters<typeof stubs.call<typeof TaskService.method.listTasks>>[1];

function list(request: ListRequest = {}) {
  return stubs.call(TaskService.method.listTasks, request).response;
}

/** All pages. */
async function listAll(request: ListRequest): Promise<{ pages: number; tasks: Task[] }> {
  const tasks: Task[] = [];
  let pages = 0;
  let pageToken = '';
  do {
    const page = await list({ ...request, pageToken });
    tasks.push(...page.tasks);
    pageToken = page.nextPageToken;
    pages += 1;
  } while (pageToken !== '');
  return { pages, tasks };
}

function reasons(results: readonly TaskChangeResult[]): (string | null)[] {
  return results.map(({ error }) => (error === undefined ? null : FleetError.fromStatusMessage(error).reason));
}

describe.each(['memory:', 'sqlite:'])('over %s', (kind) => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'task-list-'));
    const store = kind === 'memory:' ? kind : `sqlite:${folder}/remuda.db`;
    ({ address } = await startCoordinator(['--store', store]));
    stubs = new Stubs(address);
  });

  beforeEach(async () => {
    tests += 1;
    type = `type-${tests}`;
    nobody = `nobody-${tests}`;
    worker = await RawWorker.join(address, { hello: { workerId: `w-${tests}`, taskTypes: [{ type }] } });
  });

  afterEach(() => worker[Symbol.dispose]());

  afterAll(async () => {
    stubs[Symbol.dispose]();
    await endPrograms();
    await rm(folder, { recursive: true, force: true });
  });

  describe('ListTasks', () => {
    it('gives every task once over its pages, the newest submit first', async () => {
      const ids: string[] = [];
      for (let n = 0; n < 7; n += 1) ids.push(await submit({ type: nobody }));
      const { pages, tasks } = await listAll({ pageSize: 3, type: nobody });
      expect(tasks.map(({ taskId }) => taskId)).toEqual([...ids].reverse());
      expect(pages).toBe(3);
    });

    it('finds by state and type, and says why what waits does', async () => {
      const dead = await deadLetter();
      const waits = await submit({ type: nobody });
      const later = await submit({ type: `other-${tests}` });
      await stubs.call(TaskService.method.cancelTask, { taskId: later }).response;
      const ids = async (request: ListRequest) => (await list(request)).tasks.map(({ taskId }) => taskId);
      expect((await ids({ states: [TaskState.DEAD_LETTERED] }))[0]).toBe(dead);
      expect((await ids({ states: [TaskState.QUEUED, TaskState.CANCELLED] })).slice(0, 2)).toEqual([later, waits]);
      expect(await ids({ type: nobody })).toEqual([waits]);
      expect(await ids({ type: nobody, states: [TaskState.SUCCEEDED] })).toEqual([]);
      const [task] = (await list({ type: nobody })).tasks;
      expect(task?.waiting?.reason).toBe(WaitingReason.NO_WORKER_FOR_TYPE);
    });

    it('leaves payloads out unless asked, and then ends a page early', async () => {
      const big = 'x'.repeat(1_000_000);
      for (let n = 0; n < 5; n += 1) await submit({ type: nobody, payload: json({ n, big }) });
      expect((await list({ type: nobody })).tasks.every(({ payload }) => payload === undefined)).toBe(true);
      const { pages, tasks } = await listAll({ type: nobody, payloadView: PayloadView.DATA });
      expect(tasks.map(({ payload }) => (parsed(payload) as { n: number }).n)).toEqual([4, 3, 2, 1, 0]);
      expect(pages).toBeGreaterThan(1);
    });

    it('keeps pages of plain JSON, which is larger, within what clients take', async () => {
      const numbers = Array.from({ length: 50_000 }, () => 1);
      for (let n = 0; n < 12; n += 1) await submit({ type: nobody, payload: json(numbers) });
      const { tasks } = await listAll({ type: nobody, payloadView: PayloadView.VALUE });
      expect(tasks.map(({ payload }) => payload?.body.case)).toEqual(Array(12).fill('value'));
    });

    it.each([
      [{ pageSize: -1 }, 'INVALID_PAGE', 'page_size'],
      [{ pageToken: 'made-up' }, 'INVALID_PAGE', 'page_token'],
      [{ pageToken: Buffer.from('7 [["QUEUED"],""]').toString('base64url') }, 'INVALID_PAGE', 'page_token'],
      [{ type: 'no good' }, 'INVALID_FILTER', 'type'],
      [{ states: [99, TaskState.UNSPECIFIED] }, 'INVALID_FILTER', 'states'],
    ])('refuses %j', async (request, reason, field) => {
      const error = await errorOf(list(request));
      expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason, violations: [{ field }] });
    });
  });

  describe('RequeueTasks', () => {
    it('runs a dead letter again, and answers each id by itself', async () => {
      const dead = await deadLetter();
      const unknown = randomUUID();
      const { results } = await stubs.call(TaskService.method.requeueTasks, { taskIds: [dead, unknown, dead] })
        .response;
      expect(reasons(results)).toEqual([null, 'TASK_NOT_FOUND', 'TASK_NOT_DEAD_LETTERED']);
      worker.report((await worker.assignment(1)).attempt, 'mended');
      const task = await ended(stubs, dead);
      expect(task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 2, failureCount: 0, attempts: [{}, {}] });
      expect((await list({ type, states: [TaskState.DEAD_LETTERED] })).tasks).toEqual([]);
    });

    it.each([[[]], [Array.from({ length: 1_001 }, () => randomUUID())], [['nonsense', 'more']]])(
      'refuses a wrong list of ids as a whole',
      async (taskIds) => {
        const error = await errorOf(stubs.call(TaskService.method.requeueTasks, { taskIds }).response);
        expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_TASK_ID' });
      },
    );
  });

  describe('DeleteTasks', () => {
    it('removes what has ended, and nothing else', async () => {
      const dead = await deadLetter();
      const waits = await submit({ type: nobody });
      const { results } = await stubs.call(TaskService.method.deleteTasks, { taskIds: [dead, waits] }).response;
      expect(reasons(results)).toEqual([null, 'TASK_NOT_ENDED']);
      expect(await errorOf(stubs.get(dead))).toMatchObject({ code: Code.NOT_FOUND, reason: 'TASK_NOT_FOUND' });
      expect((await list({ type })).tasks).toEqual([]);
      expect((await list({ type: nobody })).tasks.map(({ taskId }) => taskId)).toEqual([waits]);
    });
  });

  describe('CancelTask', () => {
    it('refuses what has ended otherwise, and says how', async () => {
      const dead = await deadLetter();
      const error = await errorOf(stubs.call(TaskService.method.cancelTask, { taskId: dead }).response);
      expect(error).toMatchObject({
        ...{ code: Code.FAILED_PRECONDITION, reason: 'TASK_ENDED', metadata: { state: 'DEAD_LETTERED' } },
      });
    });
  });
});

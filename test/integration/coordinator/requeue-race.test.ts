import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, Stubs } from '../../support/stubs.js';
import { RawClient } from './raw-client.js';
import { RawWorker } from './support.js';

afterAll(endPrograms);

const COUNT = 40;

describe('dead letters that are requeued while somebody asks for their end', () => {
  it('are told as ended only, each once', async () => {
    const { address } = await startCoordinator();
    using stubs = new Stubs(address);
    using worker = await RawWorker.join(address, { hello: { slots: COUNT } });
    using before = new RawClient(address);
    const tasks = Array.from({ length: COUNT }, () => ({ taskId: randomUUID(), type: 'echo', payload: json(1) }));
    before.say({ submits: tasks.map((task) => ({ task, await: true })) });
    await worker.assignment(COUNT - 1);
    for (const { attempt } of worker.frames.flatMap(({ assignments }) => assignments)) worker.fail(attempt, 'BROKEN');
    await before.told(COUNT);

    using client = new RawClient(address);
    const requeues: Promise<unknown>[] = [];
    const runs = tasks.map((task) => {
      client.say({ awaits: [task.taskId] });
      const run = stubs.run({ task });
      requeues.push(stubs.call(TaskService.method.requeueTasks, { taskIds: [task.taskId] }).response);
      return run;
    });
    await Promise.all(requeues);
    await worker.assignment(2 * COUNT - 1);
    const again = worker.frames.flatMap(({ assignments }) => assignments).slice(COUNT);
    for (const { attempt } of again) worker.report(attempt, 1);
    const states = (await Promise.all(runs)).map(({ task }) => task?.state);
    const told = (await client.told(COUNT)).map(({ state }) => state);
    const ends = [TaskState.SUCCEEDED, TaskState.DEAD_LETTERED];
    expect([...states, ...told].filter((state) => state === undefined || !ends.includes(state))).toEqual([]);
    expect(new Set(client.results.map(({ taskId }) => taskId)).size).toBe(COUNT);
  });
});

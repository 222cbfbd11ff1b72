import { afterEach, describe, expect, it } from 'vitest';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { endPrograms, startCoordinator, startWorker } from '../support/programs.js';
import { json, parsed, Stubs } from '../support/stubs.js';
import { HANDLERS, makeFolder } from './ledger.js';

afterEach(endPrograms);

describe('one task, from a plain stub to a worker process and back', () => {
  it('runs, over SQLite, and is still there after a restart', async () => {
    await using place = await makeFolder();
    const first = await startCoordinator(['--store', place.store]);
    await startWorker(HANDLERS, first.address, ['--worker-id', 'w'], { env: place.env });
    let taskId: string;
    {
      using stubs = new Stubs(first.address);
      const { task } = await stubs.run({ task: { type: 'echo', payload: json({ a: [1, 'zwei'] }) } });
      expect(task?.state).toBe(TaskState.SUCCEEDED);
      expect(parsed(task?.result)).toEqual({ a: [1, 'zwei'] });
      taskId = task?.taskId ?? '';
    }
    first.program.kill('SIGTERM');
    expect(await first.program.exit()).toMatchObject({ code: 0 });

    const second = await startCoordinator(['--store', place.store]);
    using stubs = new Stubs(second.address);
    const task = await stubs.get(taskId);
    expect(task.state).toBe(TaskState.SUCCEEDED);
    expect(parsed(task.result)).toEqual({ a: [1, 'zwei'] });
    expect(place.entries()).toHaveLength(1);
  });

  it('is retried after a failure, and a dead letter after the last', async () => {
    await using place = await makeFolder();
    const { address } = await startCoordinator();
    await startWorker(HANDLERS, address, ['--worker-id', 'w'], { env: place.env });
    using stubs = new Stubs(address);
    const once = await stubs.run({ task: { type: 'fail-once', payload: json(null) } });
    expect(once.task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 2, failureCount: 1 });

    const always = await stubs.run({ task: { type: 'fail', payload: json({ message: 'no luck' }) } });
    expect(always.task).toMatchObject({ state: TaskState.DEAD_LETTERED, attempt: 3, failureCount: 3 });
    expect(always.task?.failure).toMatchObject({ reason: 'HANDLER_ERROR', message: 'no luck' });
    expect(always.task?.attempts.map(({ failure }) => failure?.message)).toEqual(['no luck', 'no luck', 'no luck']);
  });

  it('goes on elsewhere when its worker is asked to leave and does not finish in time', async () => {
    await using place = await makeFolder();
    const { program, address } = await startCoordinator();
    const leaver = await startWorker(HANDLERS, address, ['--worker-id', 'leaver', '--drain-timeout', '100ms'], place);
    using stubs = new Stubs(address);
    const running = stubs.run({ task: { type: 'hang-once', payload: json(null) } });
    await place.entered(1);
    await startWorker(HANDLERS, address, ['--worker-id', 'other'], place);
    leaver.kill('SIGTERM');
    const { task } = await running;
    expect(task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 2, failureCount: 0, releaseCount: 1 });
    expect(await leaver.exit()).toMatchObject({ code: 0 });
    await program.line(({ json: line }) => line?.['msg'] === 'worker-left', 'worker-left event');
  });
});

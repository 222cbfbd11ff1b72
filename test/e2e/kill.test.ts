import { v7 as uuidv7 } from 'uuid';
import { afterEach, describe, expect, it } from 'vitest';
import { AttemptState } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { AttemptCharge, AttemptOutcome, TaskState, type Task } from '../../proto/gen/remuda/v1/task_pb.js';
import { OnAbandon } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { endPrograms, isAlive, startCoordinator, startWorker } from '../support/programs.js';
import { json, Stubs } from '../support/stubs.js';
import { HANDLERS, makeFolder } from './ledger.js';

afterEach(endPrograms);

const SHORT_LEASE = ['--heartbeat-interval', '300ms', '--lease', '1s'];

describe('kill -9', () => {
  it('of a worker in mid-task: the task ends elsewhere, at no charge the first time', async () => {
    await using place = await makeFolder();
    const { program, address } = await startCoordinator(SHORT_LEASE);
    const victim = await startWorker(HANDLERS, address, ['--worker-id', 'victim'], place);
    using stubs = new Stubs(address);
    const running = stubs.run({ task: { type: 'hang-once', payload: json(null) } });
    await place.entered(1);
    await startWorker(HANDLERS, address, ['--worker-id', 'other'], place);
    victim.kill('SIGKILL');
    const { task } = await running;
    expect(task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 2, failureCount: 0 });
    expect(task?.attempts.map(({ workerId, outcome, charge }) => ({ workerId, outcome, charge }))).toEqual([
      { workerId: 'victim', outcome: AttemptOutcome.WORKER_LOST, charge: AttemptCharge.FREE },
      { workerId: 'other', outcome: AttemptOutcome.SUCCEEDED, charge: AttemptCharge.UNSPECIFIED },
    ]);
    await program.line(({ json: line }) => line?.['msg'] === 'worker-lost', 'worker-lost event');
  });

  it('of a supervised process: its successor names it, and the task moves without waiting for the lease', async () => {
    await using place = await makeFolder();
    // A lease that no test outlasts: only the successor's word can free the task.
    const { address } = await startCoordinator(['--heartbeat-interval', '5m', '--lease', '10m']);
    await startWorker(HANDLERS, address, ['--worker-id', 'w', '--processes', '1'], place);
    using stubs = new Stubs(address);
    const running = stubs.run({ task: { type: 'hang-once', payload: json(null) } });
    await place.entered(1);
    // A crash is charged only if the coordinator knows that the handler had been entered.
    await expect.poll(async () => (await stubs.workers())[0]?.attempts[0]?.state).toBe(AttemptState.STARTED);
    process.kill(place.entries()[0]?.pid ?? 0, 'SIGKILL');
    const { task } = await running;
    expect(task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 2, failureCount: 0, crashCount: 1 });
    const [first, second] = place.entries();
    expect(second?.pid).not.toBe(first?.pid);
  });

  it('by a task of its own process as soon as it is entered: it becomes POISON', async () => {
    await using place = await makeFolder();
    const { address } = await startCoordinator(['--heartbeat-interval', '5m', '--lease', '10m']);
    await startWorker(HANDLERS, address, ['--worker-id', 'w', '--processes', '2'], place);
    using stubs = new Stubs(address);
    const { task } = await stubs.run({ task: { type: 'vanish', payload: json(null) } });
    expect(task).toMatchObject({ state: TaskState.DEAD_LETTERED, failure: { reason: 'POISON' }, crashCount: 3 });
    // The first crash may be free: nobody may have been told yet that the handler had been entered.
    expect(place.entries().length).toBeLessThanOrEqual(4);
  });

  it('of the coordinator with 1,000 queued and 20 running: all end, each once, and no handler runs twice', async () => {
    await using place = await makeFolder();
    const first = await startCoordinator(['--store', place.store]);
    for (const id of ['a', 'b'])
      await startWorker(HANDLERS, first.address, ['--worker-id', id, '--slots', '10'], place);
    const running = requests(20, 'sleep', { ms: 3_000, value: 'slept' });
    const queued = requests(1_000, 'echo', 'echoed');
    {
      using stubs = new Stubs(first.address);
      await stubs.submitMany(running);
      await place.entered(20);
      await stubs.submitMany(queued);
      expect((await stubs.stats()).tasks).toMatchObject({ queuedCount: 1_000, runningCount: 20 });
    }
    first.program.kill('SIGKILL');
    await first.program.exit();

    await startCoordinator(['--store', place.store, '--listen', first.address]);
    using stubs = new Stubs(first.address);
    const ended = await Promise.all([...running, ...queued].map((task) => ending(stubs, task)));
    expect(ended.filter(({ state }) => state !== TaskState.SUCCEEDED)).toEqual([]);
    // Workers that come back within their lease go on with what they hold.
    expect(ended.filter(({ attempt }) => attempt !== 1)).toEqual([]);
    const entries = place.entries();
    expect(entries).toHaveLength(1_020);
    expect(new Set(entries.map(({ taskId }) => taskId)).size).toBe(1_020);
    expect((await stubs.stats()).tasks).toMatchObject({ scheduledCount: 0, queuedCount: 0, runningCount: 0 });
  });

  it('of coordinator and worker together: what ran is handed out again when the lease is over, free', async () => {
    await using place = await makeFolder();
    const first = await startCoordinator([...SHORT_LEASE, '--store', place.store]);
    const victim = await startWorker(HANDLERS, first.address, ['--worker-id', 'victim'], place);
    const [task] = requests(1, 'hang-once', null);
    if (task === undefined) throw new Error('no request');
    {
      using stubs = new Stubs(first.address);
      await stubs.submit(task);
      await place.entered(1);
    }
    first.program.kill('SIGKILL');
    victim.kill('SIGKILL');
    await Promise.all([first.program.exit(), victim.exit()]);

    const second = await startCoordinator([...SHORT_LEASE, '--store', place.store]);
    await startWorker(HANDLERS, second.address, ['--worker-id', 'other'], place);
    using stubs = new Stubs(second.address);
    const ended = await ending(stubs, task);
    expect(ended).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 2, failureCount: 0, crashCount: 0 });
    expect(ended.releaseCount).toBe(1);
  });

  it('of a supervisor: its processes do not outlive it', async () => {
    await using place = await makeFolder();
    const { address, program } = await startCoordinator();
    const supervisor = await startWorker(HANDLERS, address, ['--worker-id', 'w', '--processes', '2'], place);
    const joined = await program.linesThat(({ json: line }) => line?.['msg'] === 'worker-joined', 2, 'both workers');
    expect(joined).toHaveLength(2);
    using stubs = new Stubs(address);
    const pids = (await stubs.workers()).map(({ pid }) => pid);
    supervisor.kill('SIGKILL');
    await program.linesThat(({ json: line }) => line?.['msg'] === 'worker-left', 2, 'both to leave');
    await supervisor.exit();
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  });
});

function requests(count: number, type: string, value: unknown) {
  return Array.from({ length: count }, () => ({ taskId: uuidv7(), type, payload: json(value) }));
}

/** A repeat of the submit that waits for the task's end. */
async function ending(stubs: Stubs, task: ReturnType<typeof requests>[number]): Promise<Task> {
  const { task: ended } = await stubs.run({ task, onAbandon: OnAbandon.KEEP });
  if (ended === undefined) throw new Error(`no task ${task.taskId}`);
  return ended;
}

import { afterEach, describe, expect, it } from 'vitest';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { WorkerState } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { AttemptOutcome, TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { endPrograms, startCoordinator, startWorker } from '../support/programs.js';
import { json, Stubs } from '../support/stubs.js';
import { HANDLERS, makeFolder } from './ledger.js';

afterEach(endPrograms);

describe('a handler that blocks its process', () => {
  it('does not silence the worker: it outlives many leases, its lag shows, and the task succeeds', async () => {
    await using place = await makeFolder();
    const { address } = await startCoordinator(['--heartbeat-interval', '300ms', '--lease', '1s']);
    await startWorker(HANDLERS, address, ['--worker-id', 'w'], place);
    using stubs = new Stubs(address);
    const blocked = stubs.run({ task: { type: 'block', payload: json({ ms: 5_000 }) } });
    await place.entered(1);
    // The coordinator answers only what it knows; asking again and again is how anybody would watch the lag grow.
    let lagMs = 0;
    while (lagMs < 2_000) {
      const [worker] = await stubs.workers();
      expect(worker?.state).toBe(WorkerState.READY);
      lagMs = worker?.heartbeat?.handlerLoopLagMs ?? 0;
    }
    const { task } = await blocked;
    expect(task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 1 });
  });

  it('is TIMED_OUT and its process replaced when it outlasts its time-out and the grace', async () => {
    await using place = await makeFolder();
    const { address, program } = await startCoordinator(['--stuck-grace', '500ms']);
    await startWorker(HANDLERS, address, ['--worker-id', 'w', '--processes', '1'], place);
    using stubs = new Stubs(address);
    const timeout = durationFromMs(500);
    const options = { timeout, retryPolicy: { maxAttempts: 1 } };
    const { task } = await stubs.run({ task: { type: 'block', payload: json({ ms: 60_000 }), options } });
    expect(task?.state).toBe(TaskState.DEAD_LETTERED);
    expect(task?.attempts.map(({ outcome }) => outcome)).toEqual([AttemptOutcome.TIMED_OUT]);
    await program.linesThat(({ json: line }) => line?.['msg'] === 'worker-joined', 2, 'a new process');
    const next = await stubs.run({ task: { type: 'echo', payload: json(1) } });
    expect(next.task?.state).toBe(TaskState.SUCCEEDED);
    const [first, second] = place.entries();
    expect(second?.pid).not.toBe(first?.pid);
  });

  // Inline, nothing can be said once the handler is entered: what was said before must be enough to charge it.
  it('becomes POISON when it costs three workers with inline sessions their life', async () => {
    await using place = await makeFolder();
    const { address } = await startCoordinator();
    await startWorker(HANDLERS, address, ['--worker-id', 'w', '--processes', '1', '--session', 'inline'], place);
    using stubs = new Stubs(address);
    const running = stubs.run({ task: { type: 'block', payload: json({ ms: 600_000 }) } });
    for (let life = 1; life <= 3; life += 1) {
      await place.entered(life);
      process.kill(place.entries()[life - 1]?.pid ?? 0, 'SIGKILL');
    }
    const { task } = await running;
    expect(task).toMatchObject({ state: TaskState.DEAD_LETTERED, failure: { reason: 'POISON' } });
    const lost = AttemptOutcome.WORKER_LOST;
    expect(task?.attempts.map(({ outcome }) => outcome)).toEqual([lost, lost, lost]);
  });
});

import { status as Code } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { createClient } from '../../client/index.js';
import { endPrograms, startCoordinator, startWorker } from '../support/programs.js';
import { HANDLERS, makeFolder } from './ledger.js';

afterEach(endPrograms);

const RUNS = 10_000;
/** When the coordinator is killed: long before the end, long after the beginning. */
const ENTERED_BEFORE_KILL = 1_000;

describe('kill -9 of the coordinator under a waiting client', () => {
  it(`lets ${RUNS} runs resolve, each once with its own result, and runs nothing twice`, async () => {
    await using place = await makeFolder();
    const first = await startCoordinator(['--store', place.store]);
    for (const id of ['a', 'b']) {
      await startWorker(HANDLERS, first.address, ['--worker-id', id, '--slots', '50'], place);
    }
    await using client = createClient({ address: first.address });
    const ends: string[] = [];
    client.on('disconnected', ({ code }) => ends.push(code));
    const results = Array.from({ length: RUNS }, (_, n) => client.run('echo', n));
    await place.entered(ENTERED_BEFORE_KILL);
    first.program.kill('SIGKILL');
    await first.program.exit();
    expect(client.stats.inFlight).toBeGreaterThan(0);
    const reconnected = new Promise((resolve) => client.on('connected', resolve));

    await startCoordinator(['--store', place.store, '--listen', first.address]);
    await reconnected;
    expect(await Promise.all(results)).toEqual(Array.from({ length: RUNS }, (_, n) => n));
    expect(ends).toHaveLength(1);
    expect(client.stats).toMatchObject({ inFlight: 0, waiting: 0, reconnects: 1 });
    // Workers that come back within their lease go on with what they hold, so not even a crash makes a handler run twice.
    const entries = place.entries();
    expect(entries).toHaveLength(RUNS);
    expect(new Set(entries.map(({ taskId }) => taskId)).size).toBe(RUNS);
  });

  it('takes up a watch where it was', async () => {
    await using place = await makeFolder();
    const first = await startCoordinator(['--store', place.store]);
    await using client = createClient({ address: first.address });
    const { taskId } = await client.submit('echo', 'watched');
    const states: string[] = [];
    const watched = (async () => {
      for await (const { state } of client.watch(taskId)) states.push(state);
    })();
    await expect.poll(() => states).toEqual(['QUEUED']);
    first.program.kill('SIGKILL');
    await first.program.exit();
    await startCoordinator(['--store', place.store, '--listen', first.address]);
    await startWorker(HANDLERS, first.address, ['--worker-id', 'w'], place);
    await watched;
    expect(states.at(-1)).toBe('SUCCEEDED');
  });
});

describe('a coordinator that stops in good order and is started again', () => {
  it('keeps its waiters: what was queued runs, and is told', async () => {
    await using place = await makeFolder();
    const first = await startCoordinator(['--store', place.store]);
    await using client = createClient({ address: first.address });
    const running = client.run('echo', 'patient');
    await client.submit('echo', 'behind it');
    first.program.kill('SIGTERM');
    await first.program.exit();
    const late = client.run('echo', 'submitted while it was away');
    await startCoordinator(['--store', place.store, '--listen', first.address]);
    await startWorker(HANDLERS, first.address, ['--worker-id', 'w'], place);
    expect(await Promise.all([running, late])).toEqual(['patient', 'submitted while it was away']);
  });

  it('lets what runs run on for longer than its lease, and takes it back', async () => {
    await using place = await makeFolder();
    const lease = ['--heartbeat-interval', '300ms', '--lease', '1s', '--store', place.store];
    const first = await startCoordinator(lease);
    const worker = await startWorker(HANDLERS, first.address, ['--worker-id', 'w'], place);
    await using client = createClient({ address: first.address });
    const running = client.run('sleep', { ms: 4_000, value: 'the whole time' });
    await place.entered(1);
    first.program.kill('SIGTERM');
    expect(await first.program.exit()).toEqual({ code: 0, signal: null });
    await worker.line(({ json }) => json?.['hold_ms'] === 120_000, 'word of the hold');
    // Well past the lease; by its end a worker that knew of no hold would have aborted the handler.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    await startCoordinator([...lease, '--listen', first.address]);
    expect(await running).toBe('the whole time');
    expect(place.entries()).toHaveLength(1);
  });

  it('tells those whose task it has lost with its memory', async () => {
    const first = await startCoordinator(['--store', 'memory:']);
    await using client = createClient({ address: first.address });
    const running = client.run('echo', 'forgotten').catch((error: unknown) => error);
    await client.submit('echo', 'behind it');
    first.program.kill('SIGKILL');
    await first.program.exit();
    await startCoordinator(['--store', 'memory:', '--listen', first.address]);
    expect(await running).toMatchObject({
      code: Code.NOT_FOUND,
      reason: expect.stringMatching(/TASK_NOT_FOUND|PURGED/),
    });
  });
});

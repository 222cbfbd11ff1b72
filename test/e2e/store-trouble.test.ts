import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseSync } from '@photostructure/sqlite';
import { status as Code } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { FleetError } from '../../proto/fleet-error.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { endPrograms, startCoordinator, startWorker } from '../support/programs.js';
import { json, Stubs } from '../support/stubs.js';
import { HANDLERS, makeFolder } from './ledger.js';

afterEach(endPrograms);

/** Somebody else writes to the coordinator's database: SQLite answers BUSY until he is done. */
function lockStore(folder: string): Disposable {
  // He waits for the coordinator's own commits.
  const db = new DatabaseSync(join(folder, 'remuda.db'), { timeout: 5_000 });
  db.exec('BEGIN IMMEDIATE');
  return { [Symbol.dispose]: () => db.close() };
}

/** A coordinator with a submit that its locked store refuses, and goes on refusing. */
async function refusing(place: Awaited<ReturnType<typeof makeFolder>>) {
  const { program, address } = await startCoordinator(['--store', place.store]);
  const stubs = new Stubs(address);
  const lock = lockStore(place.folder);
  const answer = stubs.submit({ type: 'echo' }).catch((error: unknown) => FleetError.from(error));
  await program.line(({ json: line }) => line?.['msg'] === 'store-refuses', 'word of the trouble');
  const dispose = (): void => {
    lock[Symbol.dispose]();
    stubs[Symbol.dispose]();
  };
  return { program, answer, [Symbol.dispose]: dispose };
}

describe('a store that is gone', () => {
  it('ends the coordinator before it acknowledges anything that is not there', async () => {
    await using place = await makeFolder();
    const { program, address } = await startCoordinator(['--store', place.store]);
    using stubs = new Stubs(address);
    const { taskId } = await stubs.submit({ type: 'nobody' });
    const away = `${place.folder}.away`;
    renameSync(place.folder, away);
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => stubs.submit({ type: 'nobody' })));
    expect(answers.filter(({ status }) => status === 'fulfilled')).toEqual([]);
    expect(await program.exit()).toEqual({ code: 74, signal: null });
    const { json: line } = await program.line(({ json: found }) => found?.['msg'] === 'fatal', 'its last word');
    const path = join(place.folder, 'remuda.db');
    expect(line).toMatchObject({ exit_code: 74, err: { message: expect.stringContaining(`${path} was removed or`) } });

    renameSync(away, place.folder);
    const again = await startCoordinator(['--store', place.store]);
    using after = new Stubs(again.address);
    expect(await after.get(taskId)).toMatchObject({ state: TaskState.QUEUED });
    // At rest, too.
    rmSync(path);
    expect(await again.program.exit()).toEqual({ code: 74, signal: null });
  });
});

describe('a store that refuses for a while', () => {
  it('costs nothing: it is told, new tasks are refused, and what had been accepted goes on', async () => {
    await using place = await makeFolder();
    const { program, address, http } = await startCoordinator([
      ...['--store', place.store],
      ...['--heartbeat-interval', '300ms', '--lease', '1s'],
    ]);
    await startWorker(HANDLERS, address, ['--worker-id', 'w'], place);
    using stubs = new Stubs(address);
    const before = stubs.run({ task: { type: 'sleep', payload: json({ ms: 500, value: 'slept' }) } });
    await place.entered(1);
    const lock = lockStore(place.folder);
    const pending = stubs.run({ task: { type: 'echo', payload: json(1) } });
    await program.line(({ json: line }) => line?.['msg'] === 'store-refuses', 'word of the trouble');
    expect((await fetch(`http://${http}/readyz`)).status).toBe(503);
    expect(await (await fetch(`http://${http}/metrics`)).text()).toContain('remuda_store_refusing 1');
    const refused = await stubs.submit({ type: 'echo' }).catch((error: unknown) => FleetError.from(error));
    expect(refused).toMatchObject({ code: Code.UNAVAILABLE, reason: 'STORE_UNAVAILABLE' });
    // Longer than a lease and its margin: the worker goes on saying that it lives, and that must count.
    await delay(3_000);
    lock[Symbol.dispose]();
    await program.line(({ json: line }) => line?.['msg'] === 'store-recovered', 'word of its end');
    expect((await before).task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 1 });
    expect((await pending).task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 1 });
    expect(program.lines.filter(({ json: line }) => line?.['msg'] === 'worker-lost')).toEqual([]);
    expect(place.entries()).toHaveLength(2);
  });

  it('does not hold up a stop, and who waits is told', async () => {
    await using place = await makeFolder();
    using trouble = await refusing(place);
    const { program, answer } = trouble;
    program.kill('SIGTERM');
    expect(await program.exit(5_000)).toEqual({ code: 0, signal: null });
    expect(await answer).toMatchObject({ code: Code.UNAVAILABLE, reason: 'COORDINATOR_STOPPING' });
  });

  it('is left by a second signal at once, with a status and no abort', async () => {
    await using place = await makeFolder();
    using trouble = await refusing(place);
    const { program, answer } = trouble;
    program.kill('SIGTERM');
    program.kill('SIGINT');
    const { code, signal } = await program.exit(5_000);
    // The first may have been quicker.
    expect([0, 1]).toContain(code);
    expect(signal).toBeNull();
    expect(await answer).toMatchObject({ code: Code.UNAVAILABLE });
  });
});

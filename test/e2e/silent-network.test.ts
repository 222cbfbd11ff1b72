import { afterEach, describe, expect, it } from 'vitest';
import { AttemptState } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { TaskState } from '../../proto/gen/remuda/v1/task_pb.js';
import { TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { ProxyLink, type Direction } from '../chaos/proxy.js';
import { endPrograms, startCoordinator, startWorker } from '../support/programs.js';
import { json, Stubs } from '../support/stubs.js';
import { HANDLERS, makeFolder } from './ledger.js';

const links: ProxyLink[] = [];

afterEach(async () => {
  await endPrograms();
  for (const link of links.splice(0)) await link[Symbol.asyncDispose]();
});

const DIRECTIONS: readonly Direction[] = ['up', 'down', 'both'];

describe('a connection that falls silent without an end', () => {
  // Frames may still leave, or still arrive; nobody is told of anything by TCP.
  it('is given up by its worker, which goes on over a new one with what it runs: up, down or both ways', async () => {
    await using place = await makeFolder();
    // Half a lease to notice, and as much again to come back in.
    const { program, address } = await startCoordinator(['--heartbeat-interval', '200ms', '--lease', '6s']);
    const port = Number(address.split(':').at(-1));
    using stubs = new Stubs(address);
    const ways = await Promise.all(
      DIRECTIONS.map(async (direction) => {
        const link = await ProxyLink.open(direction, port);
        links.push(link);
        await startWorker(HANDLERS, link.address, ['--worker-id', direction], place);
        return { direction, link };
      }),
    );
    const tasks = await Promise.all(ways.map(() => stubs.submit({ type: 'hang-once', payload: json(null) })));
    await place.entered(ways.length);
    await expect
      .poll(async () => (await stubs.workers()).flatMap(({ attempts }) => attempts.map(({ state }) => state)))
      .toEqual(ways.map(() => AttemptState.STARTED));

    for (const { direction, link } of ways) link.strand(direction);
    const isReturn = ({ json: line }: { json: Readonly<Record<string, unknown>> | null }) =>
      line?.['msg'] === 'worker-returned';
    const returns = await program.linesThat(isReturn, ways.length, 'all workers to return');
    expect(returns.map(({ json: line }) => line?.['worker_id']).sort()).toEqual([...DIRECTIONS].sort());

    // What they hold is what they held, and the new way carries a cancel there and a report back.
    for (const { taskId } of tasks) await stubs.call(TaskService.method.cancelTask, { taskId }).response;
    await expect
      .poll(async () => (await Promise.all(tasks.map(({ taskId }) => stubs.get(taskId)))).map(({ state }) => state), {
        timeout: 10_000,
      })
      .toEqual(tasks.map(() => TaskState.CANCELLED));
    for (const { taskId } of tasks) expect(await stubs.get(taskId)).toMatchObject({ attempt: 1, releaseCount: 0 });
    expect(place.entries()).toHaveLength(tasks.length);
  });
});

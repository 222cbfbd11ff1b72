import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import type { DrainWorkersRequest } from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import { CannedCoordinator, printed, remuda, startRemuda } from './support.js';

const hoursAgo = (hours: number) => timestampFromMs(Date.now() - hours * 3_600_000);

describe('remuda queues', { timeout: 60_000 }, () => {
  it('should list all pages: what waits, for how long, and who could run it', async () => {
    const coordinator = await CannedCoordinator.start({
      queues: ({ pageToken }) =>
        pageToken === ''
          ? {
              queues: [
                {
                  ...{ type: 'echo', tasks: { queuedCount: 3, scheduledCount: 2, runningCount: 1 } },
                  ...{ oldestReadyTime: hoursAgo(2), readyWorkerCount: 4, slotCount: 8, slotFreeCount: 5 },
                },
              ],
              nextPageToken: 'more',
            }
          : { queues: [{ type: 'nobody' }] },
    });
    const { code, stdout } = await remuda(coordinator.address, ['queues']);
    expect(code).toBe(0);
    expect(stdout.split('\n').map((line) => line.split(/\s+/))).toEqual([
      ['TYPE', 'QUEUED', 'SCHEDULED', 'RUNNING', 'OLDEST', 'WORKERS', 'SLOTS', 'FREE'],
      ['echo', '3', '2', '1', '2h', '4', '8', '5'],
      ['nobody', '0', '0', '0', '-', '0', '0', '0'],
    ]);
    const json = await remuda(coordinator.address, ['queues', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ queues: [{ type: 'echo', slotFreeCount: 5 }, { type: 'nobody' }] });
  });
});

describe('remuda drain', { timeout: 60_000 }, () => {
  const busy = (attemptCount: number) => ({
    workers: [
      { workerId: 'a/0', attemptCount },
      { workerId: 'a/1', attemptCount: 0 },
    ],
    ...{ workerCount: 2, busyWorkerCount: attemptCount > 0 ? 1 : 0 },
  });

  it('should drain at once without --wait, and say who is still busy', async () => {
    const requests: DrainWorkersRequest[] = [];
    const coordinator = await CannedCoordinator.start({
      drain: (request) => {
        requests.push(request);
        return busy(3);
      },
    });
    const { code, stdout, stderr } = await remuda(coordinator.address, ['drain', 'a/*', 'b', 'a/*']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '1 of 2 still busy, with 3 running' });
    expect(stdout.split('\n').map((line) => line.split(/\s+/))).toEqual([
      ['WORKER', 'RUNNING'],
      ['a/0', '3'],
      ['a/1', '0'],
    ]);
    expect(requests).toMatchObject([{ workerPatterns: ['a/*', 'b'] }]);
    expect(requests[0]?.waitTimeout).toBeUndefined();
    const json = await remuda(coordinator.address, ['drain', 'a/*', '--json']);
    expect(JSON.parse(json.stdout)).toEqual({
      workers: [{ workerId: 'a/0', attemptCount: 3 }, { workerId: 'a/1' }],
      ...{ workerCount: 2, busyWorkerCount: 1 },
    });
  });

  it('should wait until all are idle, over a restart of the coordinator', async () => {
    const first = await CannedCoordinator.start({ drain: () => busy(2) });
    const program = startRemuda(first.address, ['drain', 'a/*', '--wait']);
    await printed(program.child.stderr, '1 of 2 still busy, with 2 running');
    first.server.forceShutdown();
    await printed(program.child.stderr, 'it keeps the drain');
    const waits: unknown[] = [];
    await CannedCoordinator.start(
      {
        drain: ({ waitTimeout }) => {
          waits.push(waitTimeout?.seconds);
          return busy(0);
        },
      },
      first.address,
    );
    expect((await program.exit()).code).toBe(0);
    expect(waits).toEqual([5n]);
  });

  it('should stop waiting after --wait-timeout with exit 4, and at Ctrl-C with 130; the drain stays', async () => {
    const coordinator = await CannedCoordinator.start({ drain: () => busy(1) });
    const late = await remuda(coordinator.address, ['drain', 'a/*', '--wait', '--wait-timeout', '50ms']);
    expect(late.code).toBe(4);
    expect(late.stdout).toContain('a/0');
    expect(late.stderr).toContain('not all are idle within 50ms: 1 of 2 still busy, with 1 running; the drain stays');
    const program = startRemuda(coordinator.address, ['drain', 'a/*', '--wait']);
    await printed(program.child.stderr, 'still busy');
    program.kill('SIGINT');
    expect((await program.exit()).code).toBe(130);
    expect(program.stderr).toContain("the drain stays, give it up with: remuda resume 'a/*'");
  });

  it('should say that nobody fits now', async () => {
    const coordinator = await CannedCoordinator.start();
    const { code, stderr } = await remuda(coordinator.address, ['drain', 'nobody']);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: 'no worker here fits; the drain holds for those that come',
    });
  });

  it.each([
    [
      ['drain', 'a b', '', 'ok', '--wait-timeout', '1s'],
      ['3 faults', '"a b"', 'PATTERN is ""', 'add --wait'],
    ],
    [['drain', ...Array.from({ length: 101 }, (_, index) => `w${index}`)], ['at most 100']],
    [['drain'], ["missing required argument 'PATTERN'"]],
    [['resume', '/x'], ['PATTERN is "/x". It must be a worker_id or a pattern']],
  ])('should exit 2 for %.60j', async (args, said) => {
    const { code, stdout, stderr } = await remuda(undefined, args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const text of said) expect(stderr).toContain(text);
  });
});

describe('remuda resume', { timeout: 60_000 }, () => {
  it('should list the drains that were given up, and exit 5 for one that is not held', async () => {
    const coordinator = await CannedCoordinator.start({
      resume: ({ workerPatterns }) => {
        if (!workerPatterns.includes('*')) {
          throw new FleetError(status.NOT_FOUND, 'DRAIN_NOT_FOUND', 'no drain fits b; held are a/*');
        }
        return { drains: [{ workerPattern: 'a/*', createTime: hoursAgo(3) }], resumedWorkerCount: 2 };
      },
    });
    expect(await remuda(coordinator.address, ['resume', '*'])).toEqual({
      ...{ code: 0, stdout: 'DRAIN  HELD\na/*      3h', stderr: '2 workers may get work again' },
    });
    expect(await remuda(coordinator.address, ['resume', 'b'])).toEqual({
      ...{ code: 5, stdout: '', stderr: 'remuda: no drain fits b; held are a/* [DRAIN_NOT_FOUND]' },
    });
  });
});

describe('remuda stats', { timeout: 60_000 }, () => {
  it('should say what the store keeps, and which drains are held', async () => {
    const coordinator = await CannedCoordinator.start({
      stats: () => ({
        store: {
          ...{ endedCount: 12n, deadLetterCount: 3n, usedBytes: 1_572_864n, limitBytes: 8n * 1_073_741_824n },
          ...{ freeBytes: 104_857_600n, minFreeBytes: 268_435_456n },
        },
        drains: [{ workerPattern: 'a/*', createTime: hoursAgo(1) }],
      }),
    });
    const { stdout } = await remuda(coordinator.address, ['stats']);
    expect(stdout).toMatch(/kept +12 ended, of these 3 dead letters\nstore +1\.5 MiB of 8\.0 GiB/);
    expect(stdout).toMatch(/disk +100\.0 MiB free, 256\.0 MiB left to what runs: new tasks are refused/);
    expect(stdout).toMatch(/DRAIN {2}HELD\na\/\* +1h/);
  });
});

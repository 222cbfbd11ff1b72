import { describe, expect, it } from 'vitest';
import { taskRequest } from '../../../client/cli/task-request.js';
import { TaskRunner } from '../../../client/cli/task-runner.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { payloadContent } from '../../../proto/payload.js';
import { CannedCoordinator } from './support.js';

const IDS = ['01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60', '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e61'] as const;

const context = { clock: { wallMs: () => Date.now(), monoMs: () => performance.now() }, random: Math.random };
const bounds = { maxInFlight: 10, maxInFlightBytes: 1_000_000 };

describe('TaskRunner', () => {
  it('should give up all tasks when the coordinator stays away', async () => {
    let arrived = 0;
    let bothArrived: (() => void) | undefined;
    const both = new Promise<void>((done) => (bothArrived = done));
    const { address, server } = await CannedCoordinator.start({
      run: () => {
        arrived += 1;
        if (arrived === 2) bothArrived?.();
        return undefined;
      },
    });
    let gone = 0;
    await using runner = new TaskRunner({ ...bounds, address, context, awayMs: 300, onGone: () => (gone += 1) });
    const { signal } = new AbortController();
    const ends = Promise.allSettled(IDS.map((id) => runner.run(taskRequest(id, 'x', undefined, {}), signal)));
    await both;
    server.forceShutdown();
    for (const end of await ends) {
      expect(end).toMatchObject({
        status: 'rejected',
        reason: { reason: 'COORDINATOR_UNREACHABLE', message: expect.stringContaining('is not back after 300ms') },
      });
    }
    expect(gone).toBe(1);
  });

  it('should give a result as the bytes that the handler gave', async () => {
    const result = { contentType: 'image/png', body: { case: 'data' as const, value: Uint8Array.of(1, 2) } };
    const { address } = await CannedCoordinator.start({
      run: () => ({ task: { state: TaskState.SUCCEEDED, result } }),
    });
    await using runner = new TaskRunner({ ...bounds, address, context, onGone: () => undefined });
    const ended = await runner.run(taskRequest(IDS[0], 'x', undefined, {}), new AbortController().signal);
    expect(ended.state).toBe(TaskState.SUCCEEDED);
    expect(ended.result?.contentType).toBe('image/png');
    expect([...payloadContent(ended.result).data]).toEqual([1, 2]);
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { WorkerState } from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import { PayloadView } from '../../../proto/gen/remuda/v1/payload_pb.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { CannedCoordinator, jsonPayload, remuda } from './support.js';

const TASK_ID = '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60';

describe('remuda get', { timeout: 60_000 }, () => {
  it('should show state, result and attempts for a person', async () => {
    const coordinator = await CannedCoordinator.start({
      get: ({ taskId }) => ({
        task: { taskId, type: 'echo', state: TaskState.SUCCEEDED, attempt: 1, result: jsonPayload('{"a":1}') },
      }),
    });
    const { code, stdout } = await remuda(coordinator.address, ['get', TASK_ID]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^id +${TASK_ID}\\ntype +echo\\nstate +SUCCEEDED\\n[^]*result +\\{"a":1\\}`));
  });

  it('should print the JSON of the answer with --json, payloads readable', async () => {
    const views: PayloadView[] = [];
    const coordinator = await CannedCoordinator.start({
      get: ({ taskId, payloadView }) => {
        views.push(payloadView);
        return { task: { taskId, state: TaskState.RUNNING } };
      },
    });
    const { code, stdout } = await remuda(coordinator.address, ['get', TASK_ID, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ task: { taskId: TASK_ID, state: 'TASK_STATE_RUNNING' } });
    expect(views).toEqual([PayloadView.VALUE]);
  });

  it('should exit 5 for a task that does not exist and 2 for what is no id', async () => {
    const coordinator = await CannedCoordinator.start({
      get: () => {
        throw new FleetError(status.NOT_FOUND, 'TASK_NOT_FOUND', 'there is no such task');
      },
    });
    expect(await remuda(coordinator.address, ['get', TASK_ID])).toEqual({
      ...{ code: 5, stdout: '', stderr: 'remuda: there is no such task [TASK_NOT_FOUND]' },
    });
    const malformed = await remuda(coordinator.address, ['get', 'x']);
    expect(malformed).toMatchObject({ code: 2, stdout: '' });
    expect(malformed.stderr).toContain('ID is "x". A task id is a whole UUID');
  });
});

describe('remuda workers', { timeout: 60_000 }, () => {
  const worker = (workerId: string) => ({
    ...{ workerId, state: WorkerState.READY, slotCount: 2, slotUsedCount: 1, host: 'h', pid: 7 },
    taskTypes: [{ type: 'echo' }],
  });
  const paged = () =>
    CannedCoordinator.start({
      workers: ({ pageToken }) =>
        pageToken === '' ? { workers: [worker('w/0')], nextPageToken: 'more' } : { workers: [worker('w/1')] },
    });

  it('should list all pages as a plain table without colours when piped', async () => {
    const { code, stdout } = await remuda((await paged()).address, ['workers']);
    expect(code).toBe(0);
    const lines = stdout.split('\n').map((line) => line.split(/\s+/));
    expect(lines[0]?.slice(0, 3)).toEqual(['WORKER', 'STATE', 'SLOTS']);
    expect(lines.slice(1).map((cells) => cells.slice(0, 3))).toEqual([
      ['w/0', 'READY', '1/2'],
      ['w/1', 'READY', '1/2'],
    ]);
    expect(stdout).not.toContain('\u001b');
  });

  it('should print all pages as one answer with --json', async () => {
    const { stdout } = await remuda((await paged()).address, ['workers', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      workers: [{ workerId: 'w/0', state: 'WORKER_STATE_READY' }, { workerId: 'w/1' }],
    });
  });

  it('should say on stderr what to start when there are none', async () => {
    const coordinator = await CannedCoordinator.start();
    const { code, stderr } = await remuda(coordinator.address, ['workers']);
    expect(code).toBe(0);
    expect(stderr).toContain('remuda-worker HANDLERS');
  });
});

describe('remuda stats', { timeout: 60_000 }, () => {
  const stats = () => ({
    version: '0.1.0',
    tasks: { queuedCount: 3 },
    totals: { submittedCount: 9_007_199_254_740_993n, reuseRate: 0.5 },
    types: [{ type: 'echo', tasks: { queuedCount: 3 }, readyWorkerCount: 1 }],
  });

  it('should count for a person, and as JSON with --json', async () => {
    const { address } = await CannedCoordinator.start({ stats });
    const { stdout } = await remuda(address, ['stats']);
    expect(stdout).toContain('3 queued');
    expect(stdout).toMatch(/reuse rate +0\.500/);
    const { stdout: json } = await remuda(address, ['stats', '--json']);
    expect(JSON.parse(json)).toMatchObject({ version: '0.1.0', totals: { submittedCount: '9007199254740993' } });
  });
});

describe('remuda', { timeout: 60_000 }, () => {
  it('should take --address before REMUDA_ADDRESS, before and after the command, and Unix sockets', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'remuda-cli-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const { address } = await CannedCoordinator.start({}, `unix:${join(directory, 's')}`);
    expect((await remuda('127.0.0.1:1', ['--address', address, 'stats'])).code).toBe(0);
    expect((await remuda('127.0.0.1:1', ['stats', '--address', address])).code).toBe(0);
  });

  it('should exit 2 for an address that is none', async () => {
    const { code, stderr } = await remuda('localhost', ['stats']);
    expect(code).toBe(2);
    expect(stderr).toContain('the address is "localhost"; it must be HOST:PORT or unix:PATH');
  });

  it('should exit 3 for a host name that means nothing, and say that it is the name', async () => {
    // No name has a label of 64 characters: no server needs to be asked.
    const address = `${'x'.repeat(64)}.invalid:7070`;
    const { code, stdout, stderr } = await remuda(address, ['stats']);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain(`the host name of ${address} cannot be resolved`);
    expect(stderr).toContain('check --address or REMUDA_ADDRESS');
  });

  it('should print help with examples on stdout and exit 0; without a command on stderr and exit 2', async () => {
    for (const args of [['--help'], ['submit', '--help'], ['dev', '--help']]) {
      const { code, stdout, stderr } = await remuda(undefined, args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('Examples:');
    }
    expect(await remuda(undefined, [])).toMatchObject({ code: 2, stdout: '' });
    expect(await remuda(undefined, ['sumbit'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean submit?'),
    });
    expect(await remuda(undefined, ['--version'])).toMatchObject({ code: 0, stdout: '0.1.0' });
  });
});

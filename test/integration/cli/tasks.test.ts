import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { FleetError } from '../../../proto/fleet-error.js';
import { PayloadView } from '../../../proto/gen/remuda/v1/payload_pb.js';
import { AttemptCharge, AttemptOutcome, TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { WatchTaskResponseSchema, type ListTasksRequest } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { CannedCoordinator, ended, jsonPayload, printed, remuda, stall, startRemuda } from './support.js';

const A = '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e60';
const B = '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e61';
const C = '01976f2e-5a10-7c3e-8b52-3f2a9d1c4e62';

const notFound = (taskId: string) => new FleetError(status.NOT_FOUND, 'TASK_NOT_FOUND', `there is no task ${taskId}`);

describe('remuda submit', { timeout: 60_000 }, () => {
  it('should send --run-at as a moment, and a span as one from now', async () => {
    const coordinator = await CannedCoordinator.start();
    const before = Date.now();
    await remuda(coordinator.address, ['submit', 'x', '--run-at', '10m']);
    await remuda(coordinator.address, ['submit', 'x', '--run-at', '2030-01-31T09:00:00.5+01:00']);
    const [span, moment] = coordinator.submitted.map(({ options }) => options?.runTime);
    const seconds = Number(span?.seconds) - before / 1_000;
    expect(seconds).toBeGreaterThanOrEqual(599);
    expect(seconds).toBeLessThan(700);
    expect(moment).toMatchObject(timestampFromMs(Date.UTC(2030, 0, 31, 8, 0, 0, 500)));
  });

  it('should print the answers of SubmitTask and of RunTask with --json, also of a task that failed', async () => {
    const coordinator = await CannedCoordinator.start({
      submit: ({ taskId }) => ({ taskId, state: TaskState.QUEUED, capableWorkerCount: 2 }),
      run: ({ task, payloadView }) => {
        expect(payloadView).toBe(PayloadView.VALUE);
        return { task: { taskId: task?.taskId ?? '', state: TaskState.DEAD_LETTERED, failure: { reason: 'NO' } } };
      },
    });
    const submitted = await remuda(coordinator.address, ['submit', 'x', '--task-id', A, '--json']);
    expect(submitted.code).toBe(0);
    expect(JSON.parse(submitted.stdout)).toEqual({ taskId: A, state: 'TASK_STATE_QUEUED', capableWorkerCount: 2 });
    const run = await remuda(coordinator.address, ['submit', 'x', '--task-id', A, '--wait', '--json']);
    expect(run.code).toBe(1);
    expect(JSON.parse(run.stdout)).toEqual({
      task: { taskId: A, state: 'TASK_STATE_DEAD_LETTERED', failure: { reason: 'NO' } },
    });
  });
});

describe('remuda list', { timeout: 60_000 }, () => {
  const paged = async () => {
    const requests: ListTasksRequest[] = [];
    const task = (taskId: string) => ({
      ...{ taskId, type: 'echo', state: TaskState.QUEUED },
      waiting: { message: 'no worker handles it' },
    });
    // The second page is empty, as a filter may make it, and the list goes on.
    const pages = [
      { tasks: [task(A)], nextPageToken: '1' },
      { nextPageToken: '2' },
      { tasks: [task(B)], nextPageToken: '3' },
      { tasks: [task(C)] },
    ];
    const coordinator = await CannedCoordinator.start({
      list: (request) => {
        requests.push(request);
        return pages[Number(request.pageToken)] ?? {};
      },
    });
    return { coordinator, requests };
  };

  it('should list all pages as a plain table when piped, with the reason of each', async () => {
    const { coordinator, requests } = await paged();
    const { code, stdout, stderr } = await remuda(coordinator.address, [
      ...['list', '--state', 'queued', '--state', 'DEAD-LETTERED', '--type', 'echo'],
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n').map((line) => line.split(/\s{2,}/))).toEqual([
      ['ID', 'TYPE', 'STATE', 'AGE', 'ATTEMPT', 'WHY'],
      ...[A, B, C].map((id) => [id, 'echo', 'QUEUED', '-', '0', 'no worker handles it']),
    ]);
    expect(requests).toHaveLength(4);
    for (const request of requests) {
      expect(request).toMatchObject({ type: 'echo', states: [TaskState.QUEUED, TaskState.DEAD_LETTERED] });
    }
  });

  it('should stop at --limit, say that there is more, and give the rest a token with --json', async () => {
    const { coordinator, requests } = await paged();
    const table = await remuda(coordinator.address, ['list', '--limit', '2']);
    expect(table.stdout).not.toContain(C);
    expect(table.stderr).toContain('the newest 2 are shown, and there are more: --limit N');
    expect(requests.map(({ pageSize }) => pageSize)).toEqual([2, 1, 1]);
    const json = await remuda(coordinator.address, ['list', '--limit', '2', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      tasks: [{ taskId: A, state: 'TASK_STATE_QUEUED' }, { taskId: B }],
      nextPageToken: '3',
    });
  });

  it('should say on stderr that there are none, and exit 5 for what the coordinator refuses', async () => {
    const none = await CannedCoordinator.start();
    expect(await remuda(none.address, ['list'])).toMatchObject({ code: 0, stderr: 'no tasks' });
    const refusing = await CannedCoordinator.start({
      list: () => {
        throw new FleetError(status.INVALID_ARGUMENT, 'INVALID_FILTER', 'no such filter');
      },
    });
    expect(await remuda(refusing.address, ['list'])).toMatchObject({ code: 5, stdout: '' });
  });
});

describe('remuda watch', { timeout: 60_000 }, () => {
  const attempt = (outcome: AttemptOutcome, number = 1) => ({ attempt: number, workerId: `w/${number}`, outcome });
  const running = { taskId: A, type: 'echo', state: TaskState.RUNNING, attempt: 1 };
  const open = { ...running, attempts: [attempt(AttemptOutcome.UNSPECIFIED)] };
  const failed = {
    ...attempt(AttemptOutcome.FAILED),
    ...{ runMs: 12, charge: AttemptCharge.FAILURE, failure: { reason: 'NO_LUCK', message: 'none' } },
  };
  const succeeded = {
    ...{ ...running, state: TaskState.SUCCEEDED, attempt: 2, result: jsonPayload('{"a":1}') },
    attempts: [failed, attempt(AttemptOutcome.SUCCEEDED, 2)],
  };

  it('should print a line for each change, and exit 0 when the task succeeded', async () => {
    const waiting = { message: 'no worker handles echo' };
    const coordinator = await CannedCoordinator.start({
      watch: () => [
        { task: { taskId: A, type: 'echo', state: TaskState.QUEUED, waiting, options: { priority: 10 } } },
        { task: open },
        { task: open },
        { task: { ...open, progress: jsonPayload('{"percent":50}') } },
        { task: { ...open, cancelRequested: true, progress: jsonPayload('{"percent":50}') } },
        { task: { ...running, state: TaskState.QUEUED, attempts: [failed], waiting: { message: 'no free slot' } } },
        { task: succeeded },
      ],
    });
    const { code, stdout, stderr } = await remuda(coordinator.address, ['watch', A]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.split('\n');
    for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ {2}/);
    expect(
      lines.map((line) =>
        line
          .slice(22)
          .replace(/\s{2,}/, ' ')
          .trim(),
      ),
    ).toEqual([
      'SUBMITTED echo, priority 10',
      'QUEUED no worker handles echo',
      'RUNNING attempt 1 on w/1',
      'PROGRESS {"percent":50}',
      'CANCELLING a cancel was asked for; the handler has been told',
      'FAILED attempt 1 on w/1 after 12ms (a failure): NO_LUCK: none',
      'QUEUED no free slot',
      'RUNNING attempt 2 on w/2',
      'SUCCEEDED attempt 2 on w/2: {"a":1}',
    ]);
  });

  it('should print each answer on a line with --json, and exit 1 when the task did not succeed', async () => {
    const task = { ...running, state: TaskState.DEAD_LETTERED, failure: { reason: 'NO_LUCK' } };
    const coordinator = await CannedCoordinator.start({
      watch: ({ payloadView }) => {
        expect(payloadView).toBe(PayloadView.VALUE);
        return [
          { task: open, resumeToken: 'a' },
          { task, resumeToken: 'b' },
        ];
      },
    });
    const { code, stdout } = await remuda(coordinator.address, ['watch', A, '--json']);
    expect(code).toBe(1);
    expect(stdout.split('\n').map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { task: { taskId: A, state: 'TASK_STATE_RUNNING' }, resumeToken: 'a' },
      { task: { state: 'TASK_STATE_DEAD_LETTERED', failure: { reason: 'NO_LUCK' } }, resumeToken: 'b' },
    ]);
  });

  it('should take up the watch with its token when the coordinator goes away and comes back', async () => {
    const first = await CannedCoordinator.start({
      watch: (_request, call) => {
        call.write({ $typeName: 'remuda.v1.WatchTaskResponse', resumeToken: 'so far' });
        return [];
      },
    });
    const program = startRemuda(first.address, ['watch', A, '--json']);
    await program.line(({ text }) => text.includes('so far'), 'first answer');
    first.server.forceShutdown();
    await printed(program.child.stderr, 'the coordinator went away');
    const tokens: string[] = [];
    await CannedCoordinator.start(
      {
        watch: ({ resumeToken }) => {
          tokens.push(resumeToken);
          return [{ task: succeeded }];
        },
      },
      first.address,
    );
    expect((await program.exit()).code).toBe(0);
    expect(tokens).toEqual(['so far']);
  });

  it.skipIf(process.platform === 'win32')('should end at Ctrl-C while nobody reads what it prints', async () => {
    const progress = jsonPayload(`"${'x'.repeat(1_000_000)}"`);
    const { address } = await CannedCoordinator.start({
      watch: (_request, call) => {
        call.write(create(WatchTaskResponseSchema, { task: { ...open, progress } }));
        return [];
      },
    });
    const program = startRemuda(address, ['watch', A, '--json']);
    await stall(program);
    program.kill('SIGINT');
    expect(await ended(program)).toBe(130);
    expect(program.stderr).toContain(`remuda get ${A}`);
  });

  it('should exit 5 for an unknown id, and 130 at Ctrl-C, naming the task that goes on', async () => {
    const coordinator = await CannedCoordinator.start({
      watch: ({ taskId }, call) => {
        if (taskId === B) throw notFound(B);
        call.write({ $typeName: 'remuda.v1.WatchTaskResponse', resumeToken: 'so far' });
        return [];
      },
    });
    expect(await remuda(coordinator.address, ['watch', B])).toEqual({
      ...{ code: 5, stdout: '', stderr: `remuda: there is no task ${B} [TASK_NOT_FOUND]` },
    });
    const program = startRemuda(coordinator.address, ['watch', A, '--json']);
    await program.line(() => true, 'first answer');
    program.kill('SIGINT');
    expect((await program.exit()).code).toBe(130);
    expect(program.stderr).toBe(`no longer watching; the task goes on, see it with: remuda get ${A}`);
  });
});

describe('remuda cancel', { timeout: 60_000 }, () => {
  it('should print where each stands, and how to see the end of one that runs', async () => {
    const coordinator = await CannedCoordinator.start({
      cancel: ({ taskId }) => ({ taskId, state: taskId === A ? TaskState.CANCELLED : TaskState.RUNNING }),
    });
    expect(await remuda(coordinator.address, ['cancel', A.toUpperCase(), B])).toEqual({
      code: 0,
      stdout: `${A}  CANCELLED\n${B}  RUNNING`,
      stderr: `its handler has been told; see the end with: remuda watch ${B}`,
    });
    const { stdout } = await remuda(coordinator.address, ['cancel', A, B, '--json']);
    expect(stdout.split('\n').map((line) => JSON.parse(line) as unknown)).toEqual([
      { taskId: A, state: 'TASK_STATE_CANCELLED' },
      { taskId: B, state: 'TASK_STATE_RUNNING' },
    ]);
  });

  it('should cancel the others when one is refused, say which, and exit 5', async () => {
    const cancelled: string[] = [];
    const coordinator = await CannedCoordinator.start({
      cancel: ({ taskId }) => {
        if (taskId === B) throw new FleetError(status.FAILED_PRECONDITION, 'TASK_ENDED', 'it is SUCCEEDED');
        cancelled.push(taskId);
        return { state: TaskState.CANCELLED };
      },
    });
    const { code, stdout, stderr } = await remuda(coordinator.address, ['cancel', A, B, C]);
    expect({ code, stdout }).toEqual({ code: 5, stdout: `${A}  CANCELLED\n${C}  CANCELLED` });
    expect(stderr).toBe(`remuda: ${B}: it is SUCCEEDED [TASK_ENDED]\n1 of 3 were refused`);
    expect(cancelled.sort()).toEqual([A, C]);
    expect(await remuda(coordinator.address, ['cancel', B])).toMatchObject({
      ...{ code: 5, stderr: 'remuda: it is SUCCEEDED [TASK_ENDED]' },
    });
  });

  it('should exit 3 when nobody answers, and tell all that are no ids at once', async () => {
    const { address, server } = await CannedCoordinator.start();
    server.forceShutdown();
    const nobody = await remuda(address, ['cancel', A, B]);
    expect(nobody.code).toBe(3);
    expect(nobody.stderr.split('\n')).toHaveLength(1);
    const { code, stderr } = await remuda(address, ['cancel', 'x', A, A.slice(0, 8)]);
    expect(code).toBe(2);
    expect(stderr).toContain('the command line has 2 faults:');
    expect(stderr).toContain('ID is "x". A task id is a whole UUID');
    expect(stderr).toContain(`ID is "${A.slice(0, 8)}"`);
  });
});

describe('remuda dlq', { timeout: 60_000 }, () => {
  const failure = { reason: 'NO_LUCK', message: 'none at all', stack: 'Error: none\n    at \u001b[31mwork' };
  const dead = (taskId: string) => ({ taskId, type: 'x', state: TaskState.DEAD_LETTERED, attempt: 3, failure });

  it('should list dead letters alone, with the reason of each', async () => {
    const coordinator = await CannedCoordinator.start({
      list: ({ states, type }) => {
        expect(states).toEqual([TaskState.DEAD_LETTERED]);
        return type === 'x' ? { tasks: [dead(A), dead(B)] } : {};
      },
    });
    const { code, stdout } = await remuda(coordinator.address, ['dlq', 'list', '--type', 'x']);
    expect(code).toBe(0);
    expect(stdout.split('\n')[1]?.split(/\s{2,}/)).toEqual([A, 'x', '-', '3', 'NO_LUCK', 'none at all']);
    expect(await remuda(coordinator.address, ['dlq', 'list'])).toMatchObject({ code: 0, stderr: 'no dead letters' });
  });

  it('should show one with its stack, and refuse what is none', async () => {
    const coordinator = await CannedCoordinator.start({
      get: ({ taskId }) => ({ task: taskId === A ? dead(A) : { taskId, state: TaskState.SUCCEEDED } }),
    });
    const { code, stdout } = await remuda(coordinator.address, ['dlq', 'show', A]);
    expect(code).toBe(0);
    expect(stdout).toContain('NO_LUCK: none at all');
    expect(stdout).toContain('stack:\n  Error: none\n      at \\u001b[31mwork');
    const other = await remuda(coordinator.address, ['dlq', 'show', B]);
    expect(other).toMatchObject({ code: 5, stdout: '' });
    expect(other.stderr).toContain(`task ${B} is no dead letter: it is SUCCEEDED; see it with: remuda get ${B}`);
  });

  it.each(['requeue', 'delete'] as const)('should %s the others when one is refused, and exit 5', async (name) => {
    const coordinator = await CannedCoordinator.start({ change: (id) => (id === B ? notFound(B) : undefined) });
    const { code, stdout, stderr } = await remuda(coordinator.address, ['dlq', name, A, B, C]);
    expect({ code, stdout }).toEqual({ code: 5, stdout: `${A}\n${C}` });
    expect(stderr).toBe(`remuda: ${B}: there is no task ${B} [TASK_NOT_FOUND]\n1 of 3 were refused`);
    expect(name === 'requeue' ? coordinator.requeued : coordinator.deleted).toEqual([[A, B, C]]);
    const json = await remuda(coordinator.address, ['dlq', name, A, B, '--json']);
    expect(json.code).toBe(5);
    expect(JSON.parse(json.stdout)).toEqual({
      results: [
        { taskId: A },
        {
          taskId: B,
          error: {
            ...{ code: status.NOT_FOUND, message: `there is no task ${B}` },
            details: [
              {
                '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
                ...{ reason: 'TASK_NOT_FOUND', domain: 'remuda' },
              },
            ],
          },
        },
      ],
    });
  });

  it('should take all dead letters page by page with --all, and say how many', async () => {
    const coordinator = await CannedCoordinator.start({
      list: ({ pageToken, states, type }) => {
        expect({ states, type }).toEqual({ states: [TaskState.DEAD_LETTERED], type: 'x' });
        if (pageToken === '') return { tasks: [dead(A), dead(B)], nextPageToken: 'more' };
        return pageToken === 'more' ? { nextPageToken: 'last' } : { tasks: [dead(C)] };
      },
    });
    expect(await remuda(coordinator.address, ['dlq', 'requeue', '--all', '--type', 'x'])).toEqual({
      ...{ code: 0, stdout: `${A}\n${B}\n${C}`, stderr: '3 requeued' },
    });
    expect(coordinator.requeued).toEqual([[A, B], [C]]);
  });

  it.each([
    [['requeue'], 'give ids, or --all'],
    [['delete', A, '--all'], 'leave one of both out'],
    [['delete', A, '--type', 'x'], 'add --all'],
    [['show', 'x'], 'ID is "x". A task id is a whole UUID'],
    [['list', '--limit', '0'], '--limit is "0"'],
    [[], 'Usage: remuda dlq'],
  ])('should exit 2 for %j', async (args, said) => {
    const { code, stdout, stderr } = await remuda(undefined, ['dlq', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(said);
  });
});

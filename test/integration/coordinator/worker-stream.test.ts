import { status as Code } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AttemptState, WorkerState } from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import type { AttemptRef } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, parsed, Stubs } from '../../support/stubs.js';
import { ended, incarnation, poll, RawWorker, type FrameInit, type RawWorkerOptions } from './support.js';

const BOUND_BYTES = 2_048;
/** Beyond all waits of these tests: what moves, moves for another reason. */
const LEASE = '10m';
let address: string;
let stubs: Stubs;
const workers: RawWorker[] = [];
let names = 0;
/** Its 10 s pass while the other tests run. */
let mute: RawWorker;

beforeAll(async () => {
  const args = ['--heartbeat-interval', '5m', '--lease', LEASE, '--max-payload-bytes', String(BOUND_BYTES)];
  ({ address } = await startCoordinator(args));
  stubs = new Stubs(address);
  mute = new RawWorker(address, { mute: true });
});

afterEach(() => {
  for (const worker of workers.splice(0)) worker[Symbol.dispose]();
});

afterAll(async () => {
  mute[Symbol.dispose]();
  stubs[Symbol.dispose]();
  await endPrograms();
});

function dial(options: RawWorkerOptions = {}): RawWorker {
  const worker = new RawWorker(address, options);
  workers.push(worker);
  return worker;
}

async function join(options: RawWorkerOptions = {}): Promise<RawWorker> {
  const worker = dial(options);
  await worker.frame(({ welcome }) => welcome !== undefined, 'welcome');
  return worker;
}

/** A worker_id and a type that no other test uses. */
function fresh() {
  names += 1;
  return { workerId: `w-${names}`, taskTypes: [{ type: `type-${names}` }], type: `type-${names}` };
}

async function withAttempt(options: RawWorkerOptions = {}) {
  const { type, ...hello } = fresh();
  const worker = await join({ ...options, hello: { ...hello, ...options.hello } });
  const { taskId } = await stubs.submit({ type, payload: json(1) });
  const { attempt } = await worker.assignment();
  if (attempt === undefined) throw new Error('no attempt');
  return { worker, type, taskId, attempt, hello: worker.hello };
}

async function held(workerId: string | undefined, state: AttemptState): Promise<void> {
  await poll(
    () => stubs.workers(),
    (all) => all.find((worker) => worker.workerId === workerId)?.attempts[0]?.state === state,
    `attempt in state ${AttemptState[state]}`,
  );
}

describe('Connect, the hello', () => {
  it('welcomes with the terms', async () => {
    const { welcome, seq, ack } = (await join({ hello: fresh() })).frames[0] ?? {};
    expect({ seq, ack }).toEqual({ seq: 1n, ack: 1n });
    expect(welcome).toMatchObject({
      heartbeatIntervalMs: 300_000,
      leaseMs: 600_000,
      maxPayloadBytes: BOUND_BYTES,
      stuckGraceMs: 10_000,
      keep: [],
      cancel: [],
      wantedReports: [],
    });
    expect(welcome?.coordinatorVersion).toMatch(/^\d+\./);
  });

  it('names every fault of a hello', async () => {
    const error = await dial({ hello: { workerId: 'a b', incarnation: 'x', slots: 0, taskTypes: [] } }).end();
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_HELLO' });
    expect(error.violations.map(({ field }) => field)).toEqual([
      'hello.worker_id',
      'hello.incarnation',
      'hello.slots',
      'hello.task_types',
    ]);
  });

  it('refuses a first frame that is no hello', async () => {
    const worker = dial({ mute: true });
    worker.say({ heartbeat: {} });
    expect(await worker.end()).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'FIRST_FRAME_NOT_HELLO' });
  });

  it('refuses a second hello', async () => {
    const worker = await join({ hello: fresh() });
    worker.say({ hello: worker.hello });
    expect(await worker.end()).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'SECOND_HELLO' });
  });
});

describe('Connect, frames', () => {
  it.each<[string, FrameInit, string]>([
    ['a gap in seq', { seq: 3n, ack: 1n }, 'seq'],
    ['an ack of what was never sent', { seq: 2n, ack: 9n }, 'ack'],
    ['a bare acknowledgement that says something', { ack: 1n, heartbeat: {} }, 'seq'],
    ['a report without its fence', { seq: 2n, ack: 1n, reports: [{}] }, 'reports[0].attempt.task_id'],
  ])('ends the stream for %s', async (_what, frame, field) => {
    const worker = await join({ hello: fresh() });
    worker.raw(frame);
    const error = await worker.end();
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_FRAME' });
    expect(error.violations[0]?.field).toBe(field);
  });

  it('acknowledges by itself, without a word of its own', async () => {
    const worker = await join({ hello: fresh() });
    worker.say({ heartbeat: {} });
    const { seq } = await worker.frame(({ ack }) => ack === 2n, 'acknowledgement');
    expect(seq).toBe(0n);
  });

  it('tells an assignment apart that has arrived', async () => {
    const { worker, hello } = await withAttempt({ deaf: true });
    await held(hello.workerId, AttemptState.SENT);
    worker.listen();
    await held(hello.workerId, AttemptState.HELD);
  });

  it('acknowledges a report once it is durable, and a repeat of it too', async () => {
    const { worker, taskId, attempt } = await withAttempt();
    worker.report(attempt, 'done');
    await worker.frame(({ reportAcks }) => reportAcks[0]?.accepted === true, 'answer to the report');
    expect((await stubs.get(taskId)).state).toBe(TaskState.SUCCEEDED);
    worker.report(attempt, 'done');
    await worker.frame(() => worker.frames.flatMap(({ reportAcks }) => reportAcks).length === 2, 'second answer');
    expect(worker.frames.flatMap(({ reportAcks }) => reportAcks)).toMatchObject([
      { attempt, accepted: true },
      { attempt, accepted: true },
    ]);
  });

  it('refuses a report of a task that it does not know', async () => {
    const worker = await join({ hello: fresh() });
    const attempt = { taskId: '00000000-0000-4000-8000-000000000000', attempt: 1, leaseId: '0'.repeat(16) };
    worker.report(attempt as AttemptRef, 1);
    const frame = await worker.frame(({ reportAcks }) => reportAcks.length > 0, 'answer to the report');
    expect(frame.reportAcks).toMatchObject([{ attempt, accepted: false, reason: 'UNKNOWN_TASK' }]);
  });

  it('takes a result over the bound as a failure of the task, and keeps the worker', async () => {
    const { worker, taskId, attempt } = await withAttempt();
    worker.report(attempt, 'x'.repeat(BOUND_BYTES));
    const task = await ended(stubs, taskId);
    expect(task).toMatchObject({ state: TaskState.DEAD_LETTERED, failure: { reason: 'RESULT_TOO_LARGE' } });
    expect(worker.open).toBe(true);
  });

  it('hands an attempt that is given back to another worker', async () => {
    const { worker, type, taskId, attempt } = await withAttempt();
    const other = await join({ hello: { ...fresh(), taskTypes: [{ type }] } });
    worker.say({ notStarted: [attempt], leaving: { drainTimeoutMs: 1_000 } });
    const { drain } = await worker.frame((frame) => frame.drain !== undefined, 'drain');
    expect(drain?.deadlineMs).toBe(1_000);
    const again = await other.assignment();
    expect(again.attempt).toMatchObject({ taskId, attempt: 2 });
    other.report(again.attempt, 'there');
    expect(await ended(stubs, taskId)).toMatchObject({ state: TaskState.SUCCEEDED, releaseCount: 1, failureCount: 0 });
  });

  it('takes a stream that its worker ends as gone, and waits for what it holds', async () => {
    const { worker, taskId, hello } = await withAttempt();
    worker.close();
    expect((await worker.end()).code).toBe(Code.OK);
    await poll(
      () => stubs.workers(),
      (all) => all.find(({ workerId }) => workerId === hello.workerId)?.state === WorkerState.DISCONNECTED,
      'disconnected worker',
    );
    expect((await stubs.get(taskId)).state).toBe(TaskState.RUNNING);
  });

  it('gives a worker that does not acknowledge nothing new, until it does', async () => {
    const { worker, type, hello } = await withAttempt({ deaf: true, hello: { slots: 3 } });
    const stateIs = (state: WorkerState) =>
      poll(
        () => stubs.workers(),
        (all) => all.find(({ workerId }) => workerId === hello.workerId)?.state === state,
        `worker in state ${WorkerState[state]}`,
      );
    await stateIs(WorkerState.SUSPECT);
    expect(await stubs.submit({ type })).toMatchObject({ state: TaskState.QUEUED });
    worker.listen();
    await stateIs(WorkerState.READY);
    expect((await worker.assignment(1)).attempt?.attempt).toBe(1);
  });
});

describe('Connect, a worker that does not read', () => {
  it('loses what has not left for it to others, and is used again once it reads', async () => {
    const big = await startCoordinator(['--heartbeat-interval', '5m', '--lease', LEASE]);
    using few = new Stubs(big.address);
    using slow = await RawWorker.join(big.address, { hello: { workerId: 'slow', slots: 200 } });
    slow.reading = false;
    // Far more than HTTP/2 lets out to a peer that does not read.
    const payload = { contentType: 'text/plain', body: { case: 'data' as const, value: new Uint8Array(300_000) } };
    await Promise.all(Array.from({ length: 40 }, () => few.submit({ type: 'echo', payload })));
    const stats = await poll(
      () => few.stats(),
      ({ tasks }) => (tasks?.queuedCount ?? 0) + (tasks?.scheduledCount ?? 0) > 0,
      'tasks that are taken back',
    );
    expect(stats).toMatchObject({ workers: { readyCount: 0, suspectCount: 1 } });

    using other = await RawWorker.join(big.address, { hello: { workerId: 'other', slots: 200 } });
    expect((await other.assignment()).payload?.body.value).toHaveLength(300_000);
    slow.reading = true;
    await poll(
      () => few.stats(),
      ({ workers: counts }) => counts?.readyCount === 2,
      'recovery of the slow one',
    );
    const both = [slow, other];
    await poll(
      () => Promise.resolve(new Set(both.flatMap(({ frames }) => taskIds(frames)))),
      ({ size }) => size === 40,
      'all tasks with a worker',
    );
    expect(both.flatMap(({ frames }) => taskIds(frames))).toHaveLength(40);
  });

  function taskIds(frames: RawWorker['frames']): string[] {
    return frames.flatMap(({ assignments }) => assignments.map(({ attempt }) => attempt?.taskId ?? ''));
  }
});

describe('Connect, a worker that comes back', () => {
  it('goes on with what runs, and takes the report', async () => {
    const { worker, taskId, attempt, hello } = await withAttempt();
    worker.say({ started: [attempt] });
    worker[Symbol.dispose]();
    const back = await join({ hello: { ...hello, sessionNumber: 2, running: [{ attempt, started: true }] } });
    expect(back.frames[0]?.welcome).toMatchObject({ keep: [attempt], cancel: [] });
    back.report(attempt, 'kept');
    const task = await ended(stubs, taskId);
    expect(task).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 1 });
    expect(parsed(task.result)).toBe('kept');
  });

  it('still wants the report of what ended meanwhile', async () => {
    const { worker, taskId, attempt, hello } = await withAttempt();
    worker[Symbol.dispose]();
    const back = await join({ hello: { ...hello, sessionNumber: 2, unsentReports: [attempt] } });
    expect(back.frames[0]?.welcome?.wantedReports).toMatchObject([attempt]);
    back.report(attempt, 'late');
    expect(await ended(stubs, taskId)).toMatchObject({ state: TaskState.SUCCEEDED, attempt: 1 });
  });

  it('gets again what it never received, as another attempt', async () => {
    const { worker, taskId, hello } = await withAttempt({ deaf: true });
    worker[Symbol.dispose]();
    const back = await join({ hello: { ...hello, sessionNumber: 2 } });
    expect((await back.assignment()).attempt).toMatchObject({ taskId, attempt: 2 });
  });

  it('is told to abort what is not its own', async () => {
    const hello = fresh();
    const attempt = { taskId: '00000000-0000-4000-8000-000000000001', attempt: 1, leaseId: '0'.repeat(16) };
    const worker = await join({ hello: { ...hello, running: [{ attempt, started: true }] } });
    expect(worker.frames[0]?.welcome).toMatchObject({ keep: [], cancel: [attempt] });
  });

  it('replaces its own older stream', async () => {
    const { worker, attempt, hello } = await withAttempt();
    const newer = await join({ hello: { ...hello, sessionNumber: 2, running: [{ attempt, started: false }] } });
    expect(await worker.end()).toMatchObject({ code: Code.ABORTED, reason: 'STALE_SESSION' });
    expect(newer.frames[0]?.welcome?.keep).toMatchObject([attempt]);
  });

  it('is refused with a stream older than its newest', async () => {
    const hello = { ...fresh(), incarnation: incarnation(), sessionNumber: 2 };
    const newest = await join({ hello });
    const old = dial({ hello: { ...hello, sessionNumber: 1 } });
    expect(await old.end()).toMatchObject({ code: Code.ABORTED, reason: 'STALE_SESSION' });
    expect(newest.open).toBe(true);
  });
});

describe('Connect, another process with the same worker_id', () => {
  it('takes over; what the old one holds stays with it', async () => {
    const { worker, taskId, hello } = await withAttempt();
    const successor = await join({ hello: { ...hello, incarnation: incarnation() } });
    const error = await worker.end();
    expect(error).toMatchObject({ code: Code.ABORTED, reason: 'SUPERSEDED' });
    expect(error.message).toContain(hello.workerId);
    expect(await stubs.get(taskId)).toMatchObject({ state: TaskState.RUNNING, attempt: 1 });
    expect(successor.open).toBe(true);
    const late = dial({ hello: { ...hello, sessionNumber: 2 } });
    expect(await late.end()).toMatchObject({ code: Code.ABORTED, reason: 'SUPERSEDED' });
  });

  it('gets at once what an old one held that it knows to be dead', async () => {
    const { worker, taskId, attempt, hello } = await withAttempt();
    worker.say({ started: [attempt] });
    await held(hello.workerId, AttemptState.STARTED);
    worker[Symbol.dispose]();
    const replaces = [hello.incarnation ?? ''];
    const successor = await join({ hello: { ...hello, incarnation: incarnation(), replaces } });
    const again = await successor.assignment();
    expect(again.attempt).toMatchObject({ taskId, attempt: 2 });
    successor.report(again.attempt, 1);
    expect(await ended(stubs, taskId)).toMatchObject({ state: TaskState.SUCCEEDED, crashCount: 1, failureCount: 0 });
  });
});

describe('Connect, bounds of time and number', () => {
  it('ends a stream that says nothing for 10 s', async () => {
    expect(await mute.end()).toMatchObject({ code: Code.DEADLINE_EXCEEDED, reason: 'HELLO_TIMEOUT' });
  });

  it('ends the stream of a worker whose lease is over, and moves what it holds', async () => {
    const short = await startCoordinator(['--heartbeat-interval', '100ms', '--lease', '1s']);
    using few = new Stubs(short.address);
    using silent = await RawWorker.join(short.address, { hello: { workerId: 'silent' } });
    const { taskId } = await few.submit({ type: 'echo' });
    const { attempt } = await silent.assignment();
    if (attempt === undefined) throw new Error('no attempt');
    silent.say({ started: [attempt] });
    expect(await silent.end()).toMatchObject({ code: Code.UNAVAILABLE, reason: 'LEASE_LOST' });
    using other = await RawWorker.join(short.address, { hello: { workerId: 'other' } });
    expect((await other.assignment()).attempt).toMatchObject({ taskId, attempt: 2 });
  });

  it('ends the stream of a worker whose frames arrive and acknowledge nothing, and hands out again what it holds', async () => {
    const short = await startCoordinator(['--heartbeat-interval', '100ms', '--lease', '1s']);
    using few = new Stubs(short.address);
    using deaf = await RawWorker.join(short.address, { hello: { workerId: 'deaf' }, deaf: true });
    const { taskId } = await few.submit({ type: 'echo' });
    await deaf.assignment();
    // Its lease never ends: each look is a heartbeat, too.
    const beats = async (): Promise<boolean> => {
      if (deaf.open) deaf.say({ heartbeat: {} });
      return Promise.resolve(deaf.open);
    };
    await poll(beats, (open) => !open, 'end of the stream');
    const error = await deaf.end();
    expect(error).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'SLOW_READER' });
    expect(error.message).toMatch(/"deaf" has acknowledged nothing for \d+ ms/);
    using back = await RawWorker.join(short.address, { hello: { ...deaf.hello, sessionNumber: 2 } });
    expect((await back.assignment()).attempt).toMatchObject({ taskId, attempt: 2 });
  });

  it('refuses a worker beyond --max-workers', async () => {
    const small = await startCoordinator(['--max-workers', '1']);
    using first = await RawWorker.join(small.address, { hello: { workerId: 'first' } });
    using second = new RawWorker(small.address, { hello: { workerId: 'second' } });
    const error = await second.end();
    expect(error).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'FLEET_FULL' });
    expect(first.open).toBe(true);
  });
});

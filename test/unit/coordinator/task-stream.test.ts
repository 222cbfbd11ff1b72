import { randomUUID } from 'node:crypto';
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import type { TaskRow } from '../../../coordinator/core/task.js';
import { TaskStream } from '../../../coordinator/services/task-stream.js';
import {
  OpenTaskStreamRequestSchema,
  OpenTaskStreamResponseSchema,
  type StreamResult,
} from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { aRow } from '../../store/rows.js';
import { StubEngine } from './stub-engine.js';

function setup() {
  const engine = new StubEngine();
  const bugs: unknown[] = [];
  const parse = () => {
    throw new Error('nothing is submitted here');
  };
  const stream = new TaskStream({ engine, parse, onDirty: () => undefined, onBug: (error) => bugs.push(error) });
  const say = (frame: MessageInitShape<typeof OpenTaskStreamRequestSchema>) =>
    stream.frame(create(OpenTaskStreamRequestSchema, frame));
  return { engine, stream, say, bugs };
}

type Setup = ReturnType<typeof setup>;

const ids = (count: number): string[] => Array.from({ length: count }, () => randomUUID());

/** Awaits these, and returns the token of the stream. */
function awaits({ engine, say }: Setup, taskIds: readonly string[]): number {
  for (let at = 0; at < taskIds.length; at += 1_024) say({ awaits: taskIds.slice(at, at + 1_024) });
  return engine.take('await')[0]?.token ?? -1;
}

function ended(taskId: string, change: Partial<TaskRow>, bytes = 2) {
  const row = aRow({ taskId, state: 'SUCCEEDED', endWallMs: 1, ...change });
  const result = { contentType: 'application/json', data: new Uint8Array(bytes).fill(32) };
  return { kind: 'ended', taskId, row, result: row.state === 'SUCCEEDED' ? result : null } as const;
}

/** All frames that can go now, as the results in each, and the bytes of the largest. */
function takeAll({ stream }: Setup): { results: StreamResult[]; largestBytes: number } {
  const results: StreamResult[] = [];
  let largestBytes = 0;
  for (let bytes = stream.takeFrame(); bytes !== undefined; bytes = stream.takeFrame()) {
    results.push(...fromBinary(OpenTaskStreamResponseSchema, bytes).results);
    largestBytes = Math.max(largestBytes, bytes.byteLength);
  }
  return { results, largestBytes };
}

describe('a client that does not read', () => {
  it('is read no more when as many ends wait for it as it may await', () => {
    const fixture = setup();
    const { engine, stream } = fixture;
    for (let round = 0; round < 8; round += 1) {
      const taskIds = ids(8_192);
      const token = awaits(fixture, taskIds);
      expect(stream.isClogged).toBe(false);
      for (const taskId of taskIds) engine.reply(token, { kind: 'taskNotFound', taskId });
    }
    const token = awaits(fixture, ids(1));
    engine.reply(token, { kind: 'taskNotFound', taskId: randomUUID() });
    const late = ids(1);
    awaits(fixture, late);
    engine.reply(token, { kind: 'taskNotFound', taskId: late[0] ?? '' });
    expect(stream.isClogged).toBe(true);
    expect(takeAll(fixture).results).toHaveLength(8 * 8_192 + 1);
    expect(stream.isClogged).toBe(false);
  });

  it('is told in order what waits in memory and what the store has', () => {
    const fixture = setup();
    const { engine } = fixture;
    const taskIds = ids(60);
    const token = awaits(fixture, taskIds);
    // The outbox has room for 4 MiB: what comes after that waits as ids, until there is room again.
    for (const taskId of taskIds.slice(0, 40)) engine.reply(token, ended(taskId, {}, 500_000));
    const told = takeAll(fixture).results.map(({ taskId }) => taskId);
    for (const taskId of taskIds.slice(40)) engine.reply(token, ended(taskId, {}));
    for (let reads = engine.take('getTask'); reads.length > 0; reads = engine.take('getTask')) {
      expect(reads.length).toBeLessThanOrEqual(16);
      for (const { token: readToken, taskId } of reads) {
        const { row, result } = ended(taskId, {}, 500_000);
        told.push(...takeAll(fixture).results.map((one) => one.taskId));
        const task = { row, body: null, result };
        engine.reply(readToken, { kind: 'task', task, waiting: null, progress: null });
        told.push(...takeAll(fixture).results.map((one) => one.taskId));
      }
    }
    expect(told).toEqual(taskIds);
  });
});

describe('ends of tasks that did not succeed', () => {
  it('share frames by what their failures and attempts take', () => {
    const fixture = setup();
    const taskIds = ids(300);
    const token = awaits(fixture, taskIds);
    const failure = { reason: 'BROKEN', message: 'm'.repeat(2_000), nonRetryable: false, stack: 's'.repeat(8_000) };
    for (const taskId of taskIds) fixture.engine.reply(token, ended(taskId, { state: 'DEAD_LETTERED', failure }));
    const { results, largestBytes } = takeAll(fixture);
    expect(results).toHaveLength(300);
    expect(largestBytes).toBeLessThan(512 * 1_024);
  });
});

describe('a task that is put back in the queue before its end was read', () => {
  const queued = (taskId: string) => {
    const row = aRow({ taskId, state: 'QUEUED' });
    return { kind: 'task', task: { row, body: null, result: null }, waiting: null, progress: null } as const;
  };

  it('is awaited again', () => {
    const fixture = setup();
    const [taskId = ''] = ids(1);
    const token = awaits(fixture, [taskId]);
    fixture.engine.reply(token, queued(taskId));
    expect(takeAll(fixture).results).toEqual([]);
    expect(fixture.engine.take('await')).toMatchObject([{ taskId, token, want: 'end' }]);
    fixture.engine.reply(token, ended(taskId, {}));
    expect(takeAll(fixture).results).toMatchObject([{ taskId }]);
  });

  it('is not if nobody wants it any more', () => {
    const fixture = setup();
    const [taskId = ''] = ids(1);
    const token = awaits(fixture, [taskId]);
    fixture.say({ detaches: [taskId] });
    fixture.engine.reply(token, queued(taskId));
    expect(fixture.engine.take('await')).toEqual([]);
  });
});

describe('a detach of what was never awaited', () => {
  it('makes no work', () => {
    const fixture = setup();
    fixture.say({ detaches: ids(1_024) });
    expect(fixture.engine.inputs).toEqual([]);
  });
});

import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import { create, fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import type { TaskRow } from '../../../coordinator/core/task.js';
import { Watches } from '../../../coordinator/services/watches.js';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { WatchTaskRequestSchema, WatchTaskResponseSchema } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { aRow } from '../../store/rows.js';
import { StubEngine } from './stub-engine.js';

/** A watcher that reads when the test says so. */
class StubCall extends EventEmitter {
  readonly states: string[] = [];
  over = false;
  readonly #written: (() => void)[] = [];

  constructor(readonly request: ReturnType<typeof create<typeof WatchTaskRequestSchema>>) {
    super();
  }

  write(bytes: Buffer, written: () => void): void {
    const { task } = fromBinary(WatchTaskResponseSchema, bytes);
    this.states.push(TaskState[task?.state ?? 0] ?? '');
    this.#written.push(written);
  }

  end(): void {
    this.over = true;
  }

  read(): void {
    for (const written of this.#written.splice(0)) written();
  }
}

function setup() {
  const engine = new StubEngine();
  const taskId = randomUUID();
  const call = new StubCall(create(WatchTaskRequestSchema, { taskId }));
  const watches = new Watches({
    engine,
    onBug: (error) => {
      throw error;
    },
  });
  watches.accept(call as unknown as Parameters<typeof watches.accept>[0]);
  const [{ token } = { token: -1 }] = engine.take('await');
  /** Answers the read under way. */
  const answer = (change: Partial<TaskRow>): void => {
    const [read] = engine.take('getTask');
    if (read === undefined) throw new Error('nothing is read');
    const row = aRow({ taskId, ...change });
    const data = new Uint8Array(100_000);
    const body = { payload: { contentType: 'text/plain', data }, metadata: {}, traceparent: '' };
    engine.reply(read.token, { kind: 'task', task: { row, body, result: null }, waiting: null, progress: null });
  };
  return { engine, call, watches, token, taskId, answer };
}

describe('a watcher that reads slowly', () => {
  it('skips what is outdated, never the end', () => {
    const { engine, call, token, taskId, answer } = setup();
    answer({ state: 'RUNNING', revision: 1 });
    for (let n = 0; n < 5; n += 1) engine.reply(token, { kind: 'changed', taskId });
    expect(engine.take('getTask')).toEqual([]);
    call.read();
    answer({ state: 'SUCCEEDED', revision: 7, endWallMs: 1 });
    expect(call.states).toEqual(['RUNNING', 'SUCCEEDED']);
    expect(call.over).toBe(true);
  });

  it('goes on watching a dead letter that was requeued before its end was read', () => {
    const { engine, call, watches, token, taskId, answer } = setup();
    answer({ state: 'RUNNING', revision: 1 });
    engine.take('await');
    // The core has told the end, and forgotten the watcher; what is read then is what came after.
    engine.reply(token, { kind: 'changed', taskId });
    call.read();
    answer({ state: 'QUEUED', revision: 3 });
    expect(call.over).toBe(false);
    expect(engine.take('await')).toMatchObject([{ token, taskId, want: 'change' }]);
    call.read();
    engine.reply(token, { kind: 'changed', taskId });
    answer({ state: 'SUCCEEDED', revision: 5, endWallMs: 1 });
    expect(call.states).toEqual(['RUNNING', 'QUEUED', 'SUCCEEDED']);
    expect(watches.size).toBe(0);
  });
});

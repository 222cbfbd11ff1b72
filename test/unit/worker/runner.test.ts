import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { Runner } from '../../../worker/runner.js';
import {
  parseHandler,
  type RegisteredHandler,
  type TaskContext,
  type TaskHandler,
} from '../../../worker/task-handler.js';
import type { FromHandlers, RunMessage } from '../../../worker/session-messages.js';

function setup(handler: TaskHandler<never>) {
  const posted: FromHandlers[] = [];
  let nowMs = 0;
  const registered = parseHandler('work', handler, []) as RegisteredHandler;
  const runner = new Runner({
    handlers: new Map([['work', registered]]),
    logger: pino({ level: 'silent' }),
    post: (message) => void posted.push(message),
    nowMs: () => nowMs,
  });
  const settled = () =>
    vi.waitFor(() => {
      const found = posted.find((message) => message.t === 'settled');
      if (found === undefined) throw new Error('not settled');
      return found;
    });
  return {
    runner,
    posted,
    settled,
    advance: (ms: number) => {
      nowMs += ms;
    },
    /** Runs one task to its end. */
    run: async (task: Partial<RunMessage> = {}) => {
      runner.run([taskOf(task)]);
      return settled();
    },
  };
}

function taskOf(task: Partial<RunMessage> = {}): RunMessage {
  return {
    ...{ key: 'k', taskId: 't-1', attempt: 2, type: 'work', contentType: 'application/json', data: bytes('{"n":1}') },
    ...{ metadata: { a: 'b' }, traceparent: '', failureCount: 1, maxResultBytes: 100, ...task },
  };
}

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

describe('Runner', () => {
  it('should say started before it enters the handler, then hand back what it returned', async () => {
    let startedFirst = false;
    const bundle = setup((payload: { n: number }, ctx: TaskContext) => {
      startedFirst = bundle.posted[0]?.t === 'started';
      bundle.advance(12);
      return { twice: payload.n * 2, task: ctx.taskId, attempt: ctx.attempt, metadata: ctx.metadata };
    });
    const message = await bundle.run();
    expect(startedFirst).toBe(true);
    expect(message.runMs).toBe(12);
    const settlement = message.settlement;
    if (settlement.kind !== 'returned') throw new Error(settlement.kind);
    expect(settlement.contentType).toBe('application/json');
    expect(JSON.parse(Buffer.from(settlement.data).toString())).toEqual({
      ...{ twice: 2, task: 't-1', attempt: 2, metadata: { a: 'b' } },
    });
    expect(bundle.runner.size).toBe(0);
  });

  it('should describe what a handler throws, synchronously or not', async () => {
    for (const handler of [
      () => Promise.reject(new Error('later')),
      () => {
        throw new Error('later');
      },
    ]) {
      // prettier-ignore
      const { settlement } = await setup(handler).run();
      expect(settlement).toMatchObject({ kind: 'threw', failure: { reason: 'HANDLER_ERROR', message: 'later' } });
    }
  });

  it('should refuse a payload that is not JSON without entering the handler', async () => {
    const handler = vi.fn();
    const { settlement } = await setup(handler as TaskHandler<never>).run({ data: bytes('{oops') });
    expect(settlement).toMatchObject({ kind: 'refused', failure: { reason: 'PAYLOAD_NOT_JSON', nonRetryable: true } });
    expect(handler).not.toHaveBeenCalled();
  });

  it('should give a payload of another content type as bytes', async () => {
    let given: unknown;
    const handler = (payload: unknown, ctx: TaskContext) => {
      given = [payload, ctx.contentType];
      return new Uint8Array([7]);
    };
    const { settlement } = await setup(handler).run({ contentType: 'image/png', data: bytes('png') });
    expect(given).toEqual([bytes('png'), 'image/png']);
    expect(settlement).toMatchObject({
      kind: 'returned',
      contentType: 'application/octet-stream',
      data: new Uint8Array([7]),
    });
  });

  it('should refuse results that are too large or no JSON', async () => {
    const large = await setup(() => 'x'.repeat(200)).run();
    expect(large.settlement).toMatchObject({
      kind: 'refused',
      failure: { reason: 'RESULT_TOO_LARGE', nonRetryable: true },
    });
    const odd = await setup(() => ({ n: 1n })).run();
    expect(odd.settlement).toMatchObject({
      kind: 'refused',
      failure: { reason: 'RESULT_NOT_JSON', nonRetryable: true },
    });
  });

  it('should abort the signal with the cause, and show a drain', async () => {
    const bundle = setup(async (_: never, ctx: TaskContext) => {
      await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
      expect(ctx.draining).toBe(true);
      throw ctx.signal.reason;
    });
    bundle.runner.run([taskOf()]);
    bundle.runner.drain();
    bundle.runner.abort('k', 'TIMED_OUT', 'too slow');
    const { settlement } = await bundle.settled();
    expect(settlement).toMatchObject({ kind: 'threw', failure: { message: 'too slow' } });
  });

  it('should send only the newest progress of a turn, and before the end', async () => {
    const bundle = setup((_: never, ctx: TaskContext) => {
      for (let step = 0; step < 1_000; step += 1) ctx.progress({ step });
    });
    await bundle.run();
    const progress = bundle.posted.filter((message) => message.t === 'progress');
    expect(progress).toHaveLength(1);
    expect(Buffer.from(progress[0]?.data ?? []).toString()).toBe('{"step":999}');
    expect(bundle.posted.map(({ t }) => t)).toEqual(['started', 'progress', 'settled']);
  });

  it('should throw on progress that has no JSON form or is over its bound, and ignore it after the end', async () => {
    let ctxAfter: TaskContext | undefined;
    const thrown: unknown[] = [];
    const bundle = setup((_: never, ctx: TaskContext) => {
      ctxAfter = ctx;
      for (const value of [1n, 'x'.repeat(70_000)]) {
        try {
          ctx.progress(value);
        } catch (error) {
          thrown.push(error);
        }
      }
    });
    await bundle.run();
    expect(thrown).toEqual([expect.any(TypeError), expect.any(RangeError)]);
    ctxAfter?.progress(1);
    expect(bundle.posted.map(({ t }) => t)).toEqual(['started', 'settled']);
  });

  it('should not crash on a type without a handler', async () => {
    const { settlement } = await setup(() => 1).run({ type: 'other' });
    expect(settlement).toMatchObject({
      kind: 'refused',
      failure: { message: 'this worker has no handler for type "other"' },
    });
  });
});

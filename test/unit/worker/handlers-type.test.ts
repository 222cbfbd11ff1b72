import { describe, expect, it } from 'vitest';
import type { Handlers } from '../../../worker/index.js';
import { parseHandler } from '../../../worker/task-handler.js';

/** The faults that the loader finds in what the compiler has judged here. */
function faultsOf(handlers: object): string[] {
  const faults: string[] = [];
  for (const [type, handler] of Object.entries(handlers)) {
    if (type !== 'setup' && type !== 'teardown') parseHandler(type, handler, faults);
  }
  return faults;
}

class Model {
  private readonly factor = 2;

  run({ n }: { n: number }): number {
    return n * this.factor;
  }
}

describe('the type Handlers', () => {
  it('should take what the loader takes, and know the context', () => {
    const handlers = {
      setup: () => Promise.resolve(),
      teardown() {
        return undefined;
      },
      annotated: async ({ path }: { path: string }, ctx) => {
        ctx.progress({ path });
        await Promise.resolve();
        return ctx.signal.aborted;
      },
      bytes: { run: (payload: Uint8Array) => payload.byteLength, timeout: 5_000, slots: 1 },
      unknown: (payload) => payload,
      model: new Model(),
    } satisfies Handlers;
    expect(faultsOf({ ...handlers, model: { run: handlers.model.run } })).toEqual([]);
  });

  it('should refuse what the loader refuses', () => {
    // @ts-expect-error -- no function
    expect(faultsOf({ work: 5 } satisfies Handlers)).toHaveLength(1);
    // @ts-expect-error -- no such option
    expect(faultsOf({ work: { run: () => 1, timeoutMs: 5 } } satisfies Handlers)).toHaveLength(1);
    // @ts-expect-error -- what is not annotated is not known
    expect(faultsOf({ work: (payload) => payload.path as string } satisfies Handlers)).toEqual([]);
  });
});

import { afterEach, describe, expectTypeOf, it } from 'vitest';
import { createClient, type FleetError, type SubmitReceipt, type TaskInfo } from '../../../client/index.js';

interface Tasks {
  resize: { in: { width: number }; out: { bytes: number } };
  'file.checksum': { in: string; out: string };
}

const ADDRESS = '127.0.0.1:1';
const typed = createClient<Tasks>({ address: ADDRESS });
const untyped = createClient({ address: ADDRESS });

afterEach(async () => {
  await Promise.all([typed, untyped].map((client) => client.close()));
});

/** The compiler is what tests here: these are never called. */
async function uses(): Promise<void> {
  expectTypeOf(await typed.run('resize', { width: 1 })).toEqualTypeOf<{ bytes: number }>();
  expectTypeOf(await typed.run('file.checksum', 'a')).toEqualTypeOf<string>();
  expectTypeOf(await typed.result<'resize'>('id')).toEqualTypeOf<{ bytes: number }>();
  expectTypeOf(await typed.result('id')).toEqualTypeOf<string | { bytes: number }>();
  expectTypeOf(await typed.submitMany([{ type: 'resize', payload: { width: 1 } }])).toEqualTypeOf<
    (SubmitReceipt | FleetError)[]
  >();
  // @ts-expect-error -- there is no such type in the map
  await typed.run('rotate', {});
  // @ts-expect-error -- width is a number
  await typed.submit('resize', { width: '1' });
  // @ts-expect-error -- the payload of one type with the name of another
  await typed.submitMany([{ type: 'file.checksum', payload: { width: 1 } }]);
  // @ts-expect-error -- only types of the map can be listed
  typed.list({ type: 'rotate' });
  // @ts-expect-error -- only run() can say what becomes of a task that is given up
  await typed.submit('file.checksum', 'a', { onAbandon: 'keep' });

  expectTypeOf(await untyped.run('anything', { at: 'all' })).toEqualTypeOf<unknown>();
  expectTypeOf(await untyped.get('id')).toEqualTypeOf<TaskInfo>();
  for await (const task of untyped.list({ states: ['DEAD_LETTERED'] })) expectTypeOf(task).toEqualTypeOf<TaskInfo>();
  // @ts-expect-error -- a map says what goes in and what comes out
  createClient<{ resize: { takes: string } }>();
}

describe('the types of a client', () => {
  it('should know what a type takes and gives', () => {
    expectTypeOf(uses).returns.resolves.toBeVoid();
    expectTypeOf(typed.run<'resize'>)
      .parameter(1)
      .toEqualTypeOf<{ width: number }>();
    expectTypeOf<'rotate'>().not.toExtend<Parameters<typeof typed.run>[0]>();
  });
});

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createHandlers, defaultHandlers } from './examples.js';
import { createContext, failureOf, refusal, setup } from './support.js';

describe('the default export', () => {
  it('should hold the task types of npm start, setup and teardown', () => {
    expect(Object.keys(defaultHandlers).sort()).toEqual([
      'echo',
      'fail',
      'file.checksum',
      'file.gzip',
      'file.stats',
      'setup',
      'sleep',
      'teardown',
    ]);
  });
});

describe('setup and teardown', () => {
  it('should take the current directory when no root is set', async () => {
    const handlers = createHandlers({ env: {} });
    await handlers.setup();
    const result = await handlers['file.stats']({ path: 'package.json' }, createContext().ctx);
    expect(result.bytes).toBeGreaterThan(0);
  });

  it('should refuse a root that does not exist or is no directory, and say which setting', async () => {
    const { base, write } = await setup();
    for (const root of [join(base, 'missing'), write('file', '')]) {
      const handlers = createHandlers({ env: { REMUDA_EXAMPLES_ROOT: root } });
      await expect(handlers.setup()).rejects.toThrow(/REMUDA_EXAMPLES_ROOT must name an existing directory: /);
    }
  });

  it('should refuse file tasks before setup and after teardown, and run again after another setup', async () => {
    const { root, write } = await setup();
    write('a.txt', 'a');
    const handlers = createHandlers({ env: { REMUDA_EXAMPLES_ROOT: root } });
    const read = () => handlers['file.stats']({ path: 'a.txt' }, createContext().ctx);
    await expect(read()).rejects.toThrow(/setup\(\) must have run/);
    await handlers.setup();
    await read();
    await handlers.teardown();
    await expect(read()).rejects.toThrow(/setup\(\) must have run/);
    await handlers.setup();
    await read();
  });
});

describe('echo', () => {
  it.each([[null], [0], ['text'], [[1, { a: null }]], [{ deep: { list: [] } }]])(
    'should return %j',
    async (payload) => {
      const { handlers } = await setup();
      expect(await handlers.echo(payload)).toEqual(payload);
    },
  );
});

describe('sleep', () => {
  it('should wait and return', async () => {
    const { handlers } = await setup();
    expect(await handlers.sleep({ ms: 0 }, createContext().ctx)).toEqual({ ms: 0 });
  });

  it('should end at once when it is aborted, before or meanwhile', async () => {
    const { handlers } = await setup();
    for (const abortFirst of [true, false]) {
      const { ctx, controller } = createContext();
      if (abortFirst) controller.abort();
      const sleeping = failureOf(handlers.sleep({ ms: 3_600_000 }, ctx));
      controller.abort();
      expect(await sleeping).toMatchObject({ name: 'AbortError' });
    }
  });

  it.each([[undefined], [-1], [1.5], [3_600_001], ['5'], [null]])('should refuse %j ms', async (ms) => {
    const { handlers } = await setup();
    expect(await failureOf(handlers.sleep({ ms }, createContext().ctx))).toMatchObject(
      refusal('INVALID_PAYLOAD', /"ms" must be a whole number from 0 to 3600000/),
    );
  });
});

describe('fail', () => {
  it('should fail every attempt, to be retried', async () => {
    const { handlers } = await setup();
    for (const attempt of [1, 2, 50]) {
      expect(await failureOf(handlers.fail({}, createContext({ attempt }).ctx))).toMatchObject({
        reason: 'ASKED_TO_FAIL',
        retryable: true,
        message: 'This task was asked to fail.',
      });
    }
  });

  it('should fail with the message given, and not to be retried', async () => {
    const { handlers } = await setup();
    expect(await failureOf(handlers.fail({ message: 'no luck', retryable: false }, createContext().ctx))).toMatchObject(
      refusal('ASKED_TO_FAIL', /^no luck$/),
    );
  });

  it('should fail the first attempts only', async () => {
    const { handlers } = await setup();
    const run = (attempt: number) => handlers.fail({ times: 2 }, createContext({ attempt }).ctx);
    await failureOf(run(1));
    await failureOf(run(2));
    expect(await run(3)).toEqual({ attempt: 3 });
  });

  it.each([
    [{ times: -1 }, /"times" must be a whole number from 0 to 1000, not -1/],
    [{ retryable: 'no' }, /"retryable" must be true or false, not "no"/],
    [{ message: '' }, /"message" must be a string that is not empty, not ""/],
    ['boom', /must be a JSON object such as/],
  ])('should refuse %j', async (payload, message) => {
    const { handlers } = await setup();
    expect(await failureOf(handlers.fail(payload, createContext().ctx))).toMatchObject(
      refusal('INVALID_PAYLOAD', message),
    );
  });
});

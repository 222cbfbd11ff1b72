// @ts-check
import { setTimeout as delay } from 'node:timers/promises';
import { createProgress } from './lib/context.mjs';
import { HandlerError } from './lib/errors.mjs';
import { gzipTo } from './lib/gzip.mjs';
import { readBoolean, readInteger, readObject, readString } from './lib/payload.mjs';
import { assertUnchanged, readChunks, sha256Of } from './lib/read.mjs';
import { RootDirectory } from './lib/root.mjs';
import { TextStats } from './lib/text-stats.mjs';

/**
 * The handlers that `npm start` runs, and a model for your own: copy this file and change the task types.
 *
 * A handlers file has a default export that maps each task type to a handler, or to `{ run, timeout, slots }`. `setup` and
 * `teardown` run once per process, not per task: open here what is slow to open (connections, models, caches), and every
 * task finds it warm.
 *
 * What a handler owes the fleet:
 * - It may run more than once for one task, because a worker can die after the work and before its report. Make a repeat
 *   harmless: see `file.gzip`.
 * - It ends soon after `ctx.signal` is aborted, and leaves nothing half done. Pass the signal on to whatever waits.
 * - It checks its payload, and throws an error with `retryable: false` for what can never succeed.
 * - It never blocks the event loop for long, and works in bounded memory.
 *
 * @typedef {import('./lib/context.mjs').Handler} Handler
 * @typedef {import('./lib/context.mjs').TaskContext} TaskContext
 * @typedef {import('./lib/root.mjs').SourceFile} SourceFile
 */

/** A task that sleeps longer holds a slot for nothing. */
const SLEEP_MS_MAX = 3_600_000;

/** Above this, `times` is a mistake: no task has that many attempts. */
const FAIL_TIMES_MAX = 1_000;

/** The handlers for trying a fleet: they need nothing that setup opens. */
const TRIAL_HANDLERS = {
  /**
   * Returns its payload: for trying the way there and back.
   *
   * @param {unknown} payload any JSON value
   */
  async echo(payload) {
    return payload;
  },

  /**
   * Waits: for trying cancel, time-outs, drain, and what happens when a worker dies.
   *
   * @param {unknown} payload `{ ms }`
   * @param {TaskContext} ctx
   */
  async sleep(payload, ctx) {
    const object = readObject(payload, { fields: ['ms'], example: '{"ms":1000}' });
    const ms = readInteger(object, 'ms', { min: 0, max: SLEEP_MS_MAX });
    await delay(ms, undefined, { signal: ctx.signal });
    return { ms };
  },

  /**
   * Fails: for trying retries and dead letters. With `times` only the first attempts fail, then one succeeds.
   *
   * @param {unknown} payload `{ message, retryable, times }`, all optional
   * @param {TaskContext} ctx
   */
  async fail(payload, ctx) {
    const fields = ['message', 'retryable', 'times'];
    const object = readObject(payload, { fields, example: '{"message":"no luck","times":2}' });
    const message = object.message === undefined ? 'This task was asked to fail.' : readString(object, 'message');
    const retryable = readBoolean(object, 'retryable', true);
    const times = object.times === undefined ? Infinity : readInteger(object, 'times', { min: 0, max: FAIL_TIMES_MAX });
    if (ctx.attempt <= times) throw new HandlerError('ASKED_TO_FAIL', retryable, message);
    return { attempt: ctx.attempt };
  },
};

/**
 * Makes one set of handlers. The worker uses the default export below; tests make sets of their own.
 *
 * @param {object} [options]
 * @param {Readonly<Record<string, string | undefined>>} [options.env] `REMUDA_EXAMPLES_ROOT`: the directory outside which
 *   nothing is read or written; the current directory unless set. Read once, by `setup`
 * @param {import('./lib/context.mjs').MonotonicClock} [options.nowMs]
 */
export function createHandlers({ env = process.env, nowMs = () => performance.now() } = {}) {
  /** @type {RootDirectory | undefined} */
  let root;

  function openRoot() {
    if (root === undefined) throw new Error('setup() must have run before a task, and teardown() must not');
    return root;
  }

  return {
    async setup() {
      const path = env.REMUDA_EXAMPLES_ROOT || '.';
      try {
        root = await RootDirectory.open(path);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`REMUDA_EXAMPLES_ROOT must name an existing directory: ${why}`, { cause: error });
      }
    },

    async teardown() {
      root = undefined;
    },

    ...createFileHandlers(openRoot, nowMs),
    ...TRIAL_HANDLERS,
  };
}

/**
 * The handlers that do work: on files below the root, and nowhere else.
 *
 * @param {() => RootDirectory} openRoot
 * @param {import('./lib/context.mjs').MonotonicClock} nowMs
 */
function createFileHandlers(openRoot, nowMs) {
  /**
   * Opens the source, does the work, and closes the source however the work ends.
   *
   * @template T
   * @param {string} path
   * @param {TaskContext} ctx
   * @param {(source: SourceFile, progress: ReturnType<typeof createProgress>) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async function withSource(path, ctx, work) {
    ctx.signal.throwIfAborted();
    const source = await openRoot().openFile(path);
    try {
      return await work(source, createProgress({ ctx, total: Number(source.stats.size), nowMs }));
    } finally {
      await source.handle.close();
    }
  }

  return {
    /**
     * Statistics of a text file.
     *
     * @param {unknown} payload `{ path }`
     * @param {TaskContext} ctx
     */
    async 'file.stats'(payload, ctx) {
      const path = readString(readObject(payload, { fields: ['path'], example: '{"path":"README.md"}' }), 'path');
      return withSource(path, ctx, async (source, progress) => {
        const stats = new TextStats();
        const options = { signal: ctx.signal, onBytes: progress.add };
        for await (const chunk of readChunks(source, options)) stats.update(chunk);
        progress.finish();
        return { path, ...stats.finish() };
      });
    },

    /**
     * The SHA-256 of a file.
     *
     * @param {unknown} payload `{ path }`
     * @param {TaskContext} ctx
     */
    async 'file.checksum'(payload, ctx) {
      const path = readString(readObject(payload, { fields: ['path'], example: '{"path":"package.json"}' }), 'path');
      return withSource(path, ctx, async (source, progress) => {
        const sha256 = await sha256Of(source, { signal: ctx.signal, onBytes: progress.add });
        await assertUnchanged(source);
        return { path, sha256, bytes: progress.finish() };
      });
    },

    /**
     * Compresses a file to a target, which appears complete or not at all.
     *
     * As an object, a handler can say more about itself: `slots` bounds how many tasks of the type this process runs at
     * once (compression is work for the processor, so one), `timeout` is the time of one attempt in milliseconds.
     */
    'file.gzip': {
      slots: 1,
      timeout: 15 * 60_000,
      /**
       * @param {unknown} payload `{ path, target, overwrite }`
       * @param {TaskContext} ctx
       */
      async run(payload, ctx) {
        const fields = ['path', 'target', 'overwrite'];
        const object = readObject(payload, { fields, example: '{"path":"README.md","target":"README.md.gz"}' });
        const path = readString(object, 'path');
        const target = readString(object, 'target');
        const overwrite = readBoolean(object, 'overwrite', false);
        return withSource(path, ctx, async (source, progress) => {
          const place = await openRoot().openPlace(target);
          try {
            const targetBytes = await gzipTo({ source, place, overwrite, ctx, onBytes: progress.add });
            return { path, target, bytes: progress.finish(), targetBytes };
          } finally {
            await place.directory.close();
          }
        });
      },
    },
  };
}

export default createHandlers();

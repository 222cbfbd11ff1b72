import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { WorkerPoolOptions } from '../../../coordinator/pool/index.js';
import { SmallDisk } from '../../support/small-disk.js';
import { createWorkerPool, failure, onCleanup, openPool, temporaryDirectory, writeFixture } from './support.js';

const WORKER = fileURLToPath(new URL('../../../dist/worker/index.js', import.meta.url));
const SCRIPT = `
const { WorkerProcess } = require(${JSON.stringify(WORKER)});
const worker = new WorkerProcess(process.env.WORKER_ID || 'unknown', JSON.parse(process.env.WORKER_CONFIG || '{}'));
worker.registerTaskHandler('whoami', async (payload) => ({
  payload, id: process.env.WORKER_ID, config: JSON.parse(process.env.WORKER_CONFIG), main: require.main === module, extra: process.env.EXTRA,
}));
`;

const script = (text: string) => writeFixture('worker.cjs', text);

/** The error of a pool that is not expected to start. */
function startFailure(options: WorkerPoolOptions) {
  return failure(createWorkerPool({ poolSize: 1, logFile: false, ...options }).then((pool) => pool.shutdown(false)));
}

describe('createWorkerPool', () => {
  it('should run a script that registers its own handlers', async () => {
    const { pool } = await openPool({ worker: script(`${SCRIPT}worker.start();`), poolSize: 1, env: { EXTRA: 'yes' } });
    expect(await pool.submitTask({ type: 'whoami', payload: { a: 1 } })).toEqual({
      payload: { a: 1 },
      id: 'pool/0',
      config: { address: pool.address, logLevel: 'info', heartbeatInterval: 5_000, taskTimeout: 300_000 },
      main: true,
      extra: 'yes',
    });
  });

  it('should say that a store on a nearly full disk takes no tasks', async (context) => {
    const disk = new SmallDisk(context, 16);
    onCleanup(() => disk[Symbol.dispose]());
    const { pool } = await openPool({ store: `sqlite:${join(disk.folder, 'pool.db')}`, poolSize: 1 });
    expect(await failure(pool.submitTask({ type: 'echo' }))).toMatchObject({
      reason: 'STORE_FULL',
      metadata: { folder: disk.folder, min_free_bytes: expect.stringMatching(/^26[89]/) },
    });
    const { health } = pool.getPoolMetrics();
    expect(health).toEqual({ status: 'unhealthy', reasons: ['the store takes no new tasks; the log says why'] });
  });

  it("should reject with the worker's own error", async () => {
    const broken = script(`${SCRIPT}require('./is-not-there');`);
    const error = await startFailure({ worker: broken });
    expect(error).toMatchObject({ reason: 'WORKER_START_FAILED' });
    expect(error.message).toContain("Cannot find module './is-not-there'");
  });

  it.each([
    ['a handlers file with an error in it', 'handlers', 'export default { a: async () => { };', /handlers\.mjs/],
    ['a handlers file that exports no handlers', 'handlers', 'export const a = 1;', /has only named exports \(a\)/],
    [
      'a handlers file whose setup fails',
      'handlers',
      'export default { a() {}, setup() { throw new Error("no db"); } };',
      /no db/,
    ],
    ['a script that throws', 'worker', 'throw new Error("not today");', /not today/],
    [
      'a script with one type twice',
      'worker',
      `${SCRIPT}worker.registerTaskHandler('whoami', () => 1);`,
      /registerTaskHandler\("whoami"\): the type has a handler already/,
    ],
    [
      'a script without handlers',
      'worker',
      SCRIPT.replace(/worker\.registerTaskHandler[^]*$/, 'worker.start();'),
      /no handlers/,
    ],
    ['a script that does not call start()', 'worker', SCRIPT, /start\(\)/],
    ['a script that is no worker', 'worker', 'console.log("done");', /done|start\(\)/],
    ['a script that exits at once', 'worker', 'console.error("bye"); process.exit(9);', /exit status 9[^]*bye/],
    ['a script that kills itself', 'worker', 'process.kill(process.pid, "SIGKILL");', /SIGKILL/],
    [
      'a script that prints megabytes and exits',
      'worker',
      'for (let i = 0; i < 200; i += 1) console.log("x".repeat(100_000)); process.exitCode = 4;',
      /exit status 4/,
    ],
  ])('should reject %s', async (_what, option, text, message) => {
    const file = option === 'worker' ? script(text) : writeFixture('handlers.mjs', text);
    const error = await startFailure({ [option]: file });
    expect(error).toMatchObject({ name: 'FleetError', reason: 'WORKER_START_FAILED' });
    expect(error.message).toMatch(/^createWorkerPool: worker pool(-\d+)?\/\d could not start: /);
    expect(error.message).toMatch(message);
    expect(error.message.length).toBeLessThan(12_000);
  });

  it('should reject a script that lives and never says hello, in time', async () => {
    const error = await startFailure({ worker: script('setInterval(() => {}, 1_000);'), startTimeout: 1_500 });
    expect(error).toMatchObject({ reason: 'WORKER_START_TIMEOUT' });
    expect(error.message).toContain('0 of 1 workers were ready within 1500 ms (startTimeout)');
  });

  it('should reject a port that is taken, and a store that cannot be opened', async () => {
    const handlers = writeFixture('handlers.mjs', 'export default { a() {} };');
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onCleanup(() => server.close());
    const { port } = server.address() as AddressInfo;
    const taken = await startFailure({ handlers, httpPort: port });
    expect(taken).toMatchObject({ reason: 'COORDINATOR_START_FAILED' });
    expect(taken.message).toContain(`127.0.0.1:${port}`);
    const store = await startFailure({ handlers, store: `sqlite:${temporaryDirectory()}/nowhere/pool.db` });
    expect(store).toMatchObject({ reason: 'COORDINATOR_START_FAILED' });
    expect(store.message).toContain('nowhere/pool.db');
  });

  it('should find the script of older pools below the working directory', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'lib/worker-pool'), { recursive: true });
    writeFileSync(join(directory, 'lib/worker-pool/worker-process.js'), `${SCRIPT}worker.start();`);
    const before = process.cwd();
    process.chdir(directory);
    try {
      const pool = await createWorkerPool({ poolSize: 1 });
      expect(await pool.submitTask({ type: 'whoami' })).toMatchObject({ id: 'pool/0' });
      await pool.shutdown();
    } finally {
      process.chdir(before);
    }
  });

  it('should give every fault of its options at once', async () => {
    const error = await failure(createWorkerPool({ poolSize: 0, maxWorkers: -1 }));
    expect(error).toMatchObject({ reason: 'INVALID_OPTIONS' });
    expect(error.message).toMatch(/handlers: is not given.*poolSize: is 0.*maxWorkers: is -1/);
  });
});

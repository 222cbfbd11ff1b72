import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { compilePoolOptions, inheritedExecArgv } from '../../../coordinator/pool/pool-options.js';
import { FleetError } from '../../../proto/fleet-error.js';

const cwd = mkdtempSync(join(tmpdir(), 'pool-options-'));
const handlers = join(cwd, 'handlers.mjs');
writeFileSync(handlers, 'export default {};');
afterAll(() => rmSync(cwd, { recursive: true }));

const compile = (options: unknown, execArgv: readonly string[] = []) => compilePoolOptions(options, { cwd, execArgv });

function faultsOf(options: unknown): string {
  try {
    compile(options);
  } catch (error) {
    if (error instanceof FleetError) return `${error.reason}: ${error.message}`;
    throw error;
  }
  throw new Error('the options were taken');
}

describe('options of a pool', () => {
  it('should have the defaults of the contract', () => {
    const { poolSize, maxWorkers, ...rest } = compile({ handlers: 'handlers.mjs' });
    expect(poolSize).toBe(availableParallelism());
    expect(maxWorkers).toBe(Math.max(50, poolSize));
    expect(rest).toEqual({
      program: { kind: 'handlers', path: handlers },
      ...{ minWorkers: 1, heartbeatInterval: 5_000, taskTimeout: 300_000, loadBalancing: 'least-loaded' },
      ...{ autoRestart: true, maxRestartAttempts: 3, workerMemoryLimitBytes: undefined, store: 'memory:' },
      ...{ maxPayloadBytes: 1_048_576 },
      ...{ logFile: join(cwd, 'logs/worker-pool.log'), logLevel: 'info', httpPort: undefined, startTimeout: 60_000 },
      ...{ env: {}, execArgv: [] },
    });
  });

  it('should take maxWorkers from a larger poolSize', () => {
    expect(compile({ handlers, poolSize: 80 })).toMatchObject({ poolSize: 80, maxWorkers: 80 });
    expect(compile({ handlers, maxWorkers: 1 })).toMatchObject({ poolSize: 1, minWorkers: 1, maxWorkers: 1 });
    expect(compile({ handlers, minWorkers: 500, maxWorkers: 500 })).toMatchObject({ poolSize: 500 });
  });

  it('should name every fault in one message', () => {
    const text = faultsOf({
      ...{ handlers: 'nowhere.mjs', poolSize: 0, heartbeatInterval: '5s', loadBalancing: 'random', maxWorker: 5 },
      ...{ store: 'redis:', httpPort: 70_000, autoRestart: 1, workerMemoryLimitMB: 1.5, env: { A: 1 }, execArgv: 'x' },
    });
    expect(text).toMatch(/^INVALID_OPTIONS: /);
    for (const part of [
      `handlers: is ${join(cwd, 'nowhere.mjs')}, which does not exist`,
      'poolSize: is 0; it must be a whole number from 1 to 1000',
      'heartbeatInterval: is "5s"',
      'loadBalancing: is "random"; it must be one of least-loaded, round-robin',
      'maxWorker: is not known; known are handlers, worker',
      'store: is refused',
      'httpPort: is 70000',
      'autoRestart: is 1; it must be true or false',
      'workerMemoryLimitMB: is 1.5',
      'env.A: is 1; it must be a string',
      'execArgv: must be an array of strings',
    ]) {
      expect(text).toContain(part);
    }
  });

  it.each([
    [{ poolSize: 3, minWorkers: 5 }, 'poolSize: is 3, below minWorkers, which is 5'],
    [{ poolSize: 8, maxWorkers: 5 }, 'poolSize: is 8, above maxWorkers, which is 5'],
    [{ minWorkers: 8, maxWorkers: 5 }, 'minWorkers: is 8, above maxWorkers, which is 5'],
    [{ worker: 'handlers.mjs' }, 'worker: is given beside handlers; keep one'],
    [{ handlers: '.' }, `handlers: is ${cwd}, which is no file`],
    [
      { handlers: new URL('http://example.org/') },
      'handlers: is http://example.org/; it must be a path or a file: URL',
    ],
  ])('should refuse %o', (options, part) => {
    expect(faultsOf({ handlers, ...options })).toContain(part);
  });

  it.each([
    ['file:not a url%', 'unknown'],
    [new URL('file://remote/x'), 'ERR_INVALID_FILE_URL_HOST'],
    [`${handlers}/below`, 'ENOTDIR'],
    ['x'.repeat(5_000), 'ENAMETOOLONG'],
  ])('should say of a path that no system follows what it is: %s', (path, code) => {
    const text = faultsOf({ handlers: path });
    expect(text).toMatch(
      /^INVALID_OPTIONS: handlers: is .*it must be a path or a file: URL, and this one cannot be used/,
    );
    expect(text).toContain(code);
    expect(text.length).toBeLessThan(500);
  });

  it('should make the path of the store absolute', () => {
    expect(compile({ handlers, store: 'sqlite:./pool.db' }).store).toBe(`sqlite:${join(cwd, 'pool.db')}`);
  });

  it('should look for the script of older pools when nothing is named, and say where', () => {
    const script = join(cwd, 'lib/worker-pool/worker-process.js');
    expect(faultsOf({})).toContain(`without either it is ${script}, which does not exist`);
    mkdirSync(join(cwd, 'lib/worker-pool'), { recursive: true });
    writeFileSync(script, '');
    expect(compile({}).program).toEqual({ kind: 'script', path: script });
    expect(compile(undefined).program).toEqual({ kind: 'script', path: script });
  });

  it('should take file URLs', () => {
    expect(compile({ handlers: pathToFileURL(handlers) }).program.path).toBe(handlers);
    expect(compile({ worker: pathToFileURL(handlers).href }).program).toEqual({ kind: 'script', path: handlers });
  });

  it("should hand on Node's options but for those of this process alone", () => {
    const own = [
      '-e',
      'code',
      '--inspect=0',
      '--inspect-port',
      '9230',
      '--cpu-prof-dir',
      './prof',
      '--test-reporter=dot',
    ];
    const given = ['--import', 'tsx', ...own, '--max-old-space-size=64'];
    expect(inheritedExecArgv(given)).toEqual(['--import', 'tsx', '--max-old-space-size=64']);
    expect(compile({ handlers, execArgv: ['--inspect'] }, given).execArgv).toEqual(['--inspect']);
  });
});

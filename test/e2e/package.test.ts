import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { endPrograms, ROOT, startCoordinator, startNode, startWorker } from '../support/programs.js';
import { json, parsed, Stubs } from '../support/stubs.js';
import { HANDLERS } from './ledger.js';

const NAMES = {
  'remuda/client': 'createClient',
  'remuda/worker': 'createWorker',
  'remuda/coordinator': 'Coordinator',
  'remuda/proto': 'TaskService',
} as const;

describe('the package', () => {
  afterEach(endPrograms);

  it('gives each of its parts to require() and to import alike', async () => {
    const parts = Object.entries(NAMES);
    const requires = parts.map(([path, name]) => `console.log('${path}', typeof require('${path}').${name});`);
    const required = startNode('cjs', ['-e', requires.join('\n')], { cwd: ROOT });
    expect(await required.exit()).toMatchObject({ code: 0 });
    const imports = parts.map(
      ([path, name]) => `import { ${name} } from '${path}'; console.log('${path}', typeof ${name});`,
    );
    const imported = startNode('esm', ['--input-type=module', '-e', imports.join('\n')], { cwd: ROOT });
    expect(await imported.exit()).toMatchObject({ code: 0 });
    const lines = parts.map(([path]) => expect.stringMatching(new RegExp(`^${path} (function|object)$`)) as string);
    expect(required.stdout.split('\n')).toEqual(lines);
    expect(imported.stdout).toBe(required.stdout);
  });

  it('runs a worker inside a CommonJS program, which leaves when it is asked to', async () => {
    const { address, program: coordinator } = await startCoordinator();
    const program = startNode('cjs worker', [`${ROOT}test/e2e/library-worker.cjs`, address]);
    using stubs = new Stubs(address);
    const { task } = await stubs.run({ task: { type: 'cjs.double', payload: json({ n: 21 }) } });
    expect(parsed(task?.result)).toBe(42);
    program.kill('SIGTERM');
    expect(await program.exit()).toMatchObject({ code: 0 });
    await coordinator.line(({ json: line }) => line?.['msg'] === 'worker-left', 'worker-left event');
  });
});

const EXAMPLES = `${ROOT}docs/examples/handlers.mjs`;

/** The program in README.md, with the address as an argument. */
function readmeExample(): string {
  const [, section = ''] = readFileSync(`${ROOT}README.md`, 'utf8').split('## Submit from TypeScript');
  const [, program = ''] = /```ts\n(.*?)```/s.exec(section) ?? [];
  const withAddress = program.replace("'127.0.0.1:7070'", 'process.argv[2]!');
  if (withAddress === program)
    throw new Error('README.md has no program with an address under "Submit from TypeScript"');
  return withAddress;
}

/** Installing may fetch packages from the registry. */
const INSTALL_MS = 300_000;

describe('the package as it is published', { timeout: INSTALL_MS }, () => {
  let folder: string;
  let address: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'remuda-package-'));
    const packed = await npm(ROOT, ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]);
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    await writeFile(join(folder, 'package.json'), '{}');
    await npm(folder, ['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, filename)]);
    ({ address } = await startCoordinator());
    await startWorker(HANDLERS, address, ['--worker-id', 'w']);
  }, INSTALL_MS);

  afterAll(async () => {
    await endPrograms();
    await rm(folder, { recursive: true });
  });

  /** An empty project with these files, below the folder in which the package is installed; its folder. */
  async function project(name: string, files: Readonly<Record<string, string>>): Promise<string> {
    const path = join(folder, name);
    await mkdir(path);
    for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text);
    return path;
  }

  /** What a program of the project prints that runs one task. */
  async function outputOf(cwd: string, file: string): Promise<{ stdout: string; stderr: string; code: number | null }> {
    const program = startNode(file, [file, address], { cwd });
    const { code } = await program.exit();
    return { stdout: program.stdout, stderr: program.stderr, code };
  }

  /** What its program with a pool prints. */
  async function poolOutput(cwd: string): Promise<{ stdout: string; stderr: string; code: number | null }> {
    const program = startNode('pool.js', ['pool.js'], { cwd });
    const { code } = await program.exit();
    return { stdout: program.stdout, stderr: program.stderr, code };
  }

  it('runs a task from an empty ESM project', async () => {
    const main = `
      import { createClient } from 'remuda/client';
      const client = createClient({ address: process.argv[2] });
      console.log(JSON.stringify(await client.run('echo', { from: 'esm' })));
      await client.close();`;
    const pool = `
      import { createWorkerPool } from 'remuda/pool';
      const pool = await createWorkerPool({ handlers: './handlers.js', poolSize: 1, logFile: false });
      console.log(await pool.submitTask({ type: 'twice', payload: 21 }));
      await pool.shutdown();`;
    const cwd = await project('esm', {
      'package.json': '{ "type": "module" }',
      'main.js': main,
      'pool.js': pool,
      'handlers.js': 'export default { twice: (number) => number * 2 };',
    });
    expect(await outputOf(cwd, 'main.js')).toEqual({ stdout: '{"from":"esm"}', stderr: '', code: 0 });
    expect(await poolOutput(cwd)).toEqual({ stdout: '42', stderr: '', code: 0 });
  });

  it('runs a task from an empty CommonJS project', async () => {
    const main = `
      const { createClient } = require('remuda/client');
      const client = createClient({ address: process.argv[2] });
      client.run('echo', { from: 'cjs' })
        .then((result) => console.log(JSON.stringify(result)))
        .finally(() => client.close());`;
    const pool = `
      const { createWorkerPool } = require('remuda/pool');
      createWorkerPool({ worker: './worker.js', poolSize: 1, logFile: false }).then(async (pool) => {
        console.log(await pool.submitTask({ type: 'twice', payload: 21 }));
        await pool.shutdown();
      });`;
    const worker = `
      const { WorkerProcess } = require('remuda/worker');
      const worker = new WorkerProcess(process.env.WORKER_ID, JSON.parse(process.env.WORKER_CONFIG));
      worker.registerTaskHandler('twice', (number) => number * 2);
      worker.start();`;
    const files = { 'package.json': '{}', 'main.js': main, 'pool.js': pool, 'worker.js': worker };
    const cwd = await project('cjs', files);
    expect(await outputOf(cwd, 'main.js')).toEqual({ stdout: '{"from":"cjs"}', stderr: '', code: 0 });
    expect(await poolOutput(cwd)).toEqual({ stdout: '42', stderr: '', code: 0 });
  });

  it('runs a task from an empty TypeScript project, strict, with every declaration checked', async () => {
    const main = `
      import { createClient, type Client, type TaskInfo } from 'remuda/client';
      import { createWorkerPool, type PoolMetrics, type WorkerPool } from 'remuda/pool';
      interface Tasks { echo: { in: { from: string }; out: { from: string } } }
      const client: Client<Tasks> = createClient<Tasks>({ address: process.argv[2] ?? '' });
      const result: { from: string } = await client.run('echo', { from: 'ts' }, { timeoutMs: 30_000 });
      console.log(JSON.stringify(result));
      const states = new Set<TaskInfo['state']>();
      for await (const { state } of client.list({ type: 'echo' })) states.add(state);
      console.log([...states].join());
      await client.close();
      export async function usePool(): Promise<PoolMetrics['health']['status']> {
        await using pool: WorkerPool = await createWorkerPool({ handlers: './handlers.js', poolSize: 2 });
        pool.on('task-failed', ({ taskId, error, retried }) => console.log(taskId, error.reason, retried));
        const result: number = await pool.submitTask<number>({ type: 'twice', payload: 21, timeout: 5_000 });
        console.log(result);
        // @ts-expect-error -- it is true or false
        pool.on('task-failed', ({ retried }) => retried.toFixed());
        return pool.getPoolMetrics().health.status;
      }
      // @ts-expect-error -- the map says that \`from\` is a string
      export const wrong = () => client.run('echo', { from: 1 });`;
    const options = {
      strict: true,
      target: 'es2022',
      lib: ['es2022', 'esnext.disposable'],
      outDir: 'out',
      skipLibCheck: false,
      types: ['node'],
    };
    const nodenext = { compilerOptions: { ...options, module: 'nodenext' }, files: ['main.ts', 'readme.ts'] };
    const bundler = {
      // The other one checks the declarations; here it matters that they are found.
      compilerOptions: { ...options, skipLibCheck: true, module: 'esnext', moduleResolution: 'bundler', noEmit: true },
      files: ['main.ts'],
    };
    const cwd = await project('ts', {
      'package.json': '{ "type": "module" }',
      'main.ts': main,
      'readme.ts': readmeExample(),
      'tsconfig.json': JSON.stringify(nodenext),
      'tsconfig.bundler.json': JSON.stringify(bundler),
    });
    await tsc(cwd, ['-p', 'tsconfig.bundler.json']);
    await tsc(cwd, []);
    expect(await outputOf(cwd, 'out/main.js')).toEqual({ stdout: '{"from":"ts"}\nSUCCEEDED', stderr: '', code: 0 });
    const sha256 = createHash('sha256')
      .update(readFileSync(`${ROOT}README.md`))
      .digest('hex');
    await startWorker(EXAMPLES, address, ['--worker-id', 'examples']);
    const readme = await outputOf(cwd, 'out/readme.js');
    expect(readme).toEqual({ stdout: sha256, stderr: '', code: 0 });
  });
});

async function npm(cwd: string, args: readonly string[]): Promise<string> {
  return output('npm', args, cwd);
}

async function tsc(cwd: string, args: readonly string[]): Promise<void> {
  await output(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), ...args], cwd);
}

/** What it prints to stdout; throws with all that it printed if it fails. */
async function output(command: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd, maxBuffer: 64 * 1_048_576 });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout ?? ''}${stderr ?? ''}`, { cause: error });
  }
}

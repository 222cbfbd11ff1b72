import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { endPrograms, ROOT, startNode } from '../support/programs.js';

/** What both sides of the page call. */
const HANDLE = `
exports.handle = async (type, { text }) => {
  if (type === 'text.count') return { length: text.length, pid: process.pid };
  if (type === 'text.reverse') return { text: [...text].reverse().join(''), pid: process.pid };
  throw new Error('no such type');
};`;

/** The same program on both sides. */
const MAIN = `
const { runTask, stop } = require('./run-task.cjs');
(async () => {
  const results = [];
  for (const text of ['one', 'three']) results.push(await runTask('text.count', { text }));
  results.push(await runTask('text.reverse', { text: 'abc' }));
  await stop?.();
  console.log(JSON.stringify(results));
})();`;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remuda-migrate-'));
  await mkdir(join(folder, 'node_modules'));
  await symlink(ROOT, join(folder, 'node_modules/remuda'));
  const page = await readFile(`${ROOT}docs/migrate-from-spawn.md`, 'utf8');
  const programs = [...page.matchAll(/```js\n\/\/ (\S+)\n(.*?)```/gs)];
  expect(programs.map(([, name]) => name)).toEqual([
    'before/run-task.cjs',
    'before/task-worker.cjs',
    'after/run-task.cjs',
    'after/task-handlers.cjs',
    'worker-process.js',
  ]);
  for (const [, name = '', text = ''] of programs) await write(name, text);
  for (const side of ['before', 'after']) {
    await write(`${side}/handle.cjs`, HANDLE);
    await write(`${side}/main.cjs`, MAIN);
  }
  await write(
    'script.cjs',
    `require('remuda/pool').createWorkerPool({ worker: './worker-process.js', poolSize: 1 }).then(async (pool) => {
      console.log(await pool.submitTask({ type: 'text.count', payload: { text: 'four' } }));
      await pool.shutdown(true);
    });`,
  );
});

afterEach(endPrograms);
afterAll(() => rm(folder, { recursive: true }));

async function write(name: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  await writeFile(join(folder, name), text);
}

async function results(side: string): Promise<{ readonly pid: number }[]> {
  const program = startNode(side, ['main.cjs'], { cwd: join(folder, side) });
  expect(await program.exit()).toEqual({ code: 0, signal: null });
  return JSON.parse(program.stdout) as { pid: number }[];
}

it('gives the same results after the move as before, from processes that are used again', async () => {
  const [before, after] = [await results('before'), await results('after')];
  const values = (all: { pid: number }[]) => all.map(({ pid: _pid, ...value }) => value);
  expect(values(after)).toEqual(values(before));
  expect(values(after)).toEqual([{ length: 3 }, { length: 5 }, { text: 'cba' }]);
  const pids = (all: { pid: number }[]) => new Set(all.map(({ pid }) => pid)).size;
  expect([pids(before), pids(after)]).toEqual([3, 1]);
});

it('runs the script that registers its own handlers', async () => {
  const program = startNode('script', ['script.cjs'], { cwd: folder });
  expect(await program.exit()).toEqual({ code: 0, signal: null });
  expect(program.stdout).toBe('4');
});

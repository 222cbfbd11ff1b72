/** What docs/migrate-from-spawn.md says: its programs are run, its tables compared. */
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PoolMetrics } from '../../coordinator/pool/index.js';
import { POOL_EVENT_NAMES } from '../../coordinator/pool/pool-messages.js';
import { endPrograms, ROOT, startNode } from '../support/programs.js';

const PAGE = readFileSync(`${ROOT}docs/migrate-from-spawn.md`, 'utf8');

/** What both sides of the page call. */
const HANDLE = `
exports.handle = async (type, { text }) => {
  if (type === 'text.count') return { length: text.length, pid: process.pid };
  if (type === 'text.reverse') return { text: [...text].reverse().join(''), pid: process.pid };
  throw new Error('no such type');
};`;

/** The same program on both sides. */
const SAME = `
const { runTask, stop } = require('./run-task.cjs');
(async () => {
  const results = [];
  for (const text of ['one', 'three']) results.push(await runTask('text.count', { text }));
  results.push(await runTask('text.reverse', { text: 'abc' }));
  await stop?.();
  console.log(JSON.stringify(results));
})();`;

/** Begins programs that use one part of the page each; `say` is what the test hears. */
const POOL = `
const { createWorkerPool } = require('remuda/pool');
const say = (value) => console.log(JSON.stringify(value));
const open = (options) => createWorkerPool({ poolSize: 1, ...options });
`;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remuda-migrate-'));
  await mkdir(join(folder, 'node_modules'));
  await symlink(ROOT, join(folder, 'node_modules/remuda'));
  const programs = [...PAGE.matchAll(/```js\n\/\/ (\S+)\n(.*?)```/gs)];
  // One without a name would not be run.
  expect(programs.length).toBe(PAGE.match(/^```\w/gm)?.length);
  for (const [, name = '', text = ''] of programs) await write(name, text);
  for (const side of ['before', 'after']) {
    await write(`${side}/handle.cjs`, HANDLE);
    await write(`${side}/same.cjs`, SAME);
  }
});

afterEach(endPrograms);
afterAll(() => rm(folder, { recursive: true }));

async function write(name: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  await writeFile(join(folder, name), text);
}

/** What a program prints, line by line; it ends by itself. */
async function said(side: string, name: string): Promise<string[]> {
  const program = startNode(name, [name], { cwd: join(folder, side) });
  expect({ ...(await program.exit()), stderr: program.stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return program.lines.map(({ text }) => text);
}

/** The same of a program that is written here, beside the page's. */
async function saidBy(source: string, handlers = ''): Promise<string[]> {
  await write('after/part-handlers.cjs', `module.exports = { ${handlers} };`);
  await write('after/part.cjs', `${POOL}(async () => {${source}})();`);
  return said('after', 'part.cjs');
}

function parsed(lines: readonly string[]): unknown[] {
  return lines.map((line) => JSON.parse(line) as unknown);
}

/** The words in backticks of a column, counted from 0, of the table under a heading that has this one first. */
function column(heading: string, index = 0): string[] {
  const [, table = ''] = new RegExp(`^\\| ${heading} \\|.*\\n\\|[-| ]*\\n((?:\\|.*\\n)+)`, 'm').exec(PAGE) ?? [];
  return table.split('\n').flatMap((row) => {
    const cell = row.split(' | ')[index] ?? '';
    return [...cell.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);
  });
}

describe('the programs of the page', () => {
  it('give the same results after the move as before, from processes that are used again', async () => {
    const [before, after] = (await Promise.all(['before', 'after'].map((side) => said(side, 'same.cjs')))).map(
      (lines) => parsed(lines)[0] as { readonly pid: number }[],
    );
    const values = (all: readonly { pid: number }[] = []) => all.map(({ pid: _pid, ...value }) => value);
    expect(values(after)).toEqual(values(before));
    expect(values(after)).toEqual([{ length: 3 }, { length: 5 }, { text: 'cba' }]);
    const pids = (all: readonly { pid: number }[] = []) => new Set(all.map(({ pid }) => pid)).size;
    expect([pids(before), pids(after)]).toEqual([3, 1]);
  });

  it('show their figures while they run, and end in good order', async () => {
    const program = startNode('main', ['main.cjs'], { cwd: join(folder, 'after'), env: { PORT: '0' } });
    const { text } = await program.line((line) => line.text.startsWith('port '), 'port');
    const get = async (path: string): Promise<unknown> =>
      (await fetch(`http://localhost:${text.split(' ')[1] ?? ''}${path}`)).json();
    expect(await get('/four')).toMatchObject({ length: 5 });
    const { tasks } = (await get('/metrics/worker-pool')) as PoolMetrics;
    expect(tasks.completed).toBe(1);
    program.kill('SIGTERM');
    expect(await program.exit()).toEqual({ code: 0, signal: null });
  });

  it('may be a script that registers its own handlers', async () => {
    const source = `
      const pool = await open({ worker: '../worker-process.js' });
      say(await pool.submitTask({ type: 'text.count', payload: { text: 'four' } }));
      await pool.shutdown();`;
    expect(await saidBy(source)).toEqual(['4']);
  });

  it('bear a second run, or ask for none', async () => {
    const handlers = `
      report: async (payload, ctx) => {
        const report = await require('./write-report.cjs').writeReport(payload, ctx);
        if (ctx.attempt === 1) process.kill(process.pid, 'SIGKILL');
        return { ...report, attempt: ctx.attempt };
      },
      'invoice.charge': () => process.kill(process.pid, 'SIGKILL'),`;
    const source = `
      const pool = await open({ handlers: './part-handlers.cjs' });
      const taskId = '01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f0';
      say(await pool.submitTask({ type: 'report', payload: { text: 'a' }, taskId, retry: { initialBackoffMs: 1 } }));
      say(require('node:fs').readdirSync('.').filter((name) => name.startsWith('report-')));
      const error = await require('./charge.cjs').charge(pool, {}).catch((error) => error);
      say({ name: error.name, attempts: error.attempts.length });
      await pool.shutdown();`;
    const path = 'report-01a20dcf-2fdb-74d2-b9f4-8ef7cbff83f0.txt';
    const [report, files, charge] = parsed(await saidBy(source, handlers));
    expect(report).toEqual({ path, attempt: expect.any(Number) });
    expect((report as { attempt: number }).attempt).toBeGreaterThan(1);
    expect(files).toEqual([path]);
    expect(charge).toEqual({ name: 'TaskFailedError', attempts: 1 });
  });

  it('scale with the queue, and put dead letters back', async () => {
    const handlers = `
      fail: (payload, ctx) => { throw Object.assign(new Error('not today'), { reason: 'CLOSED', retryable: false }); },
      wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),`;
    const source = `
      const pool = await open({ handlers: './part-handlers.cjs', maxWorkers: 2 });
      const failed = () => pool.submitTask({ type: 'fail' }).catch(({ reason, attempts }) => [reason, attempts.length]);
      say(await failed());
      const again = require('node:events').once(pool, 'task-dead-lettered');
      const outcomes = await require('./dead-letters.cjs').requeueDeadLetters(pool, 'fail');
      say(outcomes.map(({ error }) => error ?? null));
      await again;
      const [up, down] = ['pool-scaled-up', 'pool-scaled-down'].map((name) => require('node:events').once(pool, name));
      const stopScaling = require('./scaling.cjs').scaleWithQueue(pool, 50);
      const tasks = Array.from({ length: 40 }, () => pool.submitTask({ type: 'wait', payload: 100 }));
      say(await up);
      await Promise.all(tasks);
      say(await down);
      stopScaling();
      await pool.shutdown();`;
    const [failed, log, outcomes, up, down] = await saidBy(source, handlers);
    expect(JSON.parse(failed ?? '')).toEqual(['CLOSED', 1]);
    expect(log).toMatch(/^[-\w]+ CLOSED not today$/);
    expect(JSON.parse(outcomes ?? '')).toEqual([null]);
    expect(JSON.parse(up ?? '')).toEqual([{ count: 1, newSize: 2 }]);
    expect(JSON.parse(down ?? '')).toEqual([{ count: 1, newSize: 1 }]);
  });
});

describe('the tables of the page', () => {
  it('have every event', () => {
    expect(column('event').sort()).toEqual([...POOL_EVENT_NAMES].sort());
  });

  it('have every option, figure and field of a worker', async () => {
    const source = `
      say(await createWorkerPool({ unknown: 1 }).catch(({ message }) => message));
      const pool = await open({ worker: '../worker-process.js' });
      const names = (value, prefix = '') => Object.entries(value).flatMap(([name, inner]) =>
        inner?.constructor === Object ? names(inner, prefix + name + '.') : [prefix + name]);
      say(names(pool.getPoolMetrics()));
      say(Object.keys(pool.getAllWorkersStatus()[0]));
      await pool.shutdown();`;
    const [message, figures, fields] = parsed(await saidBy(source)) as [string, string[], string[]];
    const options = (/known are ([\w, ]+)/.exec(message)?.[1] ?? '').split(', ');
    expect(options.length).toBeGreaterThan(15);
    expect(column('option').sort()).toEqual(options.sort());
    expect(column('figure').sort()).toEqual(figures.sort());
    for (const field of fields) expect(PAGE).toContain(`\`${field}\``);
  });
});

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { endPrograms, ROOT, startCoordinator, startProgram, startWorker } from '../support/programs.js';
import { allFiles } from '../unit/house.js';
import { HANDLERS, makeFolder } from './ledger.js';

afterEach(endPrograms);

const EXAMPLES = `${ROOT}docs/examples/handlers.mjs`;

/** Runs `remuda` at a coordinator to its end. */
async function remuda(address: string, args: readonly string[], stdin?: string) {
  const program = startProgram('remuda', [...args, '--address', address], stdin === undefined ? {} : { stdin: 'pipe' });
  program.child.stdin?.end(stdin);
  const { code } = await program.exit(50_000);
  return { code, stdout: program.stdout, stderr: program.stderr };
}

/** One line for each object of an NDJSON text. */
function objectsIn<T>(ndjson: string): T[] {
  return ndjson.split('\n').map((line) => JSON.parse(line) as T);
}

describe('the command line at a real fleet', () => {
  it('gives of the files of this repository what sha256sum gives', async () => {
    const { address } = await startCoordinator();
    await startWorker(EXAMPLES, address, ['--slots', '4'], { env: { REMUDA_EXAMPLES_ROOT: ROOT } });
    const paths = allFiles();
    expect(paths.length).toBeGreaterThan(100);
    const lines = paths.map((path) => `${JSON.stringify({ path })}\n`).join('');
    const { code, stdout, stderr } = await remuda(address, ['submit', 'file.checksum', '--each', '-'], lines);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const rows = objectsIn<{ line: number; state: string; result: unknown }>(stdout).sort((a, b) => a.line - b.line);
    expect(rows.map(({ line, state, result }) => ({ line, state, result }))).toEqual(
      paths.map((path, index) => {
        const bytes = readFileSync(join(ROOT, path));
        const sha256 = createHash('sha256').update(bytes).digest('hex');
        return { line: index + 1, state: 'SUCCEEDED', result: { path, sha256, bytes: bytes.byteLength } };
      }),
    );
  });

  it('goes on with its lines over a kill -9 of the coordinator, and doubles none', async () => {
    await using place = await makeFolder();
    const listen = ['--store', place.store];
    const first = await startCoordinator(listen);
    await startWorker(HANDLERS, first.address, ['--slots', '2'], { env: place.env });
    const count = 2_000;
    const lines = Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('');
    const each = startProgram('remuda', ['submit', 'echo', '--each', '-', '--address', first.address], {
      stdin: 'pipe',
    });
    each.child.stdin?.end(lines);
    await each.linesThat(() => true, 50, 'fifty rows');
    first.program.kill('SIGKILL');
    await first.program.exit();
    await startCoordinator([...listen, '--listen', first.address]);
    expect((await each.exit(50_000)).code).toBe(0);
    const rows = objectsIn<{ line: number; task_id: string; state: string; result: number }>(each.stdout);
    expect(rows.filter(({ line, state, result }) => state !== 'SUCCEEDED' || result !== line)).toEqual([]);
    expect(new Set(rows.map(({ line }) => line)).size).toBe(count);
    expect(rows).toHaveLength(count);
    const counts = JSON.parse((await remuda(first.address, ['list', '--limit', '10000', '--json'])).stdout) as {
      tasks: { taskId: string }[];
    };
    expect(new Set(counts.tasks.map(({ taskId }) => taskId))).toEqual(new Set(rows.map((row) => row.task_id)));
  });

  it('watches a task to its end, and cancels it', async () => {
    await using place = await makeFolder();
    const { address } = await startCoordinator();
    await startWorker(HANDLERS, address, ['--worker-id', 'w'], { env: place.env });
    const { stdout: taskId } = await remuda(address, ['submit', 'hang-once']);
    const watch = startProgram('remuda', ['watch', taskId, '--address', address]);
    await watch.line(({ text }) => text.includes('attempt 1 on w'), 'running line');
    await place.entered(1);
    const cancelled = await remuda(address, ['cancel', taskId]);
    expect(cancelled).toMatchObject({ code: 0, stdout: `${taskId}  RUNNING` });
    expect((await watch.exit()).code).toBe(1);
    expect(watch.lines.at(-1)?.text).toMatch(/Z {2}CANCELLED /);
    const again = await remuda(address, ['cancel', taskId, '--json']);
    expect(JSON.parse(again.stdout)).toEqual({ taskId, state: 'TASK_STATE_CANCELLED' });
    expect((await remuda(address, ['list', '--state', 'cancelled'])).stdout).toContain(taskId);
  });

  it('drains workers until they are idle, shows it, and gives them work again', async () => {
    await using place = await makeFolder();
    const { address } = await startCoordinator();
    await startWorker(HANDLERS, address, ['--worker-id', 'a/0'], { env: place.env });
    const drained = await remuda(address, ['drain', 'a/*', '--wait', '--json']);
    expect(drained.code).toBe(0);
    expect(JSON.parse(drained.stdout)).toEqual({ workers: [{ workerId: 'a/0' }], workerCount: 1 });
    const { stdout: taskId } = await remuda(address, ['submit', 'echo', '1']);
    const waiting = JSON.parse((await remuda(address, ['get', taskId, '--json'])).stdout) as {
      task: { state: string; waiting: { reason: string } };
    };
    expect(waiting.task).toMatchObject({
      state: 'TASK_STATE_QUEUED',
      waiting: { reason: 'WAITING_REASON_NO_READY_WORKER' },
    });
    expect((await remuda(address, ['workers'])).stdout).toMatch(/a\/0 +DRAINING/);
    expect((await remuda(address, ['queues'])).stdout).toMatch(/echo +1 +0 +0 /);
    expect((await remuda(address, ['stats'])).stdout).toMatch(/DRAIN +HELD\na\/\*/);
    const watch = startProgram('remuda', ['watch', taskId, '--address', address]);
    await watch.line(({ text }) => text.includes('QUEUED'), 'queued line');
    expect(await remuda(address, ['resume', '*'])).toMatchObject({ code: 0, stderr: '1 worker may get work again' });
    expect((await watch.exit()).code).toBe(0);
    expect(watch.lines.at(-1)?.text).toContain('attempt 1 on a/0: 1');
    expect((await remuda(address, ['resume', 'a/*'])).code).toBe(5);
  });

  it('puts a dead letter back in the queue, and deletes it', async () => {
    await using place = await makeFolder();
    const { address } = await startCoordinator();
    await startWorker(HANDLERS, address, [], { env: place.env });
    const failed = await remuda(address, ['submit', 'fail', '{"message":"no luck"}', '--wait', '--json']);
    expect(failed.code).toBe(1);
    const { taskId } = (JSON.parse(failed.stdout) as { task: { taskId: string } }).task;
    expect((await remuda(address, ['dlq', 'list'])).stdout).toMatch(
      new RegExp(`${taskId} +fail +\\S+ +3 +HANDLER_ERROR +no luck`),
    );
    expect((await remuda(address, ['dlq', 'show', taskId])).stdout).toContain('stack:\n  Error: no luck');
    expect(await remuda(address, ['dlq', 'requeue', '--all', '--type', 'fail'])).toEqual({
      ...{ code: 0, stdout: taskId, stderr: '1 requeued' },
    });
    expect((await remuda(address, ['watch', taskId])).code).toBe(1);
    const again = JSON.parse((await remuda(address, ['dlq', 'show', taskId, '--json'])).stdout) as object;
    expect(again).toMatchObject({ task: { attempt: 6, failureCount: 3 } });
    expect(await remuda(address, ['dlq', 'delete', taskId])).toMatchObject({ code: 0, stdout: taskId });
    expect((await remuda(address, ['get', taskId])).code).toBe(5);
    expect(await remuda(address, ['dlq', 'list'])).toMatchObject({ code: 0, stderr: 'no dead letters' });
  });
});

import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { DatabaseSync } from '@photostructure/sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TaskState } from '../../../proto/gen/remuda/v1/task_pb.js';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, parsed } from '../../support/stubs.js';
import { ended, failed, RawWorker, startedWith } from './support.js';

const GOOD_EXIT = { code: 0, signal: null };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'program-'));
});

afterEach(async () => {
  await endPrograms();
  await rm(folder, { recursive: true });
});

const LOCAL = ['--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'];

describe('remuda-coordinator, the store', () => {
  it('refuses a file that is no database, and leaves it', async () => {
    const path = join(folder, 'notes.txt');
    await writeFile(path, 'not a database, but something that somebody wants to keep\n'.repeat(100));
    const { code, text } = await failed([...LOCAL, '--store', `sqlite:${path}`]);
    expect(code).toBe(1);
    expect(text).toContain('remuda-coordinator: cannot start: ');
    expect(text).toContain(path);
    expect(text).toMatch(/no(t a)? (SQLite )?database/i);
    expect((await readFile(path, 'utf8')).startsWith('not a database')).toBe(true);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a file that it may not write', async () => {
    const path = join(folder, 'r.db');
    await stopped(`sqlite:${path}`);
    await chmod(path, 0o444);
    const { code, text } = await failed([...LOCAL, '--store', `sqlite:${path}`]);
    expect(code).toBe(1);
    expect(text).toContain(path);
    expect(text).toMatch(/read-only|may not be written|permission/i);
  });

  it('refuses a file that a newer one has written', async () => {
    const path = join(folder, 'newer.db');
    await stopped(`sqlite:${path}`);
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA user_version = 9; UPDATE meta SET value = 8 WHERE key = 'breaking_version'`);
    db.close();
    const { code, text } = await failed([...LOCAL, '--store', `sqlite:${path}`]);
    expect(code).toBe(1);
    expect(text).toContain(path);
    expect(text).toContain('start the newer version');
  });

  it('refuses a file that another living one owns, and takes it over when that was killed', async () => {
    const store = `sqlite:${join(folder, 'owned.db')}`;
    const { program } = await startCoordinator(['--store', store]);
    const { code, text } = await failed([...LOCAL, '--store', store]);
    expect(code).toBe(1);
    expect(text).toContain('owned.db');
    expect(text).toContain(String(program.pid));
    program.kill('SIGKILL');
    await program.exit();
    const { program: next } = await startCoordinator(['--store', store]);
    next.kill('SIGTERM');
    expect(await next.exit()).toEqual(GOOD_EXIT);
  });

  it('refuses a store that is none', async () => {
    const { code, text } = await failed([...LOCAL, '--store', 'postgres://x']);
    expect(code).toBe(2);
    expect(text).toMatch(/postgres:\/\/x.*sqlite:PATH/);
  });

  it('says nothing on stdout that it is ready when it is not', async () => {
    const { out } = await failed([...LOCAL, '--store', `sqlite:${folder}/none/x.db`]);
    expect(out).not.toContain('"ready"');
  });

  async function stopped(store: string): Promise<void> {
    const { program } = await startCoordinator(['--store', store]);
    program.kill('SIGTERM');
    expect(await program.exit()).toEqual(GOOD_EXIT);
  }

  it('keeps the queue, its options and its results over a restart', async () => {
    const store = `sqlite:${join(folder, 'kept.db')}`;
    const first = await startedWith(store);
    const worker = await RawWorker.join(first.address);
    const done = first.stubs.run({ task: { taskId: randomUUID(), type: 'echo', payload: json({ n: 1 }) } });
    worker.report((await worker.assignment()).attempt, { ok: true });
    const doneId = (await done).task?.taskId ?? '';
    const options = {
      priority: 77,
      requiredLabels: { zone: 'a' },
      timeout: durationFromMs(1_234),
      deadline: timestampFromMs(Date.now() + 3_600_000),
      metadata: { who: 'me' },
      retryPolicy: { maxAttempts: 9, nonRetryableReasons: ['NO'] },
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    };
    const waiting = { taskId: randomUUID(), type: 'later', payload: json({ big: 'x'.repeat(10_000) }), options };
    await first.stubs.submit(waiting);
    const scheduled = await first.stubs.submit({
      type: 'later',
      options: { runTime: timestampFromMs(Date.now() + 3_600_000) },
    });
    const before = await first.stubs.get(waiting.taskId);
    first.program.kill('SIGTERM');
    expect(await first.program.exit()).toEqual(GOOD_EXIT);
    worker[Symbol.dispose]();
    first.stubs[Symbol.dispose]();

    const { address, stubs } = await startedWith(store);
    using _ = stubs;
    expect(await stubs.get(waiting.taskId)).toEqual(before);
    expect(await stubs.submit(waiting)).toMatchObject({ alreadyExisted: true });
    expect((await stubs.get(scheduled.taskId)).state).toBe(TaskState.SCHEDULED);
    const finished = await stubs.get(doneId);
    expect(finished.state).toBe(TaskState.SUCCEEDED);
    expect(parsed(finished.result)).toEqual({ ok: true });

    const hello = { workerId: 'later', taskTypes: [{ type: 'later' }], labels: { zone: 'a' } };
    using late = await RawWorker.join(address, { hello });
    const { attempt, payload, ...assignment } = await late.assignment();
    expect(attempt).toMatchObject({ taskId: waiting.taskId, attempt: 1 });
    expect(parsed(payload)).toEqual({ big: 'x'.repeat(10_000) });
    expect(assignment).toMatchObject({ timeoutMs: 1_234, metadata: { who: 'me' }, traceparent: options.traceparent });
    late.report(attempt, 'after the restart');
    expect((await ended(stubs, waiting.taskId)).state).toBe(TaskState.SUCCEEDED);
  });
});

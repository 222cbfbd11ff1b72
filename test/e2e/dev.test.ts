import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { endPrograms, isAlive, startProgram, type Program } from '../support/programs.js';
import { Stubs } from '../support/stubs.js';
import { makeFolder } from './ledger.js';

afterEach(endPrograms);

const ANY_PORT = ['--listen', '127.0.0.1:0', '--http', '127.0.0.1:0', '--processes', '2'];

describe('remuda dev', () => {
  it('runs real tasks over real files, and keeps them over a restart', async () => {
    await using place = await makeFolder();
    await writeFile(join(place.folder, 'file.txt'), 'some text\n');
    const dev = startProgram('remuda', ['dev', ...ANY_PORT], { cwd: place.folder });
    const address = await addressOf(dev);
    const submit = ['submit', 'file.checksum', '{"path":"file.txt"}', '--wait', '--address', address];
    const submitted = startProgram('remuda', submit, { cwd: place.folder });
    expect(await submitted.exit()).toMatchObject({ code: 0 });
    const sha256 = createHash('sha256').update('some text\n').digest('hex');
    expect(JSON.parse(submitted.stdout)).toEqual({ path: 'file.txt', sha256, bytes: 10 });
    const queued = startProgram('remuda', ['submit', 'nobody.does', 'null', '--address', address]);
    expect(await queued.exit()).toMatchObject({ code: 0 });

    dev.kill('SIGINT');
    expect(await dev.exit()).toMatchObject({ code: 0 });

    const again = startProgram('remuda', ['dev', ...ANY_PORT], { cwd: place.folder });
    const got = startProgram('remuda', ['get', queued.stdout.trim(), '--json', '--address', await addressOf(again)]);
    expect(await got.exit()).toMatchObject({ code: 0 });
    expect(JSON.parse(got.stdout)).toMatchObject({ task: { state: 'TASK_STATE_QUEUED', type: 'nobody.does' } });
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('leaves no process behind after %s', async (signal) => {
    await using place = await makeFolder();
    const dev = startProgram('remuda', ['dev', ...ANY_PORT], { cwd: place.folder });
    using stubs = new Stubs(await addressOf(dev));
    const workers = (await stubs.workers()).map(({ pid }) => pid);
    expect(workers).toHaveLength(2);
    const log = await readFile(join(place.folder, '.remuda/coordinator.log'), 'utf8');
    const { pid } = JSON.parse(log.split('\n')[0] ?? '') as { pid: number };
    dev.kill(signal);
    await dev.exit();
    await expect.poll(() => [pid, ...workers].filter(isAlive), { timeout: 20_000 }).toEqual([]);
  });

  it('says which child ended, and stops the other', async () => {
    await using place = await makeFolder();
    const dev = startProgram('remuda', ['dev', ...ANY_PORT], { cwd: place.folder });
    using stubs = new Stubs(await addressOf(dev));
    const workers = (await stubs.workers()).map(({ pid }) => pid);
    const log = await readFile(join(place.folder, '.remuda/coordinator.log'), 'utf8');
    const { pid } = JSON.parse(log.split('\n')[0] ?? '') as { pid: number };
    process.kill(pid, 'SIGKILL');
    expect(await dev.exit(30_000)).toMatchObject({ code: 1 });
    expect(dev.stderr).toContain('the coordinator was ended by SIGKILL');
    expect(workers.filter(isAlive)).toEqual([]);
  });

  it('says what is wrong when its address is in use', async () => {
    await using place = await makeFolder();
    const first = startProgram('remuda', ['dev', ...ANY_PORT], { cwd: place.folder });
    const address = await addressOf(first);
    const args = ['dev', '--data', 'other', '--listen', address, '--http', '127.0.0.1:0', '--processes', '1'];
    const second = startProgram('remuda', args, { cwd: place.folder });
    expect(await second.exit()).toMatchObject({ code: 1 });
    expect(second.stderr).toContain(`cannot listen on ${address}`);
  });
});

async function addressOf(dev: Program): Promise<string> {
  const { text } = await dev.line((line) => line.text.includes('(gRPC)'), 'line with the address', 40_000);
  return /\S+:\d+/.exec(text)?.[0] ?? '';
}

import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPoolLog, type PoolLog, type PoolLogOptions } from '../../../coordinator/pool/pool-log.js';
import { endPrograms, ROOT, startNode } from '../../support/programs.js';

interface Line {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
  readonly worker_id?: string;
  readonly stream?: string;
  readonly count?: number;
  readonly detail?: string;
  readonly n?: number;
}

let folder: string;
let path: string;
let clock: { nowMs: number };
let printed: string;
const opened: PoolLog[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pool-log-'));
  path = join(folder, 'logs', 'worker-pool.log');
  clock = { nowMs: 0 };
  printed = '';
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((log) => log.close()));
  await endPrograms();
  await rm(folder, { recursive: true });
});

function open(options: Partial<PoolLogOptions> = {}): PoolLog {
  const stderr = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      printed += chunk.toString();
      done();
    },
  });
  const log = openPoolLog({ path, level: 'info', nowMs: () => clock.nowMs, stderr, ...options });
  opened.push(log);
  return log;
}

function parse(text: string): Line[] {
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  return lines.map((line) => JSON.parse(line) as Line);
}

function linesIn(file: string): Line[] {
  return parse(readFileSync(file, 'utf8'));
}

function messagesIn(file: string): string[] {
  return linesIn(file).map(({ msg }) => msg);
}

/** Prints a line as a worker; fulfilled when it, and all that was logged before, is where it goes. */
function print(log: PoolLog, line: string): Promise<void> {
  const { stdout } = log.childOutput('pool/0');
  return new Promise((done) => stdout.write(`${line}\n`, () => done()));
}

/** The log's files, the oldest first. */
async function files(): Promise<string[]> {
  const numberOf = (name: string): number => Number(name.slice('worker-pool.log.'.length));
  const names = await readdir(dirname(path));
  return names.sort((a, b) => numberOf(b) - numberOf(a)).map((name) => join(dirname(path), name));
}

describe('the log of a pool', () => {
  it('is JSON lines in a file for its owner alone, whose folder it makes, after what is there', async () => {
    const first = open();
    first.logger.info({ n: 1 }, 'one');
    await first.close();
    const second = open();
    second.logger.debug('not at this level');
    second.logger.warn('two');
    await second.close();
    expect(linesIn(path)).toMatchObject([
      { level: 30, msg: 'one', n: 1, time: expect.any(Number) as number },
      { level: 40, msg: 'two' },
    ]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(first.warning).toBeUndefined();
  });

  it('begins a line of its own after one that a killed process could not finish', async () => {
    await mkdir(dirname(path));
    await writeFile(path, '{"level":30,"msg":"ha');
    const log = open();
    await print(log, 'whole');
    expect(readFileSync(path, 'utf8')).toMatch(/^\{"level":30,"msg":"ha\n\{.*"msg":"whole"\}\n$/);
  });

  it('writes what waits before it is closed, and nothing after', async () => {
    const log = open();
    for (let n = 0; n < 1_000; n += 1) log.logger.info({ n }, 'line');
    const closed = log.close();
    expect(log.close()).toBe(closed);
    log.logger.info('late');
    await closed;
    expect(linesIn(path).map(({ n }) => n)).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    await print(log, 'later');
    expect(linesIn(path)).toHaveLength(1_000);
  });

  it('is nowhere when it is not wanted, and holds nobody up', async () => {
    const log = open({ path: false });
    log.logger.fatal('unseen');
    const { stdout, stderr } = log.childOutput('pool/0');
    const megabyte = 'x'.repeat(1_048_576);
    for (const stream of [stdout, stderr]) await new Promise((done) => stream.write(megabyte, done));
    await log.close();
    expect(log.warning).toBeUndefined();
    expect(await readdir(folder)).toEqual([]);
    expect(printed).toBe('');
  });
});

describe('the files of the log', () => {
  it('keep every line in its order, the newest under the live name', async () => {
    const log = open({ maxBytes: 4_096, maxFiles: 40 });
    for (let n = 0; n < 500; n += 1) {
      log.logger.info({ n }, 'line');
      if (n % 10 === 9) await print(log, 'ten');
    }
    await log.close();
    const all = await files();
    expect(all.at(-1)).toBe(path);
    expect(all.length).toBeGreaterThan(5);
    for (const file of all) expect((await stat(file)).size).toBeLessThanOrEqual(4_096);
    const numbers = all.flatMap(linesIn).flatMap(({ n }) => (n === undefined ? [] : [n]));
    expect(numbers).toEqual(Array.from({ length: 500 }, (_, n) => n));
  });

  it('are no more than asked for: the oldest goes', async () => {
    const log = open({ maxBytes: 1_024, maxFiles: 2 });
    for (let n = 0; n < 100; n += 1) await print(log, `line ${n}`);
    const all = await files();
    expect(all).toEqual([`${path}.2`, `${path}.1`, path]);
    const messages = all.flatMap(messagesIn);
    expect(messages).toEqual(Array.from({ length: messages.length }, (_, i) => `line ${100 - messages.length + i}`));
  });

  it('are never in a half state: one that cannot be rotated stays, and grows, and says so once', async () => {
    await mkdir(join(`${path}.1`, 'in the way'), { recursive: true });
    const log = open({ maxBytes: 1_024, maxFiles: 1 });
    for (let n = 0; n < 50; n += 1) {
      await print(log, `line ${n}`);
      clock.nowMs += 100;
    }
    const lines = linesIn(path);
    expect(lines.filter(({ stream }) => stream !== undefined)).toHaveLength(50);
    const told = lines.filter(({ msg }) => msg === 'log-not-rotated');
    expect(told).toMatchObject([
      { level: 40, detail: expect.stringMatching(/worker-pool\.log\.1.* 1024 bytes/) as string },
    ]);
    await rm(`${path}.1`, { recursive: true });
    clock.nowMs += 1_000;
    await print(log, 'after');
    expect(messagesIn(path)).toEqual(['after']);
  });

  it('are found again within a second when somebody renames or removes them', async () => {
    const log = open();
    await print(log, 'first');
    await rename(path, `${path}.moved`);
    clock.nowMs = 999;
    await print(log, 'still there');
    clock.nowMs = 1_000;
    await print(log, 'anew');
    expect(messagesIn(`${path}.moved`)).toEqual(['first', 'still there']);
    expect(messagesIn(path)).toEqual(['anew']);
    await rm(dirname(path), { recursive: true });
    clock.nowMs = 2_000;
    await print(log, 'again');
    expect(messagesIn(path)).toEqual(['again']);
  });

  it('are rotated by one of two that share them, which the other follows', async () => {
    const [one, two] = [open({ maxBytes: 2_048 }), open({ maxBytes: 2_048 })];
    await print(two, 'two is here');
    while (!existsSync(`${path}.1`)) await print(one, 'filling');
    clock.nowMs = 1_000;
    await print(two, 'two follows');
    expect(messagesIn(path)).toContain('two follows');
    expect(await files()).toHaveLength(2);
  });

  it('are rotated although a killed process has left its lock, after 10 s', async () => {
    await mkdir(dirname(path));
    await writeFile(`${path}.lock`, '');
    const log = open({ maxBytes: 1_024 });
    for (let n = 0; n < 50; n += 1) await print(log, `line ${n}`);
    clock.nowMs = 9_999;
    await print(log, 'line 50');
    expect(messagesIn(path)).toHaveLength(51);
    clock.nowMs = 10_000;
    await print(log, 'line 51');
    await print(log, 'line 52');
    expect(messagesIn(`${path}.1`)).toHaveLength(52);
    expect(messagesIn(path)).toEqual(['line 52']);
    expect(await files()).toEqual([`${path}.1`, path]);
  });

  it('take whole lines from two processes at once, and lose none', async () => {
    const LINES = 3_000;
    const script = `
      import { openPoolLog } from '${ROOT}dist/coordinator/pool/pool-log.js';
      const [name, path] = process.argv.slice(1);
      const log = openPoolLog({ path, level: 'info', nowMs: () => performance.now(), maxBytes: 65_536, maxFiles: 40 });
      const { stdout } = log.childOutput(name);
      for (let n = 0; n < ${LINES}; n += 1) {
        log.logger.info({ name, n }, 'x'.repeat(n % 200));
        if (n % 20 === 0) await new Promise((done) => stdout.write(name + ' ' + n + '\\n', done));
      }
      await log.close();`;
    const programs = ['a', 'b'].map((name) =>
      startNode(name, ['--input-type=module', '--eval', script, '--', name, path]),
    );
    for (const program of programs) expect(await program.exit(), program.stderr).toMatchObject({ code: 0 });
    const all = await files();
    expect(all.length).toBeGreaterThan(1);
    // A file that was opened in the middle of the other's append may begin with an empty line.
    const texts = all.flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((text) => text !== ''),
    );
    const lines = texts.map((text) => JSON.parse(text) as Line & { readonly name?: string });
    for (const name of ['a', 'b']) {
      const numbers = lines.filter((line) => line.name === name).map(({ n }) => n);
      expect(numbers).toEqual(Array.from({ length: LINES }, (_, n) => n));
      expect(lines.filter((line) => line.worker_id === name)).toHaveLength(LINES / 20);
    }
  });
});

describe('a log that cannot be written', () => {
  it('goes to stderr, workers included, and says where, why and what to do', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const log = open({ path: join(file, 'logs', 'worker-pool.log') });
    expect(log.warning).toMatch(
      /\/file\/logs\/worker-pool\.log cannot be written \(ENOTDIR.*logFile: '.*logFile: false/,
    );
    log.logger.info('from the pool');
    await print(log, 'from a worker');
    await log.close();
    expect(parse(printed)).toMatchObject([{ msg: 'from the pool' }, { msg: 'from a worker', worker_id: 'pool/0' }]);
  });

  it.skipIf(!existsSync('/dev/full'))(
    'loses lines while the disk is full, and tells how many when it is not',
    async () => {
      await mkdir(dirname(path));
      await symlink('/dev/full', path);
      const log = open();
      await print(log, 'lost 1');
      expect(parse(printed)).toMatchObject([
        { msg: 'log-not-written', detail: expect.stringMatching(/^ENOSPC/) as string },
      ]);
      await rm(path);
      clock.nowMs = 999;
      log.logger.info('lost 2');
      await print(log, 'lost 3');
      expect(existsSync(path)).toBe(false);
      clock.nowMs = 1_000;
      await print(log, 'kept');
      expect(linesIn(path)).toMatchObject([
        { level: 40, msg: 'lines-lost', count: 3, detail: expect.stringMatching(/^ENOSPC/) as string },
        { msg: 'kept' },
      ]);
      expect(parse(printed)).toHaveLength(1);
    },
  );

  it.skipIf(!existsSync('/dev/full'))('tells on stderr at the end what it has lost for good', async () => {
    await mkdir(dirname(path));
    await symlink('/dev/full', path);
    const log = open();
    for (let n = 0; n < 5; n += 1) log.logger.info('lost');
    await log.close();
    expect(parse(printed)).toMatchObject([{ msg: 'log-not-written' }, { msg: 'lines-lost', count: 5 }]);
  });

  it.skipIf(!existsSync('/dev/full'))('is tried a last time at the end', async () => {
    await mkdir(dirname(path));
    await symlink('/dev/full', path);
    const log = open();
    await print(log, 'lost');
    await rm(path);
    await log.close();
    expect(linesIn(path)).toMatchObject([{ msg: 'lines-lost', count: 1 }]);
    expect(parse(printed)).toHaveLength(1);
  });

  it('drops what is more than 4 MiB ahead of it, and tells how much', async () => {
    const log = open();
    const text = 'x'.repeat(65_536);
    for (let n = 0; n < 100; n += 1) log.logger.info({ n }, text);
    await log.close();
    const lines = linesIn(path);
    const kept = lines.flatMap(({ n }) => (n === undefined ? [] : [n]));
    expect(kept).toEqual(Array.from({ length: 63 }, (_, n) => n));
    const told = lines.flatMap(({ count, msg }) => (msg === 'lines-lost' ? [count] : []));
    expect(told).toEqual([37]);
  });

  it('tells of what it drops without waiting for the next line', async () => {
    const told = new Promise<string>((done) => {
      const stderr = new Writable({ write: (chunk: Buffer) => done(chunk.toString()) });
      const log = openPoolLog({ path: join(process.execPath, 'l'), level: 'info', nowMs: () => 0, stderr });
      log.logger.info('x'.repeat(4 * 1_048_576));
    });
    expect(parse(await told)).toMatchObject([{ msg: 'lines-lost', count: 1 }]);
  });
});

describe("workers' output", () => {
  it('is a line each, with its worker and stream', async () => {
    const log = open({ level: 'fatal' });
    const { stdout, stderr } = log.childOutput('pool/7');
    stdout.write('said "so"\r\n');
    stdout.write('\n');
    stdout.write('{"level":"info","msg":"of another logger"}\n');
    stdout.write('{"level":30,"msg":"broken"\n');
    stdout.end('no end');
    await new Promise<void>((done) => stderr.end('went wrong\n', done));
    await log.close();
    const common = { time: expect.any(Number) as number, worker_id: 'pool/7', pool_pid: process.pid };
    const messages = [
      'said "so"',
      '',
      '{"level":"info","msg":"of another logger"}',
      '{"level":30,"msg":"broken"',
      'no end',
    ];
    const lines = linesIn(path);
    expect(lines.filter(({ stream }) => stream === 'stdout')).toEqual(
      messages.map((msg) => ({ ...common, level: 30, stream: 'stdout', msg })),
    );
    expect(lines.filter(({ stream }) => stream === 'stderr')).toEqual([
      { ...common, level: 40, stream: 'stderr', msg: 'went wrong' },
    ]);
  });

  it('is complete and in order, however much comes at once', async () => {
    const log = open();
    const { stdout } = log.childOutput('pool/0');
    for (let n = 0; n < 1_000; n += 1) stdout.write(`${n}\n`);
    await new Promise<void>((done) => stdout.end('1000\n1001\n', done));
    expect(messagesIn(path)).toEqual(Array.from({ length: 1_002 }, (_, n) => String(n)));
  });

  it("passes as it is when it has the log's own form, and is given its worker if it names none, or another", async () => {
    const log = open();
    const own = '{"level":20,"time":1,"worker_id":"pool/0","msg":"own"}';
    await print(log, own);
    await print(log, '{"level":20,"time":1,"worker_id":"other","msg":"other"}');
    await print(log, '{"level":50,"time":2,"msg":"none", "n":1e2 } ');
    const lines = readFileSync(path, 'utf8').split('\n');
    const other = '{"level":20,"time":1,"worker_id":"other","msg":"other","worker_id":"pool/0"}';
    expect(lines).toEqual([own, other, '{"level":50,"time":2,"msg":"none", "n":1e2 ,"worker_id":"pool/0"}', '']);
  });

  it('waits while the log is slow, and makes neither the others nor the pool wait', async () => {
    const held: (() => void)[] = [];
    const got: string[] = [];
    const slow = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        got.push(chunk.toString());
        held.push(done);
      },
    });
    const log = open({ path: join(process.execPath, 'below a file'), stderr: slow });
    const loud = log.childOutput('pool/0').stdout;
    const quiet = log.childOutput('pool/1').stdout;
    const line = `${'x'.repeat(1_000)}\n`;
    let printedLines = 0;
    do printedLines += 1;
    while (loud.write(line) && printedLines < 1_000);
    expect(printedLines).toBeLessThan(70);
    log.logger.info('the pool goes on');
    expect(quiet.write('so do the others\n')).toBe(true);
    let isDrained = false;
    const drained = new Promise<void>((done) => {
      loud.once('drain', () => {
        isDrained = true;
        done();
      });
    });
    await new Promise(setImmediate);
    expect(isDrained).toBe(false);
    // From here on it is fast.
    slow._write = (chunk: Buffer, _encoding, done) => {
      got.push(chunk.toString());
      done();
    };
    for (const done of held.splice(0)) done();
    await drained;
    await log.close();
    const lines = parse(got.join(''));
    expect(lines.filter(({ worker_id: id }) => id === 'pool/0')).toHaveLength(printedLines);
    expect(lines.map(({ msg }) => msg)).toEqual(expect.arrayContaining(['the pool goes on', 'so do the others']));
  });
});

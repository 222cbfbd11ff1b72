import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createContext, failureOf, openFilesBelow, refusal, setup } from './support.js';

/** Several chunks that compress to several chunks. */
const LARGE = Buffer.from(
  Array.from({ length: 1_000_003 }, (_, index) => (Math.imul(index, 2_654_435_761) >>> 13) & 0x3f),
);

async function setupSource(bytes: Uint8Array | string = LARGE) {
  const bundle = await setup();
  const source = bundle.write('data.bin', bytes);
  const run = (payload: object, ctx = createContext().ctx) => bundle.gzip({ path: 'data.bin', ...payload }, ctx);
  return { ...bundle, source, run, names: (directory = '.') => readdirSync(join(bundle.root, directory)).sort() };
}

describe('file.gzip', () => {
  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['a small file', Buffer.from('Remuda')],
    ['a file of many chunks', LARGE],
  ])('should compress %s so that gunzip gives it back', async (_name, bytes) => {
    const { run, root, names } = await setupSource(bytes);
    const { ctx, reports } = createContext();
    const result = await run({ target: 'data.bin.gz' }, ctx);
    const written = readFileSync(join(root, 'data.bin.gz'));
    expect(gunzipSync(written).equals(bytes)).toBe(true);
    expect(result).toEqual({
      path: 'data.bin',
      target: 'data.bin.gz',
      bytes: bytes.length,
      targetBytes: written.length,
    });
    expect(reports).toEqual([{ bytes: bytes.length, total: bytes.length }]);
    expect(names()).toEqual(['data.bin', 'data.bin.gz']);
  });

  it('should write the same bytes each time', async () => {
    const { run, root } = await setupSource();
    await run({ target: 'one.gz' });
    await run({ target: 'two.gz' });
    expect(readFileSync(join(root, 'one.gz')).equals(readFileSync(join(root, 'two.gz')))).toBe(true);
  });

  it('should give the target no more permissions than the source has', async () => {
    const { run, root, source } = await setupSource('private');
    chmodSync(source, 0o600);
    await run({ target: 'private.gz' });
    expect(statSync(join(root, 'private.gz')).mode & 0o777).toBe(0o600);
  });

  it('should write to a name as long as the file system allows', async () => {
    const { run, names } = await setupSource('x');
    const target = 'x'.repeat(255);
    await run({ target });
    expect(names()).toContain(target);
  });

  it('should leave nothing behind when it is aborted in the middle', async () => {
    const { run, names, root, tickPerLook } = await setupSource();
    tickPerLook(100);
    const during: string[][] = [];
    const { ctx, controller, reports } = createContext({
      onProgress: ({ bytes }) => {
        if (bytes < LARGE.length / 2) return;
        during.push(names());
        controller.abort(new Error('timed out'));
      },
    });
    expect(await failureOf(run({ target: 'data.bin.gz' }, ctx))).toBe(controller.signal.reason);
    expect(during).toEqual([[`.remuda-${ctx.taskId}-1.tmp`, 'data.bin']]);
    expect(reports.at(-1)?.bytes).toBeLessThan(LARGE.length);
    expect(names()).toEqual(['data.bin']);
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('should leave nothing behind, and an existing target alone, when the source is changed meanwhile', async () => {
    const { run, names, root, source, tickPerLook } = await setupSource();
    writeFileSync(join(root, 'data.bin.gz'), 'old');
    tickPerLook(100);
    const { ctx } = createContext({
      onProgress: ({ bytes }) => {
        if (bytes < LARGE.length) appendFileSync(source, '.');
      },
    });
    expect(await failureOf(run({ target: 'data.bin.gz', overwrite: true }, ctx))).toMatchObject({
      reason: 'FILE_CHANGED',
      retryable: true,
    });
    expect(names()).toEqual(['data.bin', 'data.bin.gz']);
    expect(readFileSync(join(root, 'data.bin.gz'), 'utf8')).toBe('old');
  });

  it('should fail, to be retried, when its temporary file is taken away', async () => {
    const { run, root, tickPerLook, names } = await setupSource();
    tickPerLook(100);
    const { ctx, warnings } = createContext({
      onProgress: () => rmSync(join(root, `.remuda-${ctx.taskId}-1.tmp`), { force: true }),
    });
    expect(await failureOf(run({ target: 'data.bin.gz' }, ctx))).toMatchObject({
      reason: 'IO_FAILED',
      retryable: true,
      message: expect.stringMatching(/removed before it was complete/) as string,
    });
    expect(names()).toEqual(['data.bin']);
    expect(warnings).toEqual([]);
  });
});

describe('an existing target', () => {
  it('should be refused and kept', async () => {
    const { run, root, names } = await setupSource();
    writeFileSync(join(root, 'taken.gz'), 'mine');
    expect(await failureOf(run({ target: 'taken.gz' }))).toMatchObject(
      refusal('TARGET_EXISTS', /"taken.gz" exists already. Give another target, or "overwrite": true/),
    );
    expect(readFileSync(join(root, 'taken.gz'), 'utf8')).toBe('mine');
    expect(names()).toEqual(['data.bin', 'taken.gz']);
  });

  it('should be refused and kept when it appears while the task runs, whatever it holds', async () => {
    const { run, root, names, tickPerLook } = await setupSource();
    await run({ target: 'same.gz' });
    tickPerLook(100);
    for (const content of [Buffer.from('mine'), readFileSync(join(root, 'same.gz'))]) {
      const { ctx } = createContext({ onProgress: () => writeFileSync(join(root, 'late.gz'), content) });
      expect(await failureOf(run({ target: 'late.gz' }, ctx))).toMatchObject(
        refusal('TARGET_EXISTS', /exists already/),
      );
      expect(readFileSync(join(root, 'late.gz')).equals(content)).toBe(true);
      expect(names()).toEqual(['data.bin', 'late.gz', 'same.gz']);
      rmSync(join(root, 'late.gz'));
    }
  });

  it('should be replaced with overwrite', async () => {
    const { run, root, names } = await setupSource();
    writeFileSync(join(root, 'taken.gz'), 'mine');
    await run({ target: 'taken.gz', overwrite: true });
    expect(gunzipSync(readFileSync(join(root, 'taken.gz'))).equals(LARGE)).toBe(true);
    expect(names()).toEqual(['data.bin', 'taken.gz']);
  });

  it('should be accepted by a later attempt when an earlier one has written it', async () => {
    const { run, names } = await setupSource();
    const first = await run({ target: 'data.bin.gz' });
    const second = await run({ target: 'data.bin.gz' }, createContext({ attempt: 2 }).ctx);
    expect(second).toEqual(first);
    expect(names()).toEqual(['data.bin', 'data.bin.gz']);
  });

  it('should be refused by a later attempt when it is anything else, also of the same size', async () => {
    const { run, root } = await setupSource();
    await run({ target: 'data.bin.gz' });
    const other = readFileSync(join(root, 'data.bin.gz'));
    other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
    for (const content of [other, Buffer.from('short')]) {
      writeFileSync(join(root, 'data.bin.gz'), content);
      const { ctx } = createContext({ attempt: 2 });
      expect(await failureOf(run({ target: 'data.bin.gz' }, ctx))).toMatchObject({ reason: 'TARGET_EXISTS' });
      expect(readFileSync(join(root, 'data.bin.gz')).equals(content)).toBe(true);
    }
  });

  it('should be refused when it is the source, under whatever name', async () => {
    const { run, source, root } = await setupSource('data');
    for (const target of ['data.bin', './data.bin', source]) {
      expect(await failureOf(run({ target, overwrite: true }))).toMatchObject(
        refusal('INVALID_PAYLOAD', /is the file to be compressed itself/),
      );
    }
    expect(readFileSync(join(root, 'data.bin'), 'utf8')).toBe('data');
  });
});

describe('what an earlier attempt left behind', () => {
  it('should be removed by the next attempt of the same task, and only that', async () => {
    const { run, names, write } = await setupSource('x');
    const { ctx } = createContext({ attempt: 3 });
    write(`.remuda-${ctx.taskId}-1.tmp`, 'half');
    write(`.remuda-${ctx.taskId}-2.tmp`, 'half');
    write(`.remuda-${ctx.taskId}-4.tmp`, 'a newer attempt');
    write('.remuda-another-1.tmp', 'another task');
    await run({ target: 'x.gz' }, ctx);
    expect(names()).toEqual([`.remuda-${ctx.taskId}-4.tmp`, '.remuda-another-1.tmp', 'data.bin', 'x.gz']);
  });
});

describe('a target in the wrong place', () => {
  it('should be refused when its directory does not exist', async () => {
    const { run, root } = await setupSource('x');
    expect(await failureOf(run({ target: 'missing/x.gz' }))).toMatchObject(
      refusal('PATH_NOT_FOUND', /directory of the target "missing\/x.gz" does not exist/),
    );
    expect(existsSync(join(root, 'missing'))).toBe(false);
  });

  it('should be refused when it is a directory, or written like one', async () => {
    const { run, root } = await setupSource('x');
    mkdirSync(join(root, 'dir'));
    expect(await failureOf(run({ target: 'dir', overwrite: true }))).toMatchObject(
      refusal('NOT_A_REGULAR_FILE', /target "dir" is a directory/),
    );
    for (const target of ['dir/', 'new/', '.', 'dir/.', root]) {
      expect(await failureOf(run({ target }))).toMatchObject(refusal('INVALID_PAYLOAD', /names a directory/));
    }
  });

  it('should be refused when it is a symbolic link, wherever that leads', async () => {
    const { run, root, outside } = await setupSource('x');
    writeFileSync(join(outside, 'victim'), 'untouched');
    symlinkSync(join(outside, 'victim'), join(root, 'out.gz'));
    symlinkSync(join(outside, 'new'), join(root, 'dangling.gz'));
    symlinkSync('data.bin', join(root, 'in.gz'));
    for (const target of ['out.gz', 'dangling.gz', 'in.gz']) {
      for (const overwrite of [false, true]) {
        expect(await failureOf(run({ target, overwrite }))).toMatchObject(
          refusal('NOT_A_REGULAR_FILE', /is a symbolic link/),
        );
      }
    }
    expect(readdirSync(outside)).toEqual(['victim']);
    expect(readFileSync(join(outside, 'victim'), 'utf8')).toBe('untouched');
    expect(readFileSync(join(root, 'data.bin'), 'utf8')).toBe('x');
  });

  it('should be refused when its directory is a link to the outside', async () => {
    const { run, root, outside } = await setupSource('x');
    symlinkSync(outside, join(root, 'link'));
    for (const target of ['link/x.gz', join(outside, 'x.gz'), '../outside/x.gz']) {
      expect(await failureOf(run({ target }))).toMatchObject({ reason: 'PATH_OUTSIDE_ROOT', retryable: false });
    }
    expect(readdirSync(outside)).toEqual([]);
  });

  it('should be written through a directory link that stays inside', async () => {
    const { run, root, names } = await setupSource('x');
    mkdirSync(join(root, 'dir'));
    symlinkSync('dir', join(root, 'link'));
    await run({ target: 'link/x.gz' });
    expect(names('dir')).toEqual(['x.gz']);
  });
});

describe('a payload of file.gzip', () => {
  it.each([
    ['no target', { path: 'data.bin' }, /"target" must be a string that is not empty, and it is missing/],
    [
      'overwrite as text',
      { path: 'data.bin', target: 'x', overwrite: 'yes' },
      /"overwrite" must be true or false, not "yes"/,
    ],
    [
      'a misspelt field',
      { path: 'data.bin', target: 'x', overwite: true },
      /unknown field "overwite". Known fields: path, target, overwrite/,
    ],
    ['a NUL in the target', { path: 'data.bin', target: 'x\0' }, /contains a NUL/],
    ['an array', ['data.bin', 'x'], /must be a JSON object such as .+, not \["data.bin","x"\]/],
    ['null', null, /must be a JSON object such as .+, not null/],
  ])('should be refused: %s', async (_name, payload, message) => {
    const { gzip, names } = await setupSource('x');
    expect(await failureOf(gzip(payload, createContext().ctx))).toMatchObject(refusal('INVALID_PAYLOAD', message));
    expect(names()).toEqual(['data.bin']);
  });
});

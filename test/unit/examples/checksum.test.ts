import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createContext, failureOf, openFilesBelow, setup } from './support.js';

/** Several chunks that differ from one another. */
const LARGE = Buffer.from(Array.from({ length: 1_000_003 }, (_, index) => (index * 31 + (index >> 9)) & 0xff));

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('file.checksum', () => {
  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['a small file', Buffer.from('Remuda')],
    ['a file of many chunks', LARGE],
  ])('should hash %s', async (_name, bytes) => {
    const { handlers, write } = await setup();
    write('dir/file.bin', bytes);
    const { ctx, reports } = createContext();
    expect(await handlers['file.checksum']({ path: 'dir/file.bin' }, ctx)).toEqual({
      path: 'dir/file.bin',
      sha256: sha256(bytes),
      bytes: bytes.length,
    });
    expect(reports).toEqual([{ bytes: bytes.length, total: bytes.length }]);
  });

  it('should report progress when 100 ms have passed, and at the end', async () => {
    const { handlers, write, tickPerLook } = await setup();
    write('file.bin', LARGE);
    tickPerLook(50);
    const { ctx, reports } = createContext();
    await handlers['file.checksum']({ path: 'file.bin' }, ctx);

    const chunk = 128 * 1024;
    const chunks = Math.ceil(LARGE.length / chunk);
    const between = Array.from({ length: Math.floor(chunks / 2) }, (_, index) =>
      Math.min((index + 1) * 2 * chunk, LARGE.length),
    );
    expect(reports.map(({ bytes }) => bytes)).toEqual([...between, LARGE.length]);
    expect(new Set(reports.map(({ total }) => total))).toEqual(new Set([LARGE.length]));
  });

  it('should stop when it is aborted in the middle, with the file closed', async () => {
    const { handlers, write, tickPerLook, root } = await setup();
    write('file.bin', LARGE);
    tickPerLook(100);
    const { ctx, controller, reports } = createContext({ onProgress: () => controller.abort(new Error('lease lost')) });
    expect(await failureOf(handlers['file.checksum']({ path: 'file.bin' }, ctx))).toBe(controller.signal.reason);
    expect(reports).toHaveLength(1);
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('should not start when it is aborted already', async () => {
    const { handlers, write } = await setup();
    write('file.bin', LARGE);
    const { ctx, controller, reports } = createContext();
    controller.abort(new Error('cancelled'));
    expect(await failureOf(handlers['file.checksum']({ path: 'file.bin' }, ctx))).toBe(controller.signal.reason);
    expect(reports).toEqual([]);
  });

  it('should fail, to be retried, when the file is written to meanwhile', async () => {
    const { handlers, write, tickPerLook } = await setup();
    const path = write('file.bin', LARGE);
    tickPerLook(100);
    let appended = false;
    const { ctx, reports } = createContext({
      onProgress: () => {
        if (!appended) appendFileSync(path, 'more');
        appended = true;
      },
    });
    expect(await failureOf(handlers['file.checksum']({ path: 'file.bin' }, ctx))).toMatchObject({
      reason: 'FILE_CHANGED',
      retryable: true,
      message: expect.stringMatching(/"file.bin" was changed while it was read. Another attempt may succeed/) as string,
    });
    expect(reports.every(({ bytes, total }) => bytes <= total)).toBe(true);
  });

  it('should run many at a time without mixing them up', async () => {
    const { handlers, write } = await setup();
    const names = Array.from({ length: 20 }, (_, index) => `file-${index}`);
    for (const name of names) write(name, name.repeat(50_000));
    const results = await Promise.all(names.map((path) => handlers['file.checksum']({ path }, createContext().ctx)));
    expect(results.map((result) => result.sha256)).toEqual(
      names.map((name) => sha256(Buffer.from(name.repeat(50_000)))),
    );
  });
});

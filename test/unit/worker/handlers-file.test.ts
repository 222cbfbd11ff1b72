import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { handlersName, loadHandlersFile } from '../../../worker/handlers-file.js';

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function setup(name: string, content: string) {
  const cwd = realpathSync(mkdtempSync(join(tmpdir(), 'remuda-handlers-')));
  directories.push(cwd);
  writeFileSync(join(cwd, name), content);
  return { cwd, load: () => loadHandlersFile(name, cwd), path: join(cwd, name) };
}

describe('loadHandlersFile', () => {
  it('should load an ECMAScript file with functions, objects, setup and teardown', async () => {
    const { load, path } = setup(
      'h.mjs',
      `export default {
        setup() { this.ready = true; }, teardown() {},
        'file.checksum': () => 1,
        'file.gzip': { run: () => 2, timeout: 900000, slots: 1 },
      };`,
    );
    const loaded = await load();
    expect(loaded.path).toBe(path);
    expect([...loaded.handlers.keys()]).toEqual(['file.checksum', 'file.gzip']);
    expect(loaded.handlers.get('file.gzip')).toMatchObject({ timeoutMs: 900_000, slots: 1 });
    expect(loaded.handlers.get('file.checksum')).toMatchObject({ timeoutMs: undefined, slots: 0 });
    loaded.setup?.();
    expect(loaded.teardown).toBeTypeOf('function');
  });

  it('should load CommonJS, and CommonJS compiled from ECMAScript', async () => {
    const plain = await setup('h.cjs', `module.exports = { work: async () => 1 };`).load();
    expect([...plain.handlers.keys()]).toEqual(['work']);
    const compiled = setup(
      'c.cjs',
      `Object.defineProperty(exports, '__esModule', { value: true }); exports.default = { work() {} };`,
    );
    expect([...(await compiled.load()).handlers.keys()]).toEqual(['work']);
  });

  it('should show the resolved path and the directory of a missing file', async () => {
    const { cwd } = setup('h.mjs', '');
    await expect(loadHandlersFile('sub/nope.mjs', cwd)).rejects.toThrow(
      `no handlers file ${join(cwd, 'sub/nope.mjs')} ("sub/nope.mjs", looked up from ${cwd})`,
    );
    await expect(loadHandlersFile('.', cwd)).rejects.toThrow(`${cwd} is not a file`);
  });

  it('should show the error and stack of a file that throws on load', async () => {
    const { load, path } = setup('h.mjs', `throw new RangeError('no model');`);
    const error = await load().catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ name: 'HandlersFileError', cause: expect.any(Error) as Error });
    expect((error as Error).message).toContain(
      `handlers file ${path} failed while it was loaded:\nRangeError: no model`,
    );
    expect((error as Error).message).toMatch(/ at .*h\.mjs:1/);
  });

  it.each([
    ['h.mjs', 'const unused = 1;', /exports nothing; give it a default export: export default/],
    ['h.mjs', 'export const a = 1; export const b = 2;', /has only named exports \(a, b\); give it a default export/],
    ['h.mjs', 'export default {};', /its default export is empty/],
    ['h.cjs', '', /exports nothing|its default export is empty/],
    ['h.mjs', 'export default { setup() {} };', /has setup or teardown but no task types/],
    ['h.mjs', 'export default () => 1;', /the default export of .* is a function; it must be an object/],
    ['h.mjs', 'export default [];', /is an array; it must be an object/],
    ['h.mjs', 'export default { work: 5 };', /the handler of "work" is a number; it must be a function or \{ run/],
    [
      'h.mjs',
      'export default { work: { timeout: 5 } };',
      /the handler of "work" is an object whose "run" is undefined/,
    ],
    [
      'h.mjs',
      'export default { work: { run() {}, timeout: 0 } };',
      /timeout of "work" is 0; it must be a whole number from 1/,
    ],
    [
      'h.mjs',
      'export default { work: { run() {}, slots: 1.5 } };',
      /slots of "work" is 1.5; it must be a whole number/,
    ],
    [
      'h.mjs',
      'export default { work: { run() {}, timeoutMs: 5 } };',
      /unknown key "timeoutMs"; known are run, timeout and slots/,
    ],
    ['h.mjs', 'export default { "a b": () => 1 };', /"a b" is no task type: 1 to 127 characters/],
    ['h.mjs', 'export default { work() {}, setup: 5 };', /"setup" is a number; it must be a function/],
    ['h.tsx', 'export default {};', /a handlers file ends in \.js, \.mjs or \.cjs, or in \.ts, \.mts or \.cts/],
    ['h.json', '{}', /a handlers file ends in \.js, \.mjs or \.cjs, or/],
  ])('should refuse %s with %s', async (name, content, message) => {
    await expect(setup(name, content).load()).rejects.toThrow(message);
  });

  it('should refuse hooks that are exported by name, where nobody would call them', async () => {
    const named = setup('h.mjs', 'export function setup() {}\nexport default { t: () => 1 };');
    await expect(named.load()).rejects.toThrow(/exports setup by name.*put it into the default export/);
    const both = setup('h.mjs', 'export function setup() {}\nexport default { setup, t: () => 1 };');
    expect((await both.load()).setup).toBeTypeOf('function');
  });

  it('should name all faults at once', async () => {
    const { load } = setup('h.mjs', 'export default { a: 1, b: { run: 2 } };');
    await expect(load()).rejects.toThrow(/"a" is a number[^]*"b" is an object/);
  });
});

describe('handlersName', () => {
  it('should be the base name in the characters of a worker_id', () => {
    expect(handlersName('./some where/my handlers.mjs')).toBe('my-handlers');
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadFailureText } from '../../../worker/load-failure.js';

/** An error as Node 22 and 24 make it; this Node may be another, see test/integration/worker/typescript-handlers.test.ts. */
function nodeError(code: string | undefined, message: string, extra: object = {}): Error {
  return Object.assign(new SyntaxError(message), code === undefined ? {} : { code }, extra);
}

describe('loadFailureText', () => {
  it.each([
    ['ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX', 'TypeScript enum is not supported in strip-only mode', /Write it otherwise/],
    ['ERR_INVALID_TYPESCRIPT_SYNTAX', 'Expression expected', /npx tsc --noEmit says more/],
    ['ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING', 'Stripping types is ...', /does not run TypeScript below node_mod/],
    [undefined, "The requested module './t.ts' does not provide an export named 'T'", /import it with `import type`/],
    [
      'ERR_UNKNOWN_FILE_EXTENSION',
      'Unknown file extension ".ts" for /w/h.ts',
      /^handlers file \/w\/h\.ts is TypeScript/,
    ],
    [
      'ERR_UNKNOWN_FILE_EXTENSION',
      'Unknown file extension ".ts" for /w/x.ts',
      /imports \/w\/x\.ts, which is TypeScript/,
    ],
  ])('should advise on %s: %s', (code, message, advice) => {
    expect(loadFailureText('/w/h.ts', nodeError(code, message))).toMatch(advice);
  });

  it.each([
    ['dep.ts', 'dep.js'],
    ['dep.mts', 'dep.mjs'],
    ['dep.ts', 'dep'],
  ])('should find %s when %s is missing', (there, asked) => {
    const directory = mkdtempSync(join(tmpdir(), 'remuda-load-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    writeFileSync(join(directory, there), '');
    const { href: url } = pathToFileURL(join(directory, asked));
    const error = nodeError('ERR_MODULE_NOT_FOUND', 'Cannot find module', { url });
    expect(loadFailureText('/w/h.ts', error)).toContain(`${join(directory, there)} is there, but Node takes`);
    expect(loadFailureText('/w/h.mjs', error)).not.toContain('is there');
  });

  it('should show what anything else threw, with its stack and no advice', () => {
    const error = new RangeError('no model');
    expect(loadFailureText('/w/h.ts', error)).toBe(`handlers file /w/h.ts failed while it was loaded:\n${error.stack}`);
    expect(loadFailureText('/w/h.ts', 'a string')).toBe('handlers file /w/h.ts failed while it was loaded:\na string');
    const other = nodeError('ERR_UNKNOWN_FILE_EXTENSION', 'Unknown file extension ".css" for /w/x.css');
    expect(loadFailureText('/w/h.ts', other)).toBe(`handlers file /w/h.ts failed while it was loaded:\n${other.stack}`);
  });
});

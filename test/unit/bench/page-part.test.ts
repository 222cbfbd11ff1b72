import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replacePagePart } from '../../bench/pool/page-part.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remuda-page-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

function pageWith(text: string): string {
  const path = join(folder, 'page.md');
  writeFileSync(path, text);
  return path;
}

describe('a part of a page', () => {
  it('should take the place of what stands between its marks', () => {
    const page = pageWith('a\n<!-- t -->\nold\n<!-- end of t -->\nb\n');
    replacePagePart(page, 't', 'new $& text\n');
    replacePagePart(page, 't', 'newer $& text\n');
    expect(readFileSync(page, 'utf8')).toBe('a\n<!-- t -->\n\nnewer $& text\n\n<!-- end of t -->\nb\n');
  });

  it.each(['a\n', '<!-- t -->\n', '<!-- end of t -->\n<!-- t -->\n', '<!-- t -->\n<!-- t -->\n<!-- end of t -->\n'])(
    'should be refused, and the page left alone, when the marks are not there once each: %j',
    (text) => {
      const page = pageWith(text);
      expect(() => replacePagePart(page, 't', 'new')).toThrow(
        `${page} must have the line "<!-- t -->" once, and below it, once, "<!-- end of t -->"`,
      );
      expect(readFileSync(page, 'utf8')).toBe(text);
    },
  );
});

import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Puts text into a page, in place of what stands between two marks: `<!-- NAME -->` and `<!-- end of NAME -->`, each on a line of
 * its own.
 *
 * @throws Error if the page does not have both, once, in this order
 */
export function replacePagePart(path: string, name: string, text: string): void {
  const [first, last] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->\n`];
  const page = readFileSync(path, 'utf8');
  const [before, after, ...more] = page.split(first);
  const [, rest, ...others] = (after ?? '').split(last);
  if (before === undefined || rest === undefined || more.length + others.length > 0) {
    throw new Error(`${path} must have the line "${first.trim()}" once, and below it, once, "${last.trim()}"`);
  }
  writeFileSync(path, `${before}${first}\n${text}\n${last}${rest}`);
}

import { describe, expect, it } from 'vitest';
import { FAULTS } from '../sim/faults.js';
import { MUTATIONS } from '../sim/mutations/all-mutations.js';
import { allFiles, readText } from './house.js';

const PAGE = 'docs/field-threads.md';
/** `file`: "name", "name" */
const TESTS = /`(test\/[^`]+\.test\.ts)`: ("[^"]+"(?:, "[^"]+")*)/g;
/** mutations `name`, `name` */
const LISTS = /(mutation|fault)s? (`[^`]+`(?:, `[^`]+`)*)/g;

interface Row {
  readonly threads: string;
  readonly does: string;
  readonly heldBy: string;
}

/** The rows of a page's tables, without their heads. */
function rowsOf(page: string): Row[] {
  const lines = page.split('\n').filter((line) => line.startsWith('|') && !/^\| (threads|---) \|/.test(line));
  return lines.map((line) => {
    const [, threads = '', , does = '', heldBy = ''] = line.split('|').map((cell) => cell.trim());
    return { threads, does, heldBy };
  });
}

/** What a page names and is not there, and rows that name nothing. */
function faultsOf(page: string): string[] {
  return rowsOf(page).flatMap(({ threads, does, heldBy }) => {
    const faults: string[] = [];
    if (!/\w\/[\w.-]+#\d+/.test(threads)) faults.push(`"${threads}" names no thread: owner/repository#number`);
    if (heldBy === 'not yet') {
      if (!does.startsWith('not yet: ')) faults.push(`${threads}: say why not yet`);
      return faults;
    }
    for (const [, file = '', names = ''] of heldBy.matchAll(TESTS)) {
      if (!files.has(file)) faults.push(`${threads}: there is no ${file}`);
      else
        for (const name of quoted(names, '"')) if (!hasTest(file, name)) faults.push(`${file} has no test "${name}"`);
    }
    for (const [, kind = '', names = ''] of heldBy.matchAll(LISTS)) {
      const there = kind === 'fault' ? faultNames : mutationNames;
      for (const name of quoted(names, '`')) if (!there.has(name)) faults.push(`there is no ${kind} ${name}`);
    }
    const rest = heldBy.replace(TESTS, '').replace(LISTS, '').replace(/[; ]/g, '');
    if (heldBy === '') faults.push(`${threads}: nothing holds it; name a test, or say "not yet" and why`);
    if (rest !== '') faults.push(`${threads}: "${rest}" is no test, mutation or fault in the form of the others`);
    return faults;
  });
}

const files = new Set(allFiles());
const mutationNames = new Set(MUTATIONS.map(({ name }) => name));
const faultNames = new Set(Object.keys(FAULTS));

function quoted(list: string, quote: string): string[] {
  return list.split(`${quote}, ${quote}`).map((name) => name.replaceAll(quote, ''));
}

/** True if the file calls a test so, on the line of the call or the next. */
function hasTest(file: string, name: string): boolean {
  const text = readText(file);
  return ["'", '"', '`'].some((quote) =>
    text
      .split(`${quote}${name}${quote},`)
      .slice(0, -1)
      .some((before) => /\(\s*$/.test(before)),
  );
}

describe('the threads of the field', () => {
  const page = readText(PAGE);

  it('should each be held by tests, mutations and faults that are there', () => {
    expect(rowsOf(page)).not.toEqual([]);
    expect(faultsOf(page)).toEqual([]);
  });

  it('should be judged by rules that bite', () => {
    const held =
      '`test/unit/tidy.test.ts`: "should have at most nothing"; `test/unit/gone.test.ts`: "a"; mutation `none`; fault `rain`; luck';
    const bad = `| a thread | wrong | right | ${held} |\n| a/b#1 | wrong | later | not yet |`;
    expect(faultsOf(`| threads | a | b | c |\n| --- | --- | --- | --- |\n${bad}\n| c/d#2 | wrong | right |`)).toEqual([
      expect.stringContaining('names no thread'),
      'test/unit/tidy.test.ts has no test "should have at most nothing"',
      'a thread: there is no test/unit/gone.test.ts',
      'there is no mutation none',
      'there is no fault rain',
      expect.stringContaining('"luck" is no test'),
      'a/b#1: say why not yet',
      expect.stringContaining('c/d#2: nothing holds it'),
    ]);
  });
});

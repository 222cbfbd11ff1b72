/**
 * Habits of this project that no compiler checks. Every message says what to do instead. Where the code does not hold one
 * yet, the exception is listed here by name; the lists may only get shorter, and a test says when an entry can go.
 */
import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { allFiles, faultsOf, findFaults, houseRules, readText, ROOT, sourceFiles, topLevel } from './house.js';

const FILE_LINES_MAX = 600;
/** File -> how many of its functions are too long. */
const LONG_FUNCTIONS: Readonly<Record<string, number>> = {};
/** Names that tools ask for (systemd: `NAME@.service`), and folders that hold data. */
const OTHER_NAMES = /^docs\/adr\/|^docs\/deploy\/systemd\/|^docs\/[A-Z]+\.md$|(^|\/)README\.md$|\.binpb$/;
/** `name.ts`, `name.test.ts`, `name.config.ts`; words of small letters and digits with `-` between them. */
const KEBAB_CASE = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.(test|config|d))?(\.[a-z]+)?$/;

const sources = sourceFiles();
const code = sources.filter((name) => !name.startsWith('test/') && !name.startsWith('.'));

/** `file:line: advice` for each line in which the pattern is found. */
function linesWith(pattern: RegExp, advice: string, files: readonly string[]): string[] {
  return files.flatMap((name) =>
    readText(name)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${name}:${index + 1}: ${advice}`] : [])),
  );
}

describe('files', () => {
  it(`should have at most ${FILE_LINES_MAX} lines`, () => {
    const lengths = sources.map((name) => ({ name, lines: readText(name).split('\n').length - 1 }));
    const long = lengths.filter(({ lines }) => lines > FILE_LINES_MAX).sort((a, b) => b.lines - a.lines);
    expect(long.map(({ name, lines }) => `${name} has ${lines} lines: move a part with a name of its own out`)).toEqual(
      [],
    );
  });

  it('should have names in kebab-case', () => {
    const wrong = allFiles().filter(
      (name) => !OTHER_NAMES.test(name) && !KEBAB_CASE.test(name.split('/').at(-1) ?? ''),
    );
    // The contract's files are named as buf wants it.
    const ours = wrong.filter((name) => !/^proto\/remuda\/v1\/[a-z_]+\.proto$/.test(name));
    expect(ours.map((name) => `${name}: small letters with - between words, named after the main export`)).toEqual([]);
  });

  it('should say in their name what they hold', () => {
    const vague = allFiles().filter((name) => /(^|\/)(utils?|helpers?|misc|common)\.[a-z]+$/.test(name));
    expect(vague.map((name) => `${name}: name it after what it does, and split it where that takes two names`)).toEqual(
      [],
    );
  });

  it('should be those that the top level is for', () => {
    const top =
      /^(\..+|package(-lock)?\.json|tsconfig\.json|buf(\.gen)?\.yaml|[A-Z]+(\.md)?|proto|coordinator|worker|client|test|docs|dist|node_modules|coverage)$/;
    const others = topLevel().filter((name) => !top.test(name));
    expect(others.map((name) => `${name}: put it into a folder, see "The house" in docs/ARCHITECTURE.md`)).toEqual([]);
  });
});

describe('functions', () => {
  const long = new Map(
    code
      .map((name) => [name, findFaults(name, readText(name), houseRules.lengthRules)] as const)
      .filter(([, f]) => f.length),
  );

  it('should fit on a screen', () => {
    const faults = [...long].flatMap(([name, found]) =>
      found.length <= (LONG_FUNCTIONS[name] ?? 0)
        ? []
        : found.map(({ line, message }) => `${name}:${line}: ${message} Move branches into functions with names`),
    );
    expect(faults).toEqual([]);
  });

  it('should have no exception that is not needed any more', () => {
    const spare = Object.entries(LONG_FUNCTIONS).filter(([name, count]) => (long.get(name)?.length ?? 0) < count);
    expect(spare.map(([name]) => `LONG_FUNCTIONS: lower or remove ${name}`)).toEqual([]);
  });

  it('should be judged by a rule that bites', () => {
    const text = `export function long() {\n${'  long();\n'.repeat(70)}}\n`;
    expect(faultsOf('worker/long.ts', text, houseRules.lengthRules)).toEqual([expect.stringMatching(/too many lines/)]);
  });
});

describe('time and chance', () => {
  const { CLOCK_FILES, INTERVAL_FILES, clockRules, intervalRules } = houseRules;

  /** As `faultsOf`. A text without the words that the rules are about cannot break them, and costs no parsing. */
  const faultsIn = (names: readonly string[], words: RegExp, rules: typeof clockRules): string[] =>
    names
      .map((name) => [name, readText(name)] as const)
      .filter(([, text]) => words.test(text))
      .flatMap(([name, text]) => faultsOf(name, text, rules));
  const CLOCK_WORDS = /Date|performance|hrtime|random/;

  it('should be passed in', () => {
    const others = code.filter((name) => !CLOCK_FILES.includes(name));
    expect(faultsIn(others, CLOCK_WORDS, clockRules)).toEqual([]);
  });

  it('should not be asked for ever by setInterval', () => {
    const others = sources.filter((name) => !INTERVAL_FILES.includes(name));
    expect(faultsIn(others, /setInterval/, intervalRules)).toEqual([]);
  });

  it('should have no exception that is not needed any more', () => {
    const spare = [
      ...CLOCK_FILES.filter(
        (name) => !existsSync(join(ROOT, name)) || !faultsOf(name, readText(name), clockRules).length,
      ),
      ...INTERVAL_FILES.filter((name) => !faultsOf(name, readText(name), intervalRules).length),
    ];
    expect(spare.map((name) => `.config/house-rules.mjs: remove ${name}`)).toEqual([]);
  });

  it.each([
    'Date.now()',
    'new Date()',
    'performance.now()',
    'process.hrtime.bigint()',
    'Math.random()',
    'Math.random',
    '{ random: Math.random }',
  ])('should be refused as %s', (expression) => {
    expect(faultsOf('worker/a.ts', `export const a = ${expression};`, clockRules)).toHaveLength(1);
    expect(expression).toMatch(CLOCK_WORDS);
  });

  it('should be refused as setInterval, and not in the name of something else', () => {
    expect(faultsOf('worker/a.ts', 'export const a = setInterval(() => 1, 1);', intervalRules)).toHaveLength(1);
    expect(
      faultsOf('worker/a.ts', 'export const a = new Date(0).setInterval;', { ...clockRules, ...intervalRules }),
    ).toEqual([]);
  });
});

describe('text', () => {
  // The words are put together here, so that this file passes itself.
  it('should leave no work to somebody', () => {
    const later = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`);
    const all = allFiles().filter((name) => !name.endsWith('.binpb'));
    expect(linesWith(later, 'do it, or open an issue and say here what holds now', all)).toEqual([]);
  });

  it('should know no machine', () => {
    const path = /(["'`\s(=]|file:\/\/)\/(home|root|Users|work)\/[\w.-]/;
    const all = [...allFiles(), ...topLevel().filter((name) => /\.(md|json|ya?ml)$/.test(name))];
    expect(linesWith(path, 'paths are relative to the project, or come from an option', all)).toEqual([]);
  });

  it('should name no registry host in the lock file', () => {
    const advice = 'npm install with omit-lockfile-registry-resolved (.npmrc) leaves it out';
    expect(linesWith(/"resolved": "https?:/, advice, ['package-lock.json'])).toEqual([]);
  });

  it('should run every test', () => {
    const only = /\b(it|test|describe|bench|suite)(\.\w+)*\.(only|skip|todo|fails)\b/;
    const advice =
      'a test that is not run is no test: repair it or remove it; for one machine only, use skipIf(reason)';
    const tests = sources.filter((name) => name.startsWith('test/'));
    expect(linesWith(only, advice, tests)).toEqual([]);
    expect(['it', 'describe.concurrent'].map((name) => only.test(`${name}.only('x', run)`))).toEqual([true, true]);
  });

  it('should give a reason beside every switched-off rule', () => {
    const bare = /(eslint-disable(-next-line|-line)?(?!.* -- \S)|@ts-(ignore|nocheck)|@ts-expect-error\s*$)/;
    const advice = 'add " -- why" behind it (and @ts-expect-error in place of @ts-ignore)';
    const others = sources.filter((name) => name !== 'test/unit/tidy.test.ts');
    expect(linesWith(bare, advice, others)).toEqual([]);
  });

  it('should link to files that exist', () => {
    const pages = [...allFiles(), ...topLevel()].filter((name) => name.endsWith('.md'));
    expect(pages.length).toBeGreaterThan(5);
    const broken = pages.flatMap((name) =>
      [...readText(name).matchAll(/\]\(([^)#\s]+)(#[^)\s]*)?\)/g)]
        .map(([, target = '']) => target)
        .filter((target) => !/^[a-z]+:/.test(target))
        .filter((target) => !existsSync(join(ROOT, normalize(join(dirname(name), decodeURI(target))))))
        .map((target) => `${name}: ${target} is not there`),
    );
    expect(broken).toEqual([]);
  });
});

/** What the tests of the code itself share: its files, and the house rules over the text of one. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Linter } from 'eslint';
import tseslint from 'typescript-eslint';

/** The top folder of the project. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const FOLDERS = ['proto', 'coordinator', 'client', 'worker', 'test', 'docs', '.ci', '.config'];
const SOURCE = /\.(ts|mjs|cjs|js)$/;
const NOT_OURS = /^proto\/(gen|google)\//;

function below(name: string): string[] {
  return readdirSync(join(ROOT, name), { withFileTypes: true }).flatMap((entry) => {
    const path = `${name}/${entry.name}`;
    if (entry.isDirectory()) return below(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Every file below the project's folders, with `/`, relative to the top; not what is generated or vendored. */
export function allFiles(): string[] {
  return FOLDERS.flatMap(below).filter((name) => !NOT_OURS.test(name));
}

/** Those that are code. */
export function sourceFiles(): string[] {
  return allFiles().filter((name) => SOURCE.test(name));
}

/** The committed files and folders of the top level; none where the project was unpacked without git. */
export function topLevel(): string[] {
  const { status, stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8' });
  const names = status === 0 ? stdout.split('\0') : [];
  const tops = new Set(names.map((name) => name.split('/')[0] ?? ''));
  return [...tops].filter((name) => name !== '' && existsSync(join(ROOT, name)));
}

/** The text of a file of the project. */
export function readText(name: string): string {
  return readFileSync(join(ROOT, name), 'utf8');
}

interface HouseRules {
  readonly CLOCK_FILES: readonly string[];
  readonly INTERVAL_FILES: readonly string[];
  readonly clockRules: Linter.RulesRecord;
  readonly intervalRules: Linter.RulesRecord;
  readonly purityRules: Linter.RulesRecord;
  readonly lengthRules: Linter.RulesRecord;
}

// Not compiled with the code, so not known to its types.
const HOUSE_RULES = new URL('../../.config/house-rules.mjs', import.meta.url).href;
/** `.config/house-rules.mjs`. */
export const houseRules = (await import(HOUSE_RULES)) as HouseRules;

const linter = new Linter({ configType: 'flat' });

/** What is wrong with a text by these rules, as `file:line: message`. */
export function faultsOf(name: string, text: string, rules: Linter.RulesRecord): string[] {
  return findFaults(name, text, rules).map(({ line, message }) => `${name}:${line}: ${message}`);
}

/** The same, as ESLint tells it. */
export function findFaults(name: string, text: string, rules: Linter.RulesRecord): Linter.LintMessage[] {
  const parser = tseslint.parser as Linter.Parser;
  const config: Linter.Config = {
    files: ['**/*.{ts,mjs,cjs,js}'],
    languageOptions: { parser, sourceType: name.endsWith('.cjs') ? 'commonjs' : 'module' },
    // Directives in the code are for the rules of eslint.config.mjs.
    linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'off' },
    rules,
  };
  // Warnings are about the directives only.
  return linter.verify(text, [config], { filename: name }).filter(({ severity }) => severity === 2);
}

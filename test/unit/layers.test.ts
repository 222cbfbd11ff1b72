/** Who may import whom (.dependency-cruiser.cjs), and that the core is pure (.config/house-rules.mjs). */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cruise, type IConfiguration, type ICruiseResult } from 'dependency-cruiser';
import { afterEach, describe, expect, it } from 'vitest';
import { faultsOf, houseRules, readText, ROOT, sourceFiles } from './house.js';

const { forbidden = [], options = {} } = createRequire(import.meta.url)(
  '../../.dependency-cruiser.cjs',
) as IConfiguration;
const FOLDERS = ['proto', 'coordinator', 'client', 'worker', 'test', 'docs'];

/** Every edge that breaks a rule, with what the rule says. */
async function brokenEdges(baseDir: string, folders = FOLDERS): Promise<string[]> {
  const { output } = await cruise(folders, { ...options, baseDir, validate: true, ruleSet: { forbidden } });
  const { summary, modules } = output as ICruiseResult;
  expect(modules.length).toBeGreaterThan(0);
  return summary.violations.map(({ from, to, rule, cycle = [] }) => {
    const way = cycle.length > 0 ? cycle.map(({ name }) => name).join(' -> ') : to;
    const comment = forbidden.find(({ name }) => name === rule.name)?.comment ?? '';
    return `${rule.name}: ${from} -> ${way}. ${comment}`;
  });
}

describe('the layers', () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  /** A house of our layout with these files; answers `rule: from -> to`. */
  async function brokenIn(files: Readonly<Record<string, string>>): Promise<string[]> {
    const base = mkdtempSync(join(tmpdir(), 'remuda-layers-'));
    folders.push(base);
    const all = { 'package.json': '{ "type": "module", "dependencies": {} }', ...files };
    for (const [name, text] of Object.entries(all)) {
      mkdirSync(dirname(join(base, name)), { recursive: true });
      writeFileSync(join(base, name), text);
    }
    const tops = [...new Set(Object.keys(files).map((name) => name.split('/')[0] ?? ''))];
    return (await brokenEdges(base, tops)).map((edge) => edge.split('. ')[0] ?? '');
  }

  it('should point one way', async () => {
    expect(await brokenEdges(ROOT)).toEqual([]);
  });

  it.each([
    ['proto-imports-nothing', 'proto/a.ts', 'client/b.ts'],
    ['client-imports-proto', 'client/cli/a.ts', 'worker/b.ts'],
    ['client-imports-proto', 'client/a.ts', 'coordinator/config.ts'],
    ['worker-imports-client', 'worker/a.ts', 'coordinator/core/b.ts'],
    ['core-is-closed', 'coordinator/core/a.ts', 'coordinator/runtime.ts'],
    ['core-is-closed', 'coordinator/core/a.ts', 'proto/b.ts'],
    ['store-imports-core', 'coordinator/store/sqlite/a.ts', 'coordinator/engine.ts'],
    ['engine-imports-store-and-core', 'coordinator/engine.ts', 'coordinator/session/b.ts'],
    ['engine-imports-store-and-core', 'coordinator/engine.ts', 'coordinator/store/sqlite/b.ts'],
    ['engine-imports-store-and-core', 'coordinator/retention.ts', 'proto/b.ts'],
    ['the-store-is-a-contract', 'coordinator/services/a.ts', 'coordinator/store/store.ts'],
    ['session-and-http-below-services', 'coordinator/session/a.ts', 'coordinator/services/b.ts'],
    ['composition-on-top', 'coordinator/http/a.ts', 'coordinator/coordinator.ts'],
    ['coordinator-knows-no-worker', 'coordinator/session/a.ts', 'worker/b.ts'],
    ['examples-stand-alone', 'docs/examples/a.ts', 'worker/b.ts'],
  ])('should refuse by %s that %s imports %s', async (rule, from, to) => {
    const up = '../'.repeat(from.split('/').length - 1);
    const line = `import type { b } from '${up}${to.replace(/\.ts$/, '.js')}';\nexport type A = typeof b;\n`;
    expect(await brokenIn({ [from]: line, [to]: 'export const b = 1;\n' })).toContain(`${rule}: ${from} -> ${to}`);
  });

  it('should let the pool alone mix the coordinator with workers and clients', async () => {
    const pool = `import '../../worker/b.js';\nimport '../coordinator.js';\nimport '../../client/c.js';\n`;
    const files = {
      'coordinator/coordinator.ts': 'export {};',
      'worker/b.ts': 'export {};',
      'client/c.ts': 'export {};',
    };
    expect(await brokenIn({ 'coordinator/pool/create-worker-pool.ts': pool, ...files })).toEqual([]);
  });

  it('should refuse a built-in module in the core', async () => {
    expect(await brokenIn({ 'coordinator/core/a.ts': `import { now } from 'node:timers';\nnow();\n` })).toEqual([
      'core-is-closed: coordinator/core/a.ts -> timers',
    ]);
  });

  it('should refuse a package that package.json does not name, and a file that is not there', async () => {
    const broken = await brokenIn({ 'worker/a.ts': `import 'no-such-package';\nimport './gone.js';\n` });
    expect(broken.filter((edge) => edge.startsWith('no-unresolved'))).toHaveLength(2);
  });

  it('should refuse a cycle, unless types alone close it', async () => {
    const a = `import { b } from './b.js';\nexport const a = () => b();\n`;
    const b = (way: string) => `import ${way} { a } from './a.js';\nexport const b = () => 1 as unknown as typeof a;\n`;
    const edges = await brokenIn({ 'worker/a.ts': a, 'worker/b.ts': b('') });
    expect(edges[0]).toMatch(/^no-cycles: worker\/[ab]\.ts -> worker\/[ab]\.ts -> worker\/[ab]\.ts$/);
    expect(await brokenIn({ 'worker/a.ts': a, 'worker/b.ts': b('type') })).toEqual([]);
  });
});

describe('the core', () => {
  const core = sourceFiles().filter((name) => name.startsWith('coordinator/core/'));

  it('should be pure', () => {
    expect(core.length).toBeGreaterThan(10);
    expect(core.flatMap((name) => faultsOf(name, readText(name), houseRules.purityRules))).toEqual([]);
  });

  it.each([
    ['Date', 'export const a = () => Date.now();'],
    ['Date', 'export const a = () => new Date();'],
    ['Math.random', 'export const a = () => Math.random();'],
    ['performance', 'export const a = () => performance.now();'],
    ['process', 'export const a = () => process.pid;'],
    ['setTimeout', 'export const a = (run: () => void) => setTimeout(run, 1);'],
    ['globalThis', `export const a = () => globalThis['Date'];`],
    ['an import at run time', `export const a = () => import('node:fs');`],
    ['a promise', 'export const a = async (b: Promise<void>) => { await b; };'],
    ["the machine's language", 'export const a = (b: number) => b.toLocaleString();'],
  ])('should be refused %s: %s', (_, text) => {
    expect(faultsOf('coordinator/core/a.ts', text, houseRules.purityRules)).toEqual([
      expect.stringMatching(/^coordinator\/core\/a\.ts:1: .*coordinator\/core\/ is pure/),
    ]);
  });
});

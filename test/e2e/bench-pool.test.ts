import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { HAS_PROCESS_TABLE } from '../bench/pool/process-table.js';
import { endPrograms, ROOT, startNode } from '../support/programs.js';
import { makeFolder } from './ledger.js';

afterEach(endPrograms);

const BENCH = `${ROOT}dist/test/bench/pool/main.js`;
/** It takes several seconds; on a busy machine several times that. */
const BENCH_MS = 55_000;

interface PoolReport {
  readonly results: readonly { readonly name: string; readonly p50Ms: { readonly median: number } }[];
  readonly findings: readonly { readonly name: string; readonly value: number; readonly isMet: boolean | null }[];
}

describe('npm run bench:pool', () => {
  it('should measure a pool beside a process per task and other pools, and write what came out', async () => {
    await using place = await makeFolder();
    const [json, page] = [join(place.folder, 'bench.json'), join(place.folder, 'page.md')];
    writeFileSync(page, 'before\n<!-- bench:pool -->\nold\n<!-- end of bench:pool -->\nafter\n');
    const only = MEASURED.flatMap((name) => ['--only', name]);
    const args = ['--quick', '--time', '50ms', ...only, '--json', json, '--docs', page];
    const bench = startNode('bench', [BENCH, ...args]);
    expect(await bench.exit(BENCH_MS), bench.stderr).toEqual({ code: 0, signal: null });

    const { results } = JSON.parse(readFileSync(json, 'utf8')) as PoolReport;
    expect(results.map(({ name }) => name)).toEqual(MEASURED);
    for (const { name, p50Ms } of results) expect({ name, p50Ms: p50Ms.median > 0 }).toEqual({ name, p50Ms: true });
    const written = readFileSync(page, 'utf8');
    expect(written).toMatch(/^before\n<!-- bench:pool -->\n\n {4}npm run bench:pool -- --quick /);
    expect(written).toMatch(/\n<!-- end of bench:pool -->\nafter\n$/);
    expect(written).not.toContain('old');
    for (const name of MEASURED) expect(written).toMatch(new RegExp(`\\| ${name} \\|.*\\d`));
    expect(written).toMatch(/\| pool-memory\/start \| \d+ × \| \d+ × \|/);
  });

  it.skipIf(!HAS_PROCESS_TABLE)('should find nothing lost, no zombie and warm workers', async () => {
    await using place = await makeFolder();
    const json = join(place.folder, 'bench.json');
    // Not the memory: that takes many tasks, and says something after many more only.
    const only = ['--only', 'check/reuse', '--only', 'check/zombies'];
    const bench = startNode('bench', [BENCH, '--quick', ...only, '--json', json]);
    expect(await bench.exit(BENCH_MS), bench.stderr).toEqual({ code: 0, signal: null });

    const { findings } = JSON.parse(readFileSync(json, 'utf8')) as PoolReport;
    const values = Object.fromEntries(findings.map(({ name, value }) => [name, value]));
    expect(values).toMatchObject(NOTHING_LEFT);
    // 100 tasks one by one go to the worker that ran the last one; of 500 at once each of 4 workers has a first.
    expect(values).toMatchObject({ 'reuse/sequential': 0.99, 'reuse/concurrent': 1 - 4 / 500 });
  });
});

/** In the order in which they are measured. */
const MEASURED = [
  'spawn-empty/start',
  'spawn-libraries/start',
  'pool-memory/start',
  'pool-memory/handover',
  'piscina/echo-64',
  'workerpool-process/echo-64',
];

const NOTHING_LEFT = {
  'reuse/lost': 0,
  'zombies/left': 0,
  'zombies/extra': 0,
  'zombies/missing': 0,
  'zombies/lost': 0,
  'zombies/after-shutdown': 0,
};

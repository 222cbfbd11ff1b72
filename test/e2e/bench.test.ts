import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { endPrograms, ROOT, startNode } from '../support/programs.js';
import { makeFolder } from './ledger.js';

afterEach(endPrograms);

const BENCH = `${ROOT}dist/test/bench/main.js`;
/** It takes a few seconds; on a busy machine several times that. */
const BENCH_MS = 50_000;
const SPREAD = { median: expect.any(Number), min: expect.any(Number), max: expect.any(Number) };

describe('npm run bench', () => {
  it('should measure a floor and Remuda, print tables, and write them for machines and for the docs', async () => {
    await using place = await makeFolder();
    const json = join(place.folder, 'bench.json');
    const markdown = join(place.folder, 'bench.md');
    const only = ['pipe-sqlite/64', 'sqlite-thread/64', 'sqlite-thread/start'];
    const args = ['--quick', '--time', '50ms', ...only.flatMap((name) => ['--only', name])];
    const bench = startNode('bench', [BENCH, ...args, '--json', json, '--markdown', markdown]);
    expect(await bench.exit(BENCH_MS), bench.stderr).toEqual({ code: 0, signal: null });

    expect(bench.errors.map((line) => /^run 1 of 1: (\S+) /.exec(line)?.[1])).toEqual(MEASURED);

    const report = JSON.parse(readFileSync(json, 'utf8')) as { results: Record<string, unknown>[] };
    expect(report).toMatchObject({ rounds: 1, measureMs: 50, machine: { cores: expect.any(Number) } });
    expect(report.results.map(({ name }) => name)).toEqual(MEASURED);
    for (const { perS, p50Ms, p99Ms, samples } of report.results) {
      expect({ perS, p50Ms, p99Ms, samples }).toEqual({
        perS: SPREAD,
        p50Ms: SPREAD,
        p99Ms: SPREAD,
        samples: [expect.toSatisfy(isSample)],
      });
    }
    const shares = report.results.map(({ floor, shareOfFloor }) => ({ floor, shareOfFloor }));
    expect(shares).toEqual([
      { floor: null, shareOfFloor: null },
      { floor: null, shareOfFloor: null },
      { floor: 'pipe-sqlite/64', shareOfFloor: SPREAD },
    ]);
    for (const text of [bench.stdout, readFileSync(markdown, 'utf8')]) {
      for (const name of MEASURED) expect(text).toMatch(new RegExp(`[|│] ${name} +[|│].*\\d`));
    }
  });

  it('should say in one message all that is wrong with what it was told', async () => {
    const args = ['--runs', '0', '--time', '5', '--only', 'redis', '--fast', 'now'];
    const bench = startNode('bench', [BENCH, ...args]);
    expect(await bench.exit()).toEqual({ code: 2, signal: null });
    expect(bench.errors).toEqual([
      'npm run bench: cannot start',
      '  - unexpected "--fast"',
      '  - unexpected "now"',
      expect.stringContaining('--only is "redis": no row\'s name contains it'),
      expect.stringContaining('--runs is "0": it must be a whole number from 1 to 100'),
      expect.stringContaining('--time is "5": it must be a time with its unit from 50ms to 1m'),
      expect.stringContaining('--help says more'),
    ]);
  });
});

/** In the order in which they are measured. */
const MEASURED = ['pipe-sqlite/64', 'sqlite-thread/start', 'sqlite-thread/64'];

function isSample({ count, perS }: { count: number; perS: number }): boolean {
  return count > 0 && perS > 0;
}

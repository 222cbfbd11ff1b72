import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { processesWith } from '../chaos/run-processes.js';
import { endPrograms, isAlive, ROOT, startNode } from '../support/programs.js';
import { makeFolder } from './ledger.js';

afterEach(endPrograms);

const CHAOS = `${ROOT}dist/test/chaos/main.js`;
/** Faults for some seconds, then the rest; on a busy machine several times that. */
const CHAOS_MS = 55_000;
/** Kills of a supervised worker, of the client, and twice of the coordinator, a stop, slow bytes, a full disk: in six seconds. */
const SLICE = ['--small', '--seed', '25', '--minutes', '0.1', '--gap', '900ms', '--rate', '6'];

describe('npm run chaos', () => {
  it('should hurt a small fleet, find that all holds, and leave nothing behind', async () => {
    await using place = await makeFolder();
    const json = join(place.folder, 'chaos.json');
    const chaos = startNode('chaos', [CHAOS, ...SLICE, '--json', json], { env: { TMPDIR: place.folder } });
    const { code } = await chaos.exit(CHAOS_MS);
    expect(code, `${chaos.stdout}\n${chaos.stderr}`).toBe(0);

    const { verdict, seed } = JSON.parse(readFileSync(json, 'utf8')) as Report;
    expect(seed).toBe(25);
    expect(verdict).toMatchObject({
      isGood: true,
      acknowledged: expect.toSatisfy(isSome),
      kills: expect.toSatisfy(isSome),
    });
    expect(Object.values(verdict.breaches).flat()).toEqual([]);
    expect(chaos.stdout).toContain('- result: all holds');
    expect(chaos.stdout).toMatch(/\| lost: .* \| 0 \|/);
    expect(readdirSync(place.folder).filter((name) => name.startsWith('remuda-chaos'))).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('should leave no process when it is killed itself', async () => {
    await using place = await makeFolder();
    const chaos = startNode('chaos', [CHAOS, ...SLICE], { env: { TMPDIR: place.folder, CHAOS_TEST: place.folder } });
    await chaos.complaint((line) => line.includes('faults in'), 'start of the faults');
    const started = processesWith(`CHAOS_TEST=${place.folder}`) ?? [];
    expect(started.length).toBeGreaterThan(4);
    const harness = started.filter(({ commandLine }) => commandLine.includes(CHAOS));
    for (const { pid } of harness) process.kill(pid, 'SIGKILL');
    await chaos.exit();
    await expect.poll(() => started.filter(({ pid }) => isAlive(pid)), { timeout: 20_000 }).toEqual([]);
  });

  it('should say in one message all that is wrong with what it was told', async () => {
    const chaos = startNode('chaos', [CHAOS, '--minutes', '0', '--seed', 'x', '--rate', '-1', '--gap', '5', 'now']);
    expect(await chaos.exit()).toEqual({ code: 2, signal: null });
    expect(chaos.errors).toEqual([
      'npm run chaos: cannot start',
      '  - unexpected "now"',
      '  - --minutes is "0": it must be a number from 0.05 to 1440',
      '  - --seed is "x": it must be a whole number from 0 to 2147483647',
      '  - --rate is "-1": it must be a number from 0.1 to 200',
      expect.stringContaining('--gap is "5": it must be a time with its unit from 200ms to 1m'),
      'npm run chaos -- --help says more',
    ]);
  });
});

interface Report {
  readonly seed: number;
  readonly verdict: { readonly breaches: Readonly<Record<string, readonly string[]>> };
}

function isSome(count: number): boolean {
  return count > 0;
}

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, it } from 'vitest';
import { UsageExit } from '../../proto/program-options.js';
import { parseCampaignOptions } from './campaign/campaign-options.js';
import { NO_END_RULE, SeedPool } from './campaign/seed-pool.js';
import { MUTATIONS } from './mutations/all-mutations.js';
import { MutantTree, ROOT } from './mutations/mutant-tree.js';
import { ProductProject } from './mutations/product-project.js';
import { simulate } from './simulation.js';

const THREAD = join(ROOT, 'dist/test/sim/campaign/seed-thread.js');

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  program: string,
  args: readonly string[],
  whenStarted?: (child: ChildProcess) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = [text(child.stdout), text(child.stderr)];
  const exited = once(child, 'exit');
  whenStarted?.(child);
  const [code] = (await exited) as [number | null];
  return { code, stdout: await stdout, stderr: await stderr };
}

describe('a seed', () => {
  it('should run the same in a thread, and with no more than the faults that it has', async () => {
    const pool = new SeedPool({ jobs: 1, limitMs: 30_000, threadPath: THREAD });
    const here = await simulate(7);
    const faults = Object.values(here.faults).reduce((sum, count) => sum + count, 0);
    const there = await pool.run({ seed: 7, maxFaults: faults, maxTasks: here.tasks });
    const fewer = await pool.run({ seed: 7, maxFaults: 2, maxTasks: 5 });
    await pool.close();
    expect(there.hash).toBe(here.hash);
    expect(fewer.tasks).toBe(5);
    expect(Object.values(fewer.faults).reduce((sum, count) => sum + count, 0)).toBe(2);
  });

  it('should count as failed when it does not come to an end', async () => {
    const pool = new SeedPool({ jobs: 1, limitMs: 1, threadPath: THREAD });
    const { violation } = await pool.run({ seed: 7 });
    await pool.close();
    expect(violation).toMatchObject({ rule: NO_END_RULE, details: expect.stringContaining('0.001 s') });
  });
});

describe('npm run sim', () => {
  const tree = new MutantTree(new ProductProject(ROOT));
  const program = tree.program('test/sim/main.js');
  const mutation = MUTATIONS.find(({ name }) => name === 'assign-to-two')!;
  afterAll(() => tree.remove());

  it('should shrink what fails, and name the command that repeats it', async () => {
    const restore = tree.apply(mutation);
    const campaign = await run(program, ['--seeds', '4', '--jobs', '1']);
    expect(campaign.stderr).toBe('');
    expect(campaign.code).toBe(1);
    expect(campaign.stdout).toMatch(/^seeds +4: \d held, \d failed$/m);
    const [, rule] = /^seed \d+ breaks a rule after \d+ simulated ms: (.*)$/m.exec(campaign.stdout)!;
    const [, args] = /^again: npm run sim -- (.* --faults \d+ --tasks \d+ --trace)$/m.exec(campaign.stdout)!;
    const again = await run(program, args!.split(' '));
    restore();
    expect(again.code).toBe(1);
    expect(again.stdout).toContain(`MODEL: broken: ${rule}`);
    expect(again.stdout).toMatch(/^hash of the trace: [0-9a-f]{64}$/m);
  });

  it('should tell on Ctrl-C what is known by then', async () => {
    const restore = tree.apply(mutation);
    const args = ['--seeds', '1000000', '--jobs', '1'];
    // By its first words it runs.
    const { code, stdout } = await run(program, args, (child) =>
      child.stdout?.once('data', () => child.kill('SIGINT')),
    );
    restore();
    expect(code).toBe(130);
    expect(stdout).toMatch(/^again: npm run sim -- --from \d+ --seeds 1 --trace$/m);
    expect(stdout).toMatch(/^ended after (\d+) of 1000000 seeds\nseeds +\1: \d+ held, [1-9]\d* failed$/m);
  });

  it('should name every value that is wrong', () => {
    const parse = (): unknown => parseCampaignOptions(['--from', 'x', '--seeds', '0', '--jobs', '1.5', 'more']);
    expect(parse).toThrow(UsageExit);
    expect(parse).toThrow(/unexpected "more"[\s\S]*--from is "x"[\s\S]*--seeds is "0"[\s\S]*--jobs is "1.5"/);
    expect(() => parseCampaignOptions(['--trace', '--seeds', '2'])).toThrow(/--seeds is "2": --trace prints one seed/);
  });
});

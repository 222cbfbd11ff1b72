import { afterEach, describe, expect, it } from 'vitest';
import { endPrograms, ROOT, startCoordinator, startNode } from '../support/programs.js';
import { json, parsed, Stubs } from '../support/stubs.js';

afterEach(endPrograms);

const NAMES = {
  'remuda/worker': 'createWorker',
  'remuda/coordinator': 'Coordinator',
  'remuda/proto': 'TaskService',
} as const;

describe('the package', () => {
  it.each(Object.entries(NAMES))('gives %s to require() and to import alike', async (path, name) => {
    const required = startNode('cjs', ['-e', `console.log(typeof require('${path}').${name})`], { cwd: ROOT });
    expect(await required.exit()).toMatchObject({ code: 0 });
    const code = `import { ${name} } from '${path}'; console.log(typeof ${name})`;
    const imported = startNode('esm', ['--input-type=module', '-e', code], { cwd: ROOT });
    expect(await imported.exit()).toMatchObject({ code: 0 });
    expect(required.stdout).toMatch(/^(function|object)$/);
    expect(imported.stdout).toBe(required.stdout);
  });

  it('runs a worker inside a CommonJS program, which leaves when it is asked to', async () => {
    const { address, program: coordinator } = await startCoordinator();
    const program = startNode('cjs worker', [`${ROOT}test/e2e/library-worker.cjs`, address]);
    using stubs = new Stubs(address);
    const { task } = await stubs.run({ task: { type: 'cjs.double', payload: json({ n: 21 }) } });
    expect(parsed(task?.result)).toBe(42);
    program.kill('SIGTERM');
    expect(await program.exit()).toMatchObject({ code: 0 });
    await coordinator.line(({ json: line }) => line?.['msg'] === 'worker-left', 'worker-left event');
  });
});

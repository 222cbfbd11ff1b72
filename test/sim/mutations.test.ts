import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { SeedPool } from './campaign/seed-pool.js';
import { MUTATIONS } from './mutations/all-mutations.js';
import { MutantTree, ROOT } from './mutations/mutant-tree.js';
import { mutate, StaleMutation, transpile, type Mutation } from './mutations/mutation.js';
import { ProductProject } from './mutations/product-project.js';
import { tryMutation } from './mutations/try-mutation.js';

/** As many as it takes with room to spare: each of these is noticed by a seed in ten, or by most. */
const SEEDS = 60;
/** Faults of every kind: of the core, of the engine, of both sides of a stream, of what the store is told. */
const NOTICED_SOON = [
  'short-lease',
  'answer-before-commit',
  'lose-assignment',
  'mix-up-results',
  'run-on-without-lease',
  'hide-unsent-reports',
];

const project = new ProductProject(ROOT);
const never = new AbortController().signal;

function named(name: string): Mutation {
  const mutation = MUTATIONS.find((one) => one.name === name);
  if (mutation === undefined) throw new Error(`there is no mutation ${name}`);
  return mutation;
}

describe('every mutation', () => {
  it('should have a name of its own, for the command line', () => {
    const names = MUTATIONS.map(({ name }) => name);
    expect(names.filter((name, index) => !/^[a-z0-9-]+$/.test(name) || names.indexOf(name) !== index)).toEqual([]);
  });

  it.each(MUTATIONS.map(({ name }) => name))('should fit the product as it is: %s', (name) => {
    const mutation = named(name);
    const source = project.read(mutation.file);
    const broken = mutate(mutation, source);
    expect(broken).not.toBe(source);
    expect(transpile(mutation, broken, project.options)).not.toBe('');
  });

  it('should be refused once its text is not in the source exactly once', () => {
    const mutation = named('short-lease');
    const twice = project.read(mutation.file).repeat(2);
    for (const source of ['', twice]) {
      expect(() => mutate(mutation, source)).toThrow(StaleMutation);
      expect(() => mutate(mutation, source)).toThrow(/short-lease is stale: .* in coordinator\/core\/lease\.ts/);
    }
  });
});

describe('the simulation', () => {
  const tree = new MutantTree(project);
  const sound = new SeedPool({
    ...{ jobs: 1, limitMs: 30_000 },
    threadPath: join(ROOT, 'dist/test/sim/campaign/seed-thread.js'),
  });
  afterAll(async () => {
    await sound.close();
    tree.remove();
  });

  it.each(NOTICED_SOON)('should notice %s', async (name) => {
    const seeds = Array.from({ length: SEEDS }, (_, index) => index + 1);
    const trial = await tryMutation(named(name), { tree, sound, seeds, limitMs: 30_000, signal: never });
    expect(trial.caughtBy, `noticed within ${SEEDS} seeds`).not.toBeNull();
  });
});

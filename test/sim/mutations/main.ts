/** Shows that the simulation bites: `npm run sim:mutations -- --help`. */
import Table from 'cli-table3';
import { usageOrExit } from '../../../proto/program-options.js';
import { programSignal } from '../campaign/program-signal.js';
import { ProgressLine } from '../campaign/progress-line.js';
import { SeedPool } from '../campaign/seed-pool.js';
import { MUTATIONS } from './all-mutations.js';
import { MutantTree, ROOT } from './mutant-tree.js';
import { parseMutationOptions, type MutationCommand } from './mutation-options.js';
import { StaleMutation, type Mutation } from './mutation.js';
import { ProductProject } from './product-project.js';
import { tryMutation, type MutationTrial } from './try-mutation.js';

/** Far above what a seed takes; a mutant may loop for ever. */
const SEED_LIMIT_MS = 30_000;

const command = usageOrExit(() =>
  parseMutationOptions(
    process.argv.slice(2),
    MUTATIONS.map(({ name }) => name),
  ),
);
const mutations = MUTATIONS.filter(({ name }) => command.names.includes(name));
const signal = programSignal();
if (command.list) list();
else await tryAll(command);

function list(): void {
  const table = new Table({ head: ['mutation', 'file', 'then', 'against'], style: { head: [], border: [] } });
  for (const { name, file, breaks, promise } of mutations) table.push([name, file, breaks, promise]);
  console.log(table.toString());
}

async function tryAll(options: MutationCommand): Promise<void> {
  const project = new ProductProject(ROOT);
  const progress = new ProgressLine(process.stderr);
  const tree = new MutantTree(project);
  const sound = new SeedPool({ jobs: options.jobs, limitMs: SEED_LIMIT_MS });
  const trials: MutationTrial[] = [];
  try {
    progress.show(`checking ${mutations.length} mutations`);
    project.checkTypes(mutations);
    for (const mutation of mutations) {
      progress.show(`${trials.length + 1} of ${mutations.length}: ${mutation.name}`);
      const seeds = seedsOf(options);
      trials.push(await tryMutation(mutation, { tree, sound, seeds, limitMs: SEED_LIMIT_MS, signal }));
    }
  } catch (error) {
    if (error instanceof StaleMutation) {
      progress.clear();
      console.error(error.message);
      process.exitCode = 1;
      return;
    }
    if (!signal.aborted) throw error;
  } finally {
    progress.clear();
    await sound.close();
    tree.remove();
  }
  tell(trials, options);
}

function* seedsOf({ from, seeds }: MutationCommand): Iterable<number> {
  for (let seed = from; seed < from + seeds; seed += 1) yield seed;
}

function tell(trials: readonly MutationTrial[], { seeds }: MutationCommand): void {
  const table = new Table({
    head: ['mutation', 'file', 'noticed by the rule', 'seed', 'seeds', 'seconds'],
    colAligns: ['left', 'left', 'left', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  for (const { mutation, caughtBy, seeds: tried, elapsedMs } of trials) {
    const { name, file } = mutation;
    const seconds = (elapsedMs / 1_000).toFixed(1);
    table.push([name, file, ruleOf(caughtBy), String(caughtBy?.seed ?? ''), String(tried), seconds]);
  }
  console.log(table.toString());
  const unsound = [...new Set(trials.flatMap((trial) => trial.unsound))];
  if (unsound.length > 0) console.log(`seeds that break a rule without any mutation: ${unsound.join(', ')}`);
  const survivors = trials.filter(({ caughtBy }) => caughtBy === null);
  const untried = mutations.length - trials.length;
  console.log(
    `${trials.length - survivors.length} of ${trials.length} noticed${untried > 0 ? `, ${untried} not tried` : ''}`,
  );
  for (const { mutation } of survivors) console.log(survival(mutation, seeds));
  if (survivors.length > 0) process.exitCode ??= 1;
}

function ruleOf(caughtBy: MutationTrial['caughtBy']): string {
  if (caughtBy === null) return 'NOT NOTICED';
  const { rule = '', details = '' } = caughtBy.violation ?? {};
  // The core's own invariants end the coordinator; which it was is in the details.
  return rule === 'the coordinator never gives up' ? (details.split(/invariant broken: |\n/)[1] ?? details) : rule;
}

function survival({ name, breaks, promise }: Mutation, seeds: number): string {
  return `${name} is not noticed in ${seeds} seeds: ${breaks} (${promise}). The simulation lacks a fault that brings it out, or a rule that sees it`;
}

import { expect, it } from 'vitest';
import { describeFailure } from './describe-failure.js';
import { simulate, type Sabotage, type SimReport } from './simulation.js';

/** What is broken by a seam, and a rule that must be found broken within so many seeds. */
const BITES: readonly {
  readonly name: string;
  readonly sabotage: Sabotage;
  readonly rules: RegExp;
  readonly seeds: number;
}[] = [
  {
    name: 'a store that answers before it is durable',
    sabotage: { store: { answersEarly: true } },
    rules: /on disk before it leaves|never lost/,
    seeds: 40,
  },
  {
    name: 'a store that loses an answered commit',
    sabotage: { store: { loses: 0.05 } },
    rules: /never gives up|a task ends once|accepted success|every task ends|at the same time/,
    seeds: 40,
  },
  {
    name: 'a store that returns another result',
    sabotage: { store: { garblesResults: true } },
    rules: /result is of the attempt that counted/,
    seeds: 40,
  },
  {
    name: 'a network that duplicates frames',
    sabotage: { duplicateShare: 0.01 },
    rules: /never refused/,
    seeds: 40,
  },
  {
    name: 'a lease that the coordinator ends before the worker does',
    sabotage: { leaseShare: 0.3 },
    rules: /at the same time|max_attempts 1/,
    seeds: 80,
  },
  {
    name: 'a worker that runs on when its lease is over',
    sabotage: { deafToLostLease: true },
    rules: /at the same time|max_attempts 1/,
    seeds: 40,
  },
  {
    name: 'an assignment that goes to two workers',
    sabotage: { handsOutTwice: true },
    rules: /numbers rise|at the same time|on disk/,
    seeds: 40,
  },
  {
    name: 'an assignment that gets lost in the coordinator',
    sabotage: { losesAssignments: 0.05 },
    rules: /every task ends|ready and idle/,
    seeds: 40,
  },
];

async function firstViolation(sabotage: Sabotage, seeds: number): Promise<SimReport | undefined> {
  for (let seed = 1; seed <= seeds; seed += 1) {
    const report = await simulate(seed, { sabotage });
    if (report.violation !== null) return report;
  }
  return undefined;
}

it.each(BITES)('notices $name', async ({ sabotage, rules, seeds }) => {
  const report = await firstViolation(sabotage, seeds);
  expect(report?.violation?.rule, `a violation within ${seeds} seeds`).toMatch(rules);
});

it('says how to have a failure again', async () => {
  const report = await firstViolation({ store: { garblesResults: true } }, 3);
  if (report === undefined) throw new Error('no failure to describe');
  expect(describeFailure(report)).toMatch(/rule .*[\s\S]*what led there:[\s\S]*main\.js --seed \d+ --trace/);
});

import { describe, expect, it } from 'vitest';
import type { Contender } from '../../bench/contender.js';
import { Meter, type Sample } from '../../bench/in-flight.js';
import { resultsOf } from '../../bench/result.js';
import { measureRounds } from '../../bench/rounds.js';

describe('a meter', () => {
  const TERMS = { warmMs: 100, measureMs: 1_000 };

  it('should count what ends after the warm-up, and show how long half and nearly all of it took', () => {
    const meter = new Meter(TERMS, 5_000, 1);
    meter.add(90, 5_099);
    for (let number = 1; number <= 100; number += 1) meter.add(number, 5_100 + number * 10);
    expect(meter.isDone).toBe(true);
    expect(meter.sample()).toEqual({ count: 100, perS: 100, p50Ms: 50, p99Ms: 99 });
  });

  it('should count no more once it is done', () => {
    const meter = new Meter(TERMS, 0, 1);
    meter.add(1, 1_100);
    meter.add(1, 1_101);
    expect(meter.sample()).toMatchObject({ count: 1, perS: 1 });
  });

  it('should go on past its time until a whole window has ended', () => {
    const meter = new Meter(TERMS, 0, 3);
    meter.add(1, 2_000);
    meter.add(1, 2_000);
    expect(meter.isDone).toBe(false);
    meter.add(1, 2_100);
    expect(meter.isDone).toBe(true);
    expect(meter.sample()).toMatchObject({ count: 3, perS: 1.5 });
  });
});

describe('what several rounds gave', () => {
  const row = (name: string, floor: string | null) => ({ name, what: '', inFlight: 1, floor, table: 'floor' as const });
  const contender = (name: string, floor: string | null): Contender => ({
    name,
    rows: [row('1', floor)],
    open: () => Promise.reject(new Error('nothing is measured here')),
  });
  const samples = (...rates: number[]): Sample[] => rates.map((perS) => ({ count: 1, perS, p50Ms: null, p99Ms: null }));
  const contenders = [contender('pipe', null), contender('fleet', 'pipe/1')];

  it('should be shown by its median and by what it lies between', () => {
    const [result] = resultsOf(contenders, new Map([['pipe/1', samples(30, 10, 20)]]));
    expect(result).toMatchObject({ name: 'pipe/1', perS: { median: 20, min: 10, max: 30 }, p50Ms: null });
  });

  it('should be held against the floor round by round, so that a bad round of the machine does not count', () => {
    const rates = new Map([
      ['pipe/1', samples(1_000, 100, 900)],
      ['fleet/1', samples(500, 50, 450)],
    ]);
    expect(resultsOf(contenders, rates)[1]).toMatchObject({ shareOfFloor: { median: 0.5, min: 0.5, max: 0.5 } });
  });

  it('should have no share without a floor, or when that was not measured', () => {
    const results = resultsOf(contenders, new Map([['fleet/1', samples(1)]]));
    expect(results).toHaveLength(1);
    expect(results[0]).toMatchObject({ name: 'fleet/1', shareOfFloor: null });
  });
});

describe('rounds', () => {
  it('should measure every contender once before any again, each time by processes of its own', async () => {
    const steps: string[] = [];
    const contender = (name: string): Contender => ({
      name,
      rows: ['1', '64'].map((row) => ({ name: row, what: '', inFlight: 1, floor: null, table: 'floor' as const })),
      open: async () => {
        steps.push(`open ${name}`);
        return {
          measure: async (row) => {
            steps.push(`measure ${name}/${row.name}`);
            return { count: 1, perS: steps.length, p50Ms: null, p99Ms: null };
          },
          [Symbol.asyncDispose]: async () => void steps.push(`end ${name}`),
        };
      },
    });
    const samples = await measureRounds(
      {
        contenders: [contender('a'), contender('b'), contender('unwanted')],
        isWanted: (name) => ['a/1', 'a/64', 'b/64'].includes(name),
        rounds: 2,
        terms: { warmMs: 0, measureMs: 1 },
        onSample: () => undefined,
        signal: new AbortController().signal,
      },
      { folder: '', warmMs: 0, profileFolder: null },
    );
    const round = ['open a', 'measure a/1', 'measure a/64', 'end a', 'open b', 'measure b/64', 'end b'];
    expect(steps).toEqual([...round, ...round]);
    expect([...samples].map(([name, { length }]) => [name, length])).toEqual([
      ['a/1', 2],
      ['a/64', 2],
      ['b/64', 2],
    ]);
  });
});

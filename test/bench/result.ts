import type { Contender, Row } from './contender.js';
import type { Sample } from './in-flight.js';

/** The middle of several runs, and between what they lie. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One row after all rounds. */
export interface Result extends Omit<Row, 'name'> {
  /** `contender/row`. */
  readonly name: string;
  /** One a round. */
  readonly samples: readonly Sample[];
  /** Over the rounds; null where a sample says nothing of it. */
  readonly perS: Spread;
  readonly p50Ms: Spread | null;
  readonly p99Ms: Spread | null;
  /** `perS` over that of the floor in the same round; null without a floor, or when that was not measured. */
  readonly shareOfFloor: Spread | null;
}

/** `contender/row`, as `--only` and `floor` name it. */
export function rowName(contender: Pick<Contender, 'name'>, row: Pick<Row, 'name'>): string {
  return `${contender.name}/${row.name}`;
}

/** What came out, in the order of the contenders' rows; what was not measured is left out. */
export function resultsOf(
  contenders: readonly Contender[],
  samples: ReadonlyMap<string, readonly Sample[]>,
): readonly Result[] {
  return contenders.flatMap((contender) =>
    contender.rows.flatMap((row) => {
      const name = rowName(contender, row);
      const own = samples.get(name);
      return own === undefined ? [] : [resultOf(name, row, own, samples.get(row.floor ?? '') ?? [])];
    }),
  );
}

function resultOf(name: string, row: Row, samples: readonly Sample[], floor: readonly Sample[]): Result {
  const shares = samples.map(({ perS }, round) => {
    const under = floor[round];
    return under === undefined ? null : perS / under.perS;
  });
  return {
    ...row,
    name,
    samples,
    perS: middle(samples.map(({ perS }) => perS)),
    p50Ms: spreadOf(samples.map(({ p50Ms }) => p50Ms)),
    p99Ms: spreadOf(samples.map(({ p99Ms }) => p99Ms)),
    shareOfFloor: spreadOf(shares),
  };
}

/** Of the values that are known; null if none is. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : middle(known);
}

/** @param values At least one. Of an even number the upper of the two in the middle is taken, which was measured */
function middle(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? NaN;
  return { median: at(Math.floor(sorted.length / 2)), min: at(0), max: at(sorted.length - 1) };
}

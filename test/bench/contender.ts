import type { Sample, Terms } from './in-flight.js';

/** One figure that a contender is measured for. */
export interface Row {
  /** Unique within its contender; `contender/row` is what `--only` selects by. */
  readonly name: string;
  /** For people: what is measured. */
  readonly what: string;
  /** How many operations are under way at a time; null: as many as come up. */
  readonly inFlight: number | null;
  /** `contender/row` of the floor that it is held against. */
  readonly floor: string | null;
  /** In which table of the report it stands: one of `TableLayout.table`. */
  readonly table: string;
}

/** What the contenders of one run are given. */
export interface Scene {
  /** A folder for stores, empty, which is removed at the end. */
  readonly folder: string;
  /** How long a contender that has just been started is kept busy before anything is measured, in milliseconds. */
  readonly warmMs: number;
  /** Where CPU profiles of the coordinators are put; null: none are made. */
  readonly profileFolder: string | null;
}

/** Something that is measured: processes that are started for one round, and ended after it. */
export interface Contender {
  readonly name: string;
  readonly rows: readonly Row[];
  /** Starts its processes and warms them up. */
  open(scene: Scene): Promise<OpenContender>;
}

/** A contender whose processes run. */
export interface OpenContender extends AsyncDisposable {
  /** @throws Error if anything that is measured fails */
  measure(row: Row, terms: Terms): Promise<Sample>;
}

/** How many tasks are in flight, in turn. */
export const WINDOWS = [1, 64, 256, 2_048] as const;

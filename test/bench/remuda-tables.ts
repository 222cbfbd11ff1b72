import { RESULT_COLUMNS, type TableLayout } from './report.js';

const { name, what, inFlight, perS, perSSpread, p50, p99, p50Spread, p99Spread, share, floor } = RESULT_COLUMNS;

/** The tables of `npm run bench`: floors; Remuda from submit to result; Remuda from submit to the handler's entry. */
export const REMUDA_TABLES: readonly TableLayout[] = [
  { table: 'floor', title: 'Floors', columns: [name, what, inFlight, perS, perSSpread, p50, p99] },
  {
    table: 'result',
    title: 'Remuda, submit to result: a 128-byte echo, one worker process of 1,000 slots and 1,000 prefetch',
    columns: [name, what, inFlight, perS, perSSpread, p50, p99, share, floor],
  },
  {
    table: 'start',
    title: "Remuda, submit to the handler's entry: one task at a time, a slot is free",
    columns: [name, what, p50, p50Spread, p99, p99Spread],
  },
];

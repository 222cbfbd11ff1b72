import Table from 'cli-table3';

/** What a table is to look like. */
export interface TableOptions {
  /** Draw borders; otherwise columns are parted by two spaces, which is what scripts can read. */
  readonly borders: boolean;
  /** Columns whose values stand at the right. */
  readonly right?: readonly string[];
}

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Rows under a head, as lines that end with a line feed. */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { borders, right = [] }: TableOptions,
): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((name) => (right.includes(name) ? 'right' : 'left')),
    // No colours from here: whoever prints it knows the stream.
    style: borders
      ? { head: [], border: [], compact: true }
      : { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    ...(borders ? {} : { chars: NO_BORDERS }),
  });
  for (const row of rows) table.push(row.map((cell) => cell.replace(/\s*\n\s*/g, ' ')));
  const lines = table.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

/** Names and values, one a line, the values below each other. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

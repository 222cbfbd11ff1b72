import Table from 'cli-table3';
import type { Style, Terminal } from './terminal.js';

/** What a table is to look like on the stream that it goes to. */
export interface TableLook {
  /** Draw borders; otherwise columns are parted by two spaces, which is what scripts can read. */
  readonly borders: boolean;
  /** How wide it may be, in characters. Default: as wide as it gets. */
  readonly columns?: number | undefined;
  /** Makes text stand out. Default: nothing does. */
  readonly paint?: (style: Style, text: string) => string;
}

/** What a table is to look like because of what is in it. */
export interface TableOptions extends TableLook {
  /** Columns whose values stand at the right. */
  readonly right?: readonly string[];
  /** Columns to cut where the table is too wide, the first first. */
  readonly cut?: readonly string[];
  /** Columns to leave out where cutting is not enough, the first first. */
  readonly drop?: readonly string[];
  /** How a value stands out, if it does. */
  readonly styleOf?: (column: string, value: string) => Style | undefined;
}

/** What a table is to look like on stdout. */
export function lookOf(terminal: Terminal): TableLook {
  return {
    borders: terminal.isInteractive,
    columns: terminal.columns,
    paint: (style, text) => terminal.outStyle(style, text),
  };
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
  options: TableOptions,
): string {
  const { borders, right = [], styleOf, paint = (_style: Style, text: string): string => text } = options;
  const columns = fit(
    head.map((name, index) => ({ name, values: rows.map((row) => onOneLine(row[index] ?? '')) })),
    options,
  );
  const table = new Table({
    head: columns.map(({ name }) => paint('bold', name)),
    colAligns: columns.map(({ name }) => (right.includes(name) ? 'right' : 'left')),
    // No colours from here: whoever prints it knows the stream.
    style: borders
      ? { head: [], border: [], compact: true }
      : { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    ...(borders ? {} : { chars: NO_BORDERS }),
  });
  for (let row = 0; row < rows.length; row += 1) {
    table.push(
      columns.map(({ name, values }) => {
        const value = values[row] ?? '';
        const style = styleOf?.(name, value);
        return style === undefined ? value : paint(style, value);
      }),
    );
  }
  const lines = table.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

/** Names and values, one a line, the values below each other. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

/** A text that takes at most so many characters, with an ellipsis where it was cut. */
export function cutText(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`;
}

interface Column {
  readonly name: string;
  readonly values: readonly string[];
}

/** A column is not cut below this: what is left would say nothing. */
const CUT_CHARS_MIN = 12;

/** The columns that there is room for, cut where they have to be. */
function fit(all: readonly Column[], { columns: room, borders, cut = [], drop = [] }: TableOptions): readonly Column[] {
  if (room === undefined) return all;
  const frame = (count: number): number => (borders ? 3 * count + 1 : 2 * (count - 1));
  let kept = all;
  const over = (widthOf: (column: Column) => number): number =>
    kept.reduce((sum, column) => sum + widthOf(column), frame(kept.length)) - room;
  const least = (column: Column): number =>
    cut.includes(column.name) ? Math.min(widthOf(column), CUT_CHARS_MIN) : widthOf(column);
  for (const name of drop) {
    if (over(least) <= 0) break;
    kept = kept.filter((column) => column.name !== name);
  }
  let excess = over(widthOf);
  const widths = new Map<string, number>();
  for (const name of cut) {
    const column = kept.find((candidate) => candidate.name === name);
    if (column === undefined || excess <= 0) continue;
    const width = Math.max(least(column), widthOf(column) - excess);
    excess -= widthOf(column) - width;
    widths.set(name, width);
  }
  return kept.map((column) => {
    const width = widths.get(column.name);
    return width === undefined ? column : { ...column, values: column.values.map((value) => cutText(value, width)) };
  });
}

function widthOf({ name, values }: Column): number {
  return values.reduce((width, value) => Math.max(width, [...value].length), name.length);
}

function onOneLine(cell: string): string {
  return cell.replace(/\s*\n\s*/g, ' ').trim();
}

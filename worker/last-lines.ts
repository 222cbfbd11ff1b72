/** How many lines are kept, and how many bytes of them together. */
const LINES_MAX = 20;
const BYTES_MAX = 8_192;

/** The newest lines that a process has written: what it says of itself when it fails. */
export class LastLines {
  private readonly kept = { stdout: [] as Buffer[], stderr: [] as Buffer[] };

  /** Of a line longer than the bound the beginning is kept: it says what the rest is about. Empty lines say nothing. */
  add(stream: 'stdout' | 'stderr', line: string): void {
    if (line.trim() === '') return;
    // As bytes: a piece of a string would keep the whole chunk that it was cut from.
    const bytes = Buffer.from(line.slice(0, BYTES_MAX)).subarray(0, BYTES_MAX);
    this.kept[stream] = newest([...this.kept[stream], bytes]);
  }

  /**
   * At most 20 lines with 8 KiB together, oldest first: those of stderr, where errors go, and before them as many of stdout as
   * there is room for. In which order a process wrote to both cannot be known.
   */
  read(): string[] {
    const { stdout, stderr } = this.kept;
    return newest([...stdout, ...stderr]).map((line) => line.toString());
  }
}

function newest(lines: readonly Buffer[]): Buffer[] {
  let from = lines.length;
  let bytes = 0;
  while (from > 0 && lines.length - from < LINES_MAX) {
    bytes += lines[from - 1]?.byteLength ?? 0;
    if (bytes > BYTES_MAX) break;
    from -= 1;
  }
  return lines.slice(from);
}

/** How many lines are kept, and how many bytes of them together. */
const LINES_MAX = 20;
const BYTES_MAX = 8_192;

/** The newest lines that a process has written: what it says of itself when it fails. */
export class LastLines {
  /** As bytes: a piece of a string would keep the whole chunk that it was cut from. */
  private lines: Buffer[] = [];
  private bytes = 0;

  /** Of a line longer than the bound the beginning is kept: it says what the rest is about. */
  add(line: string): void {
    const kept = Buffer.from(line.slice(0, BYTES_MAX)).subarray(0, BYTES_MAX);
    this.lines.push(kept);
    this.bytes += kept.byteLength;
    while (this.lines.length > LINES_MAX || this.bytes > BYTES_MAX) this.bytes -= this.lines.shift()?.byteLength ?? 0;
  }

  /** At most 20 lines with 8 KiB together, oldest first. */
  read(): string[] {
    return this.lines.map((line) => line.toString());
  }
}

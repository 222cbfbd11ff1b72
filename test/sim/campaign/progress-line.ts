/** One line on a terminal that tells how far something is, and is written over and over; nothing where there is no terminal. */
export class ProgressLine {
  #shown = '';

  /** @param stream Usually stderr: what comes out goes to stdout */
  constructor(private readonly stream: NodeJS.WriteStream) {}

  show(text: string): void {
    if (!this.stream.isTTY || text === this.#shown) return;
    this.#shown = text;
    this.stream.write(`\r\x1b[K${text}`);
  }

  /** Leaves an empty line, for what others write. */
  clear(): void {
    if (this.#shown !== '') this.stream.write('\r\x1b[K');
    this.#shown = '';
  }
}

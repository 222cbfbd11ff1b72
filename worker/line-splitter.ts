import { StringDecoder } from 'node:string_decoder';

/** A line longer than this is passed on in pieces: a process that never ends its line must not fill our memory. */
const LINE_CHARS_MAX = 65_536;

/** Cuts a byte stream into lines, without their ends. */
export class LineSplitter {
  private readonly decoder = new StringDecoder('utf8');
  private rest = '';

  constructor(private readonly onLine: (line: string) => void) {}

  /** The next bytes. */
  push(chunk: Buffer): void {
    const lines = (this.rest + this.decoder.write(chunk)).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) this.onLine(line);
    while (this.rest.length > LINE_CHARS_MAX) {
      this.onLine(this.rest.slice(0, LINE_CHARS_MAX));
      this.rest = this.rest.slice(LINE_CHARS_MAX);
    }
  }

  /** The stream has ended: a last line without an end counts. */
  end(): void {
    const last = this.rest + this.decoder.end();
    this.rest = '';
    if (last !== '') this.onLine(last);
  }
}

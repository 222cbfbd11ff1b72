import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

/** A program that logs without end fills no disk: past this the file begins anew. */
const FILE_BYTES_MAX = 64 * 1_048_576;

/** A log file that begins anew at each start, and again when it has grown past its bound. */
export class LogFile {
  readonly #fd: number;
  #bytes = 0;
  #closed = false;

  /**
   * @param path its directory exists
   * @param maxBytes Default 64 MiB
   * @throws the system's error if the file cannot be opened for writing
   */
  constructor(
    readonly path: string,
    private readonly maxBytes = FILE_BYTES_MAX,
  ) {
    // Appending, so that whoever else empties the file leaves no hole in it.
    this.#fd = openSync(path, 'a', 0o600);
    ftruncateSync(this.#fd);
  }

  /** Adds a line. A full disk, or a line after the end, costs the line and no more. */
  write(line: string): void {
    if (this.#closed) return;
    try {
      this.#write(line);
    } catch {
      // The fleet is worth more than its log.
    }
  }

  /** Ends it. A repeat does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  #write(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    if (this.#bytes + bytes.byteLength > this.maxBytes) {
      ftruncateSync(this.#fd);
      this.#bytes = 0;
    }
    writeSync(this.#fd, bytes);
    this.#bytes += bytes.byteLength;
  }
}

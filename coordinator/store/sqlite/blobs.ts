/** Above this many bytes a blob has a table row, and crosses threads in a buffer, of its own. */
export const LARGE_BLOB_BYTES = 16 * 1024;

const LENGTH_BYTES = 4;

/**
 * Blobs on their way to another thread: the small ones share one buffer, since each transfer costs more than copying a few
 * KiB; the large ones have their own, so that a small one that is kept does not keep megabytes. Read back, in order, by
 * {@link BlobReader}.
 */
export class BlobWriter {
  readonly #blobs: Uint8Array[] = [];
  #smallBytes = 0;
  #bytes = 0;

  /** Of all blobs so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param data Copied by {@link finish}. */
  add(data: Uint8Array): void {
    this.#blobs.push(data);
    this.#bytes += data.byteLength;
    if (data.byteLength <= LARGE_BLOB_BYTES) this.#smallBytes += LENGTH_BYTES + data.byteLength;
    else this.#smallBytes += LENGTH_BYTES;
  }

  /** All that was added: to be sent and transferred. */
  finish(): ArrayBuffer[] {
    if (this.#blobs.length === 0) return [];
    // Not from Node's pool: it is going to be transferred, and the pool must not.
    const small = Buffer.allocUnsafeSlow(this.#smallBytes);
    const buffers = [small.buffer];
    let at = 0;
    for (const data of this.#blobs) {
      at = small.writeUInt32LE(data.byteLength, at);
      if (data.byteLength <= LARGE_BLOB_BYTES) {
        small.set(data, at);
        at += data.byteLength;
      } else {
        const own = Buffer.allocUnsafeSlow(data.byteLength);
        own.set(data);
        buffers.push(own.buffer);
      }
    }
    return buffers;
  }
}

/** Gives back, one by one, what a {@link BlobWriter} was given. */
export class BlobReader {
  readonly #small: Buffer;
  #at = 0;
  #nextLarge = 1;

  constructor(private readonly buffers: readonly ArrayBuffer[]) {
    this.#small = Buffer.from(buffers[0] ?? new ArrayBuffer(0));
  }

  /** @throws RangeError after the last */
  next(): Uint8Array {
    const bytes = this.#small.readUInt32LE(this.#at);
    this.#at += LENGTH_BYTES;
    if (bytes > LARGE_BLOB_BYTES) {
      const large = this.buffers[this.#nextLarge];
      if (large === undefined) throw new RangeError(`blob of ${bytes} bytes is missing`);
      this.#nextLarge += 1;
      return new Uint8Array(large);
    }
    const data = new Uint8Array(this.#small.buffer, this.#small.byteOffset + this.#at, bytes);
    this.#at += bytes;
    return data;
  }
}

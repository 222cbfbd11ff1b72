/** What a stream of grpc-js offers to who writes bytes to it. */
export interface ByteSink {
  write(bytes: Buffer, written: () => void): unknown;
}

/** grpc-js counts messages, not bytes: no more than this, or one frame, waits inside it. */
const UNWRITTEN_BYTES_MAX = 65_536;

/** Writes to a stream of grpc-js as long as it takes what it is given: it would buffer without a bound. */
export class GatedWriter {
  #unwrittenBytes = 0;

  /** @param onRoom There is room again. Called within a callback of the stream. */
  constructor(
    private readonly sink: ByteSink,
    private readonly onRoom: () => void,
  ) {}

  /** True if a frame may be written now. */
  get hasRoom(): boolean {
    return this.#unwrittenBytes < UNWRITTEN_BYTES_MAX;
  }

  /** Writes a frame, of any size. To be called while there is room. */
  write(bytes: Buffer): void {
    const { byteLength } = bytes;
    this.#unwrittenBytes += byteLength;
    this.sink.write(bytes, () => {
      const wasFull = !this.hasRoom;
      this.#unwrittenBytes -= byteLength;
      if (wasFull && this.hasRoom) this.onRoom();
    });
  }
}

/**
 * Bounds what is under way, by number and by bytes. For one who enters: it waits until there is room, and so holds up what it
 * reads from.
 */
export class FlightWindow {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  #count = 0;
  #bytes = 0;
  #changed: (() => void) | undefined;

  /** @param maxBytes of all together; a larger one goes alone */
  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  /** Waits for room and takes it. One call at a time. */
  async enter(bytes: number): Promise<void> {
    while (this.#count > 0 && (this.#count >= this.#maxCount || this.#bytes + bytes > this.#maxBytes)) {
      await this.#change();
    }
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** Gives back what {@link enter} took. */
  leave(bytes: number): void {
    this.#count -= 1;
    this.#bytes -= bytes;
    this.#changed?.();
  }

  /** Waits until nothing is under way. Not while an {@link enter} waits. */
  async empty(): Promise<void> {
    while (this.#count > 0) await this.#change();
  }

  async #change(): Promise<void> {
    await new Promise<void>((done) => {
      this.#changed = done;
    });
    this.#changed = undefined;
  }
}

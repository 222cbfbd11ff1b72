/** A stream that can be left unread. */
export interface Pausable {
  pause(): unknown;
  resume(): unknown;
}

/** Streams that are read again when the inbox has room: with the largest frames half of it, by default. */
const RESUMED_AT_ONCE = 16;

/**
 * Streams that are not read because the engine has no more room. Each that goes on brings a frame at least, so only a few do at
 * a time, the longest paused first.
 */
export class PausedStreams {
  readonly #paused = new Set<Pausable>();

  /**
   * @param inbox Calls back once, when it has room again.
   * @param beforeResume Called before some of them are read again.
   */
  constructor(
    private readonly inbox: { onDrained(run: () => void): void },
    private readonly beforeResume: () => void = () => undefined,
  ) {}

  has(stream: Pausable): boolean {
    return this.#paused.has(stream);
  }

  /** @returns True if it is the first. */
  pause(stream: Pausable): boolean {
    if (this.#paused.has(stream)) return false;
    stream.pause();
    this.#paused.add(stream);
    if (this.#paused.size > 1) return false;
    this.inbox.onDrained(() => this.#resumeSome());
    return true;
  }

  /** It has ended. */
  delete(stream: Pausable): void {
    this.#paused.delete(stream);
  }

  #resumeSome(): void {
    this.beforeResume();
    let resumed = 0;
    for (const stream of this.#paused) {
      this.#paused.delete(stream);
      stream.resume();
      resumed += 1;
      if (resumed >= RESUMED_AT_ONCE) break;
    }
    if (this.#paused.size > 0) this.inbox.onDrained(() => this.#resumeSome());
  }
}

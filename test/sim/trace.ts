import { createHash } from 'node:crypto';

/** Enough to see what led to a failure. */
const KEPT_LINES = 120;

/** What has happened, line by line: the newest for people, all of it as a hash that two runs of one seed must share. */
export class Trace {
  readonly #hash = createHash('sha256');
  readonly #newest: string[] = [];
  #next = 0;

  /**
   * @param nowMs Simulated milliseconds
   * @param print Gets every line, for instance to a terminal
   */
  constructor(
    private readonly nowMs: () => number,
    private readonly print?: (line: string) => void,
  ) {}

  add(who: string, what: string): void {
    const line = `${this.nowMs().toFixed(3)} ${who}: ${what}`;
    this.#hash.update(line).update('\n');
    this.#newest[this.#next % KEPT_LINES] = line;
    this.#next += 1;
    this.print?.(line);
  }

  /** The newest lines, oldest first. */
  newest(): string[] {
    const from = this.#next % KEPT_LINES;
    return this.#next < KEPT_LINES ? [...this.#newest] : [...this.#newest.slice(from), ...this.#newest.slice(0, from)];
  }

  /** Of all lines so far. */
  hash(): string {
    return this.#hash.copy().digest('hex');
  }
}

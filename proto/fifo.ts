/** First in, first out, in O(1) amortised: `Array.shift` costs the length of the array. */
export class Fifo<T> {
  #items: T[] = [];
  #head = 0;

  /** How many are in it. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /** Adds one at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** The first, left where it is; undefined if there is none. */
  peek(): T | undefined {
    return this.#items[this.#head];
  }

  /** Takes the first out; undefined if there is none. */
  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#head += 1;
    // Moving the rest costs its length; done only when at least as many have been taken.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    } else {
      // What was taken must not stay reachable.
      this.#items[this.#head - 1] = undefined as T;
    }
    return item;
  }

  /** All that are in it, in order; they stay. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let at = this.#head; at < this.#items.length; at += 1) yield this.#items[at] as T;
  }

  /** Takes out all that the predicate names, in order. O(size). */
  remove(predicate: (item: T) => boolean): T[] {
    const removed: T[] = [];
    const kept: T[] = [];
    for (const item of this.#items.slice(this.#head)) (predicate(item) ? removed : kept).push(item);
    this.#items = kept;
    this.#head = 0;
    return removed;
  }
}

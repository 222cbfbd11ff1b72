/** Where a simulation's every choice comes from: one seed, split into streams that do not disturb each other. */
export class Prng {
  #state: number;

  /** @param seed Any whole number; only its lower 32 bits count. */
  constructor(seed: number) {
    this.#state = seed | 0;
    // Neighbouring seeds would begin with similar draws.
    for (let n = 0; n < 4; n += 1) this.next();
  }

  /** Mulberry32 by Tommy Ettinger (public domain): evenly distributed, 0 inclusive to 1 exclusive. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A stream of its own: what is drawn from it changes nothing here. */
  fork(): Prng {
    return new Prng(Math.floor(this.next() * 2 ** 32));
  }

  /** True in this share of cases, 0 to 1. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  /** A whole number, both ends included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  /** A number from `min` up to `max`. */
  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** Exponentially distributed around the mean: the gaps between things that happen independently. */
  gap(meanMs: number): number {
    return -Math.log(1 - this.next()) * meanMs;
  }

  /** One of them, evenly. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('nothing to pick from');
    return items[Math.floor(this.next() * items.length)] as T;
  }

  /** Lower-case hexadecimal digits. */
  hex(digits: number): string {
    let text = '';
    while (text.length < digits) text += Math.floor(this.next() * 16).toString(16);
    return text;
  }

  /** Looks like a UUIDv7, without being ordered by time. */
  uuid(): string {
    return `${this.hex(8)}-${this.hex(4)}-7${this.hex(3)}-8${this.hex(3)}-${this.hex(12)}`;
  }
}

/** One of them, if there is any. */
export function oneOf<T>(random: Prng, items: readonly T[]): T | undefined {
  return items.length === 0 ? undefined : random.pick(items);
}

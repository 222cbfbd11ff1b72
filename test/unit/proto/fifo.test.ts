import { describe, expect, it } from 'vitest';
import { Fifo } from '../../../proto/fifo.js';

describe('Fifo', () => {
  it('should give back what was put in, in order, across any mix of pushes and shifts', () => {
    const fifo = new Fifo<number>();
    const expected: number[] = [];
    let next = 0;
    let state = 7;
    for (let round = 0; round < 2_000; round += 1) {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      if (Math.floor(state / 65_536) % 5 < 3) {
        fifo.push(next);
        expected.push(next);
        next += 1;
      } else {
        expect(fifo.peek()).toBe(expected[0]);
        expect(fifo.shift()).toBe(expected.shift());
      }
      expect(fifo.size).toBe(expected.length);
    }
  });

  it('should say that it is empty', () => {
    const fifo = new Fifo<string>();
    expect(fifo.shift()).toBeUndefined();
    expect(fifo.peek()).toBeUndefined();
    fifo.push('a');
    fifo.shift();
    expect(fifo.shift()).toBeUndefined();
    expect(fifo.size).toBe(0);
  });

  it('should take out what is named and keep the rest in order', () => {
    const fifo = new Fifo<number>();
    for (let n = 0; n < 10; n += 1) fifo.push(n);
    fifo.shift();
    expect(fifo.remove((n) => n % 2 === 0)).toEqual([2, 4, 6, 8]);
    const rest: (number | undefined)[] = [];
    while (fifo.size > 0) rest.push(fifo.shift());
    expect(rest).toEqual([1, 3, 5, 7, 9]);
  });
});

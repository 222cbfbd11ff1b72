import { describe, expect, it } from 'vitest';
import { Scaling } from '../../../coordinator/pool/scaling.js';

function setup(size = 0, bounds = { minWorkers: 1, maxWorkers: 10 }) {
  const scaling = new Scaling(size, bounds);
  const done: number[] = [];
  return { scaling, done, onDone: (count: number) => void done.push(count) };
}

describe('scaling', () => {
  it('should come about when every new worker takes tasks', () => {
    const { scaling, done, onDone } = setup(2);
    scaling.begin('up', [2, 3], onDone);
    expect(scaling.target).toBe(4);
    scaling.came(3);
    expect(done).toEqual([]);
    scaling.came(2);
    expect(done).toEqual([2]);
  });

  it('should count only the workers that came', () => {
    const { scaling, done, onDone } = setup(2);
    scaling.begin('up', [2, 3], onDone);
    scaling.gaveUp(2);
    scaling.came(3);
    expect(done).toEqual([1]);
    expect(scaling.target).toBe(3);
  });

  it('should come about when every worker that was asked to leave has gone', () => {
    const { scaling, done, onDone } = setup(5);
    scaling.begin('down', [4, 3], onDone);
    expect(scaling.target).toBe(3);
    scaling.went(4);
    scaling.went(0);
    expect(done).toEqual([]);
    scaling.went(3);
    expect(done).toEqual([2]);
  });

  it('should count a worker that was taken out before it had come as neither come nor gone', () => {
    const { scaling, done, onDone } = setup(2);
    scaling.begin('up', [2], onDone);
    scaling.begin('down', [2], onDone);
    scaling.went(2);
    expect(done).toEqual([0, 0]);
    expect(scaling.target).toBe(2);
  });

  it('should come about at once when nothing changes', () => {
    const { scaling, done, onDone } = setup(2);
    scaling.begin('up', [], onDone);
    expect(done).toEqual([0]);
  });

  it('should heed the bounds, and workers that have not left yet', () => {
    const { scaling } = setup(8, { minWorkers: 5, maxWorkers: 10 });
    expect(scaling.roomAbove(10, 8)).toBe(2);
    expect(scaling.roomAbove(10, 9)).toBe(1);
    expect(scaling.roomAbove(1, 8)).toBe(1);
    expect(scaling.roomBelow(10)).toBe(3);
    expect(scaling.roomBelow(1)).toBe(1);
  });

  it('should end what has not come about when the pool ends', () => {
    const { scaling, done, onDone } = setup(2);
    scaling.begin('up', [2, 3], onDone);
    scaling.came(2);
    scaling.stop();
    expect(done).toEqual([1]);
    expect(scaling.target).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import { LoopWatch } from '../../../worker/loop-watch.js';

function setup() {
  const pings: number[] = [];
  const changes: string[] = [];
  const clock = { nowMs: 0 };
  const watch = new LoopWatch({
    ping: (number) => pings.push(number),
    onChange: (what) => changes.push(what),
    nowMs: () => clock.nowMs,
  });
  return { watch, pings, changes, clock };
}

describe('LoopWatch', () => {
  it('should tell the longest delay since it was last asked', () => {
    const { watch, clock, changes } = setup();
    for (const delayMs of [3, 40, 2]) {
      watch.ask();
      clock.nowMs += delayMs;
      watch.pong(changes.filter((what) => what === 'asked').length);
    }
    expect(watch.takeLagMs()).toBe(40);
    expect(watch.takeLagMs()).toBe(0);
    expect(changes).toEqual(['asked', 'answered', 'asked', 'answered', 'asked', 'answered']);
  });

  it('should grow while the loop is blocked, with one question under way', () => {
    const { watch, clock, pings } = setup();
    watch.ask();
    clock.nowMs = 1_000;
    watch.ask();
    expect(watch.takeLagMs()).toBe(1_000);
    clock.nowMs = 2_500;
    expect(watch.takeLagMs()).toBe(2_500);
    watch.pong(1);
    expect(watch.takeLagMs()).toBe(2_500);
    expect(pings).toEqual([1]);
  });
});

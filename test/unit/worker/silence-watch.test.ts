import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SilenceWatch } from '../../../worker/silence-watch.js';

describe('the silence watch', () => {
  const silent: number[] = [];
  /** How long the process did not run: its timers were late by as much. */
  let stoodStillMs = 0;
  let watch: SilenceWatch;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setImmediate', 'Date'] });
    silent.length = 0;
    stoodStillMs = 0;
    watch = new SilenceWatch({
      pulseMs: 1_000,
      silenceMs: 3_000,
      onSilence: (index) => silent.push(index),
      nowMs: () => Date.now() + stoodStillMs,
    });
  });

  afterEach(() => {
    watch.stop();
    vi.useRealTimers();
  });

  const pass = (seconds: number, ...heard: number[]): void => {
    for (let second = 0; second < seconds; second += 1) {
      vi.advanceTimersByTime(1_000);
      for (const index of heard) watch.heard(index);
    }
  };

  it('should tell of one that has given signs of life and gives none any more, once', () => {
    watch.heard(0);
    watch.heard(1);
    pass(10, 0);
    expect(silent).toEqual([1]);
    // Started again, in the same place.
    watch.heard(1);
    pass(10, 0);
    expect(silent).toEqual([1, 1]);
  });

  it('should not tell of one that has not begun to, or has ended', () => {
    watch.heard(0);
    watch.forget(0);
    pass(10);
    expect(silent).toEqual([]);
  });

  it('should give everybody time anew after its own process has stood still', () => {
    watch.heard(0);
    pass(1, 0);
    stoodStillMs = 60_000;
    pass(2);
    expect(silent).toEqual([]);
    pass(3);
    expect(silent).toEqual([0]);
  });
});

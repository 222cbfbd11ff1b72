import { describe, expect, it } from 'vitest';
import { trendOf, type MemorySample } from '../../bench/pool/memory-track.js';
import { queueTimes } from '../../bench/pool/queue-times.js';

describe('the times of a burst', () => {
  it('should part the wait for a slot from the handing-over, and leave out whoever waited for none', () => {
    const runs = [
      // As results arrive: in no order.
      { slot: 7, enteredMs: 135, endedMs: 155 },
      { slot: 7, enteredMs: 102, endedMs: 130 },
      { slot: 9, enteredMs: 103, endedMs: 120 },
      { slot: 9, enteredMs: 121, endedMs: 140 },
      { slot: 7, enteredMs: 156, endedMs: 170 },
    ];
    expect(queueTimes(100, runs)).toEqual({ waitMs: [20, 30, 55], handoverMs: [1, 5, 1] });
  });
});

describe('the trend of memory', () => {
  it('should take medians of the first and the last quarter, and the slope without the first', () => {
    const track = [10, 50, 60, 62, 64, 66, 68, 70].map((hostMib, index): MemorySample => {
      return { tasks: index * 50_000, hostMib, workerMib: 0, workerMaxMib: 0 };
    });
    const trend = trendOf(track, ({ hostMib }) => hostMib);
    expect(trend).toEqual({ firstMib: 50, lastMib: 70, mibPer100kTasks: expect.closeTo(4) });
  });
});

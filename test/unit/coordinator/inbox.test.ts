import { describe, expect, it } from 'vitest';
import type { Input } from '../../../coordinator/core/inputs.js';
import { Inbox } from '../../../coordinator/inbox.js';

const LIMITS = { maxInputs: 8, maxBytes: 800, batchInputs: 2, batchBytes: 200 };

function ended(sessionId: number): Input {
  return { kind: 'sessionEnded', sessionId };
}

describe('the inbox', () => {
  it('gives batches in order of arrival, bounded in inputs and bytes; one larger input goes alone', () => {
    const inbox = new Inbox(LIMITS);
    for (const [index, bytes] of [1, 1, 1, 500, 1].entries()) inbox.push(ended(index), bytes, index);
    expect([inbox.take(), inbox.take(), inbox.take(), inbox.take()]).toEqual([
      [ended(0), ended(1)],
      [ended(2)],
      [ended(3)],
      [ended(4)],
    ]);
  });

  it('keeps a quarter of its room for workers', () => {
    const inbox = new Inbox(LIMITS);
    for (let index = 0; index < 6; index += 1) inbox.push(ended(index), 0, index);
    expect([inbox.hasRoom(0, 'client'), inbox.hasRoom(0, 'worker')]).toEqual([false, true]);
  });

  it('tells those who wait for room when half of it is free, not before', () => {
    const inbox = new Inbox(LIMITS);
    for (let index = 0; index < 8; index += 1) inbox.push(ended(index), 0, index);
    const told: number[] = [];
    inbox.onDrained(() => told.push(inbox.size));
    inbox.take();
    expect(told).toEqual([]);
    inbox.take();
    expect(told).toEqual([4]);
    inbox.take();
    expect(told).toEqual([4]);
  });

  it('puts what changes the judgement of time where it belongs, and takes what came later for as old', () => {
    const inbox = new Inbox({ ...LIMITS, batchInputs: 2 });
    expect(inbox.oldestMs()).toBe(Infinity);
    inbox.push(ended(1), 0, 1_000);
    inbox.push(ended(2), 0, 5_000);
    inbox.push(ended(3), 0, 6_000);
    inbox.insert({ kind: 'stalled', gapMs: 5 }, 2_000);
    expect(inbox.oldestMs()).toBe(1_000);
    expect(inbox.take()).toEqual([ended(1), { kind: 'stalled', gapMs: 5 }]);
    expect(inbox.oldestMs()).toBe(2_000);
    expect(inbox.take()).toEqual([ended(2), ended(3)]);
  });
});

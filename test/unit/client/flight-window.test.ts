import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { FlightWindow } from '../../../client/cli/flight-window.js';

/** Whether a promise is fulfilled once everything that could fulfil it has run. */
async function isFulfilled(promise: Promise<void>): Promise<boolean> {
  let fulfilled = false;
  void promise.then(() => (fulfilled = true));
  await turn();
  return fulfilled;
}

describe('FlightWindow', () => {
  it('should let in as many as fit, and the next when one leaves', async () => {
    const window = new FlightWindow(2, 100);
    await window.enter(1);
    await window.enter(1);
    const third = window.enter(1);
    expect(await isFulfilled(third)).toBe(false);
    window.leave(1);
    expect(await isFulfilled(third)).toBe(true);
  });

  it('should bound the bytes of all together, and let a larger one go alone', async () => {
    const window = new FlightWindow(10, 100);
    await window.enter(60);
    const second = window.enter(60);
    expect(await isFulfilled(second)).toBe(false);
    window.leave(60);
    expect(await isFulfilled(second)).toBe(true);
    const huge = window.enter(1_000);
    expect(await isFulfilled(huge)).toBe(false);
    window.leave(60);
    expect(await isFulfilled(huge)).toBe(true);
  });

  it('should say when nothing is under way', async () => {
    const window = new FlightWindow(2, 100);
    expect(await isFulfilled(window.empty())).toBe(true);
    await window.enter(1);
    await window.enter(1);
    const empty = window.empty();
    window.leave(1);
    expect(await isFulfilled(empty)).toBe(false);
    window.leave(1);
    expect(await isFulfilled(empty)).toBe(true);
  });
});

import { describe, expect, it } from 'vitest';
import { isFleetError } from '../../../proto/fleet-error.js';
import { FRAME_LINK_LIMITS, FrameLink } from '../../../proto/frame-link.js';

const KIB = 1_024;

function setup(limits: ConstructorParameters<typeof FrameLink>[0] = {}) {
  return new FrameLink<string>(limits);
}

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isFleetError(error)) return `${error.reason}: ${error.message}`;
    throw error;
  }
  return 'nothing was thrown';
}

describe('FrameLink, outgoing', () => {
  it('should have nothing to say at first', () => {
    const link = setup();
    expect(link.nextFrame(0)).toBeUndefined();
    expect(link.idle).toBe(true);
    expect(link.ackDueMs).toBeUndefined();
    expect(link.oldestUnackedSentMs).toBeUndefined();
  });

  it('should number frames from 1', () => {
    const link = setup();
    link.enqueue('a', 1, 'data');
    expect(link.nextFrame(5)).toEqual({ seq: 1n, ack: 0n, elements: ['a'] });
    link.enqueue('b', 1, 'data');
    expect(link.nextFrame(6)).toEqual({ seq: 2n, ack: 0n, elements: ['b'] });
  });

  it('should put all that waits into one frame, control before data, each in order', () => {
    const link = setup();
    link.enqueue('d1', 1, 'data');
    link.enqueue('c1', 1, 'control');
    link.enqueue('d2', 1, 'data');
    link.enqueue('c2', 1, 'control');
    expect(link.nextFrame(0)?.elements).toEqual(['c1', 'c2', 'd1', 'd2']);
    expect(link.nextFrame(0)).toBeUndefined();
  });

  it('should fill a frame to exactly its bound and no further', () => {
    const link = setup();
    link.enqueue('a', 128 * KIB, 'data');
    link.enqueue('b', 128 * KIB, 'data');
    link.enqueue('c', 1, 'data');
    expect(link.nextFrame(0)?.elements).toEqual(['a', 'b']);
    expect(link.nextFrame(0)?.elements).toEqual(['c']);
  });

  it('should send an element above the bound alone', () => {
    const link = setup();
    link.enqueue('small', 10, 'data');
    link.enqueue('large', 300 * KIB, 'data');
    link.enqueue('after', 10, 'data');
    const frames = [link.nextFrame(0), link.nextFrame(0), link.nextFrame(0)];
    expect(frames.map((frame) => frame?.elements)).toEqual([['small'], ['large'], ['after']]);
  });

  it('should not let data overtake control that no longer fits', () => {
    const link = setup();
    link.enqueue('c1', 200 * KIB, 'control');
    link.enqueue('c2', 100 * KIB, 'control');
    link.enqueue('d', 1, 'data');
    expect(link.nextFrame(0)?.elements).toEqual(['c1']);
    expect(link.nextFrame(0)?.elements).toEqual(['c2', 'd']);
  });

  it('should count what waits in elements and bytes', () => {
    const link = setup();
    link.enqueue('a', 10, 'data');
    link.enqueue('b', 20, 'control');
    expect([link.queuedCount, link.queuedBytes]).toEqual([2, 30]);
    link.nextFrame(0);
    expect([link.queuedCount, link.queuedBytes]).toEqual([0, 0]);
  });

  it('should say when too many elements wait, and still keep them', () => {
    const link = setup({ maxQueued: 2 });
    expect(link.enqueue('a', 1, 'data')).toBe(true);
    expect(link.enqueue('b', 1, 'control')).toBe(true);
    expect(link.enqueue('c', 1, 'data')).toBe(false);
    expect(link.overBound).toBe(true);
    expect(link.nextFrame(0)?.elements).toEqual(['b', 'a', 'c']);
    expect(link.overBound).toBe(false);
  });

  it('should say when too many bytes wait, but let one large element wait alone', () => {
    const link = setup({ maxQueuedBytes: 100 });
    expect(link.enqueue('large', 1_000, 'data')).toBe(true);
    expect(link.enqueue('one more', 1, 'data')).toBe(false);
  });

  it('should take back only what is in no frame yet', () => {
    const link = setup();
    link.enqueue('framed', 1, 'data');
    link.nextFrame(0);
    link.enqueue('x1', 10, 'data');
    link.enqueue('y', 20, 'data');
    link.enqueue('x2', 30, 'control');
    expect(link.takeBack((element) => element.startsWith('x') || element === 'framed')).toEqual(['x2', 'x1']);
    expect([link.queuedCount, link.queuedBytes]).toEqual([1, 20]);
    expect(link.nextFrame(1)?.elements).toEqual(['y']);
  });
});

describe('FrameLink, acknowledgements of the peer', () => {
  it('should give the acknowledged elements and the send time of the newest acknowledged frame', () => {
    const link = setup();
    for (const [nowMs, element] of [
      [10, 'a'],
      [20, 'b'],
      [30, 'c'],
    ] as const) {
      link.enqueue(element, 1, 'data');
      link.nextFrame(nowMs);
    }
    expect(link.oldestUnackedSentMs).toBe(10);
    expect(link.receive(0n, 2n, 40)).toEqual({ fresh: false, acked: ['a', 'b'], ackedSentMs: 20 });
    expect(link.oldestUnackedSentMs).toBe(30);
    expect(link.receive(0n, 2n, 41)).toEqual({ fresh: false, acked: [], ackedSentMs: undefined });
    expect(link.idle).toBe(false);
    expect(link.receive(1n, 3n, 42)).toEqual({ fresh: true, acked: ['c'], ackedSentMs: 30 });
    expect(link.oldestUnackedSentMs).toBeUndefined();
    expect(link.idle).toBe(true);
  });

  it('should hold back what comes on top of the bound in flight, and go on after an acknowledgement', () => {
    const link = setup({ maxInFlight: 2 });
    for (const element of ['a', 'b', 'c']) {
      link.enqueue(element, 300 * KIB, 'data');
    }
    expect(link.nextFrame(0)?.elements).toEqual(['a']);
    expect(link.nextFrame(0)?.elements).toEqual(['b']);
    expect(link.inFlightCount).toBe(2);
    expect(link.nextFrame(0)).toBeUndefined();
    link.receive(0n, 1n, 1);
    expect(link.nextFrame(1)?.elements).toEqual(['c']);
  });

  it('should still acknowledge at the bound in flight', () => {
    const link = setup({ maxInFlight: 1 });
    link.enqueue('a', 1, 'data');
    link.nextFrame(0);
    link.enqueue('b', 1, 'data');
    link.receive(1n, 0n, 0);
    expect(link.nextFrame(100)).toEqual({ seq: 0n, ack: 1n, elements: [] });
    expect(link.queuedCount).toBe(1);
  });

  it('should remember no more than the bounds whatever the peer does', () => {
    const link = setup();
    let frames = 0;
    for (let n = 0; n < 20_000; n += 1) {
      link.enqueue('x', 100, 'data');
      if (link.nextFrame(n) !== undefined) frames += 1;
    }
    expect(link.inFlightCount).toBe(FRAME_LINK_LIMITS.maxInFlight);
    expect(frames).toBe(FRAME_LINK_LIMITS.maxInFlight);
    expect(link.overBound).toBe(true);
  });
});

describe('FrameLink, acknowledgements of ours', () => {
  it('should let a frame that says something carry the acknowledgement', () => {
    const link = setup();
    link.receive(1n, 0n, 50);
    expect(link.ackDueMs).toBe(150);
    link.enqueue('a', 1, 'data');
    expect(link.nextFrame(60)).toEqual({ seq: 1n, ack: 1n, elements: ['a'] });
    expect(link.ackDueMs).toBeUndefined();
    expect(link.nextFrame(1_000)).toBeUndefined();
  });

  it('should acknowledge alone once the first arrival has waited long enough, and once only', () => {
    const link = setup();
    link.receive(1n, 0n, 50);
    link.receive(2n, 0n, 140);
    expect(link.nextFrame(149)).toBeUndefined();
    expect(link.nextFrame(150)).toEqual({ seq: 0n, ack: 2n, elements: [] });
    expect(link.nextFrame(10_000)).toBeUndefined();
  });

  it('should stay within the 200 ms of the contract with a host that looks every 100 ms', () => {
    expect(FRAME_LINK_LIMITS.ackDelayMs + 100).toBeLessThanOrEqual(200);
  });

  it('should never acknowledge a bare acknowledgement', () => {
    const link = setup();
    expect(link.receive(0n, 0n, 50).fresh).toBe(false);
    expect(link.ackDueMs).toBeUndefined();
    expect(link.nextFrame(10_000)).toBeUndefined();
  });

  it('should number nothing for a bare acknowledgement', () => {
    const link = setup();
    link.receive(1n, 0n, 0);
    expect(link.nextFrame(100)?.seq).toBe(0n);
    link.enqueue('a', 1, 'data');
    expect(link.nextFrame(101)?.seq).toBe(1n);
  });

  it('should not let a one-sided flow wait', () => {
    const link = setup({ ackAfterFrames: 3 });
    link.receive(1n, 0n, 0);
    link.receive(2n, 0n, 1);
    expect(link.nextFrame(1)).toBeUndefined();
    link.receive(3n, 0n, 2);
    expect(link.nextFrame(2)).toEqual({ seq: 0n, ack: 3n, elements: [] });
    link.receive(4n, 0n, 3);
    expect(link.ackDueMs).toBe(103);
  });
});

describe('FrameLink, what a peer may not say', () => {
  it.each([
    ['a gap', 2n],
    ['a negative number', -1n],
    ['a number beyond 2^53', 2n ** 62n + 1n],
  ])('should refuse %s in seq', (_, seq) => {
    const link = setup();
    expect(reasonOf(() => link.receive(seq, 0n, 0))).toMatch(/^INVALID_FRAME: seq: is .*, but 1 is next/);
  });

  it('should refuse a repeat', () => {
    const link = setup();
    link.receive(1n, 0n, 0);
    expect(reasonOf(() => link.receive(1n, 0n, 0))).toMatch(/^INVALID_FRAME: seq: is 1, but 2 is next/);
  });

  it.each([1n, -1n, 2n ** 63n - 1n])('should refuse an acknowledgement of what was never sent (%s)', (ack) => {
    expect(reasonOf(() => setup().receive(1n, ack, 0))).toMatch(/^INVALID_FRAME: ack: is /);
  });

  it('should refuse an acknowledgement that goes back', () => {
    const link = setup();
    link.enqueue('a', 1, 'data');
    link.nextFrame(0);
    link.receive(1n, 1n, 0);
    expect(reasonOf(() => link.receive(2n, 0n, 0))).toMatch(/^INVALID_FRAME: ack: is 0 after 1/);
  });

  it('should be as before after a refusal', () => {
    const link = setup();
    link.enqueue('a', 1, 'data');
    link.nextFrame(0);
    expect(reasonOf(() => link.receive(1n, 9n, 0))).toMatch(/^INVALID_FRAME/);
    expect(link.ackDueMs).toBeUndefined();
    expect(link.receive(1n, 1n, 0)).toEqual({ fresh: true, acked: ['a'], ackedSentMs: 0 });
  });
});

describe('FrameLink, both ends', () => {
  it('should bring every element across in order whatever the timing, and end up idle', () => {
    let state = 42;
    const random = (below: number): number => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor(state / 65_536) % below;
    };
    const ends = [setup({ maxInFlight: 8 }), setup({ maxInFlight: 8 })] as const;
    const wires = [[], []] as { seq: bigint; ack: bigint; elements: readonly string[] }[][];
    const got = [[], []] as string[][];
    const said = [0, 0];
    for (let nowMs = 0; nowMs < 5_000; nowMs += 1) {
      const from = random(2);
      const to = 1 - from;
      if (random(3) === 0 && nowMs < 4_000) {
        ends[from]?.enqueue(String(said[from]), random(300) * KIB, 'data');
        said[from] = (said[from] ?? 0) + 1;
      }
      const frame = ends[from]?.nextFrame(nowMs);
      if (frame !== undefined) wires[to]?.push(frame);
      const arrived = random(2) === 0 ? wires[from]?.shift() : undefined;
      if (arrived === undefined) continue;
      ends[from]?.receive(arrived.seq, arrived.ack, nowMs);
      got[from]?.push(...arrived.elements);
    }
    for (const side of [0, 1] as const) {
      expect(got[side]).toEqual(Array.from({ length: said[1 - side] ?? 0 }, (_, n) => String(n)));
      expect(ends[side].idle).toBe(true);
    }
  });
});

import { describe, expect, it } from 'vitest';
import { ref, Rig, THREW } from './machine-support.js';

describe("a handler of an attempt that is not its worker's any more", () => {
  /** After a lost lease the coordinator has given `old` up, and its handler does not settle. */
  function deaf(options: ConstructorParameters<typeof Rig>[0], type = 'work'): Rig {
    const rig = new Rig({ onStuck: 'report', ...options });
    rig.connect();
    rig.assign(['old', { type }]);
    rig.started('old');
    rig.cut();
    rig.advance(16_000);
    rig.connect({ cancel: [ref('old')] });
    return rig;
  }

  it.each([0, 1])('should have new ones given back while it has the only slot, with prefetch %d', (prefetch) => {
    const rig = deaf({ slots: 1, prefetch });
    rig.assign(['next']);
    expect(rig.notStarted).toEqual(['next']);
    expect(rig.effects.at(-1)).toMatchObject({ event: { name: 'refused-assignment', taskId: 'next' } });
    rig.settle('old', THREW);
    rig.assign(['later']);
    expect(rig.run).toEqual(['old', 'later']);
    expect(rig.notStarted).toEqual(['next']);
    expect(rig.reports).toEqual([]);
  });

  it('should take the place of one', () => {
    const rig = deaf({ slots: 2, prefetch: 1 });
    rig.assign(['a'], ['b'], ['c']);
    expect(rig.run).toEqual(['old', 'a']);
    expect(rig.notStarted).toEqual(['c']);
    rig.settle('a');
    expect(rig.run).toEqual(['old', 'a', 'b']);
  });

  it('should have those of its type given back while it has all slots of the type', () => {
    const rig = deaf({ slots: 2, prefetch: 1 }, 'rare');
    rig.assign(['a', { type: 'rare' }], ['b']);
    expect(rig.notStarted).toEqual(['a']);
    expect(rig.run).toEqual(['old', 'b']);
  });
});

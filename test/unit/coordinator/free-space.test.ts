import { describe, expect, it } from 'vitest';
import { FreeSpace, type DiskRoom } from '../../../coordinator/free-space.js';

const MIB = 1_048_576;

function setup(minFreeBytes: number) {
  const told: (DiskRoom | null)[] = [];
  const space = new FreeSpace(minFreeBytes, (room) => told.push(room));
  const see = (freeMib: number, slots = 0, reusableMib = 0): number => {
    space.see({ folder: '/var', freeBytes: freeMib * MIB, reusableBytes: reusableMib * MIB }, slots);
    return space.roomBytes;
  };
  return { told, space, see };
}

describe('free space', () => {
  it('gives new tasks what is free above the minimum, and a mebibyte less for each slot', () => {
    const { space, see, told } = setup(256 * MIB);
    expect(see(300)).toBe(44 * MIB);
    expect(see(300, 40)).toBe(4 * MIB);
    expect(space.room).toEqual({ folder: '/var', freeBytes: 300 * MIB, reusableBytes: 0, minFreeBytes: 296 * MIB });
    expect(told).toEqual([]);
  });

  it('gives nothing below the minimum, whether the disk has filled or slots have come, and tells once', () => {
    const { see, told } = setup(256 * MIB);
    see(300, 40);
    expect(see(299, 44)).toBe(0);
    expect(see(100, 44)).toBe(0);
    expect(told).toEqual([{ folder: '/var', freeBytes: 299 * MIB, reusableBytes: 0, minFreeBytes: 300 * MIB }]);
  });

  it('gives room again only when a sixteenth more is free, and then at once', () => {
    const { see, told } = setup(256 * MIB);
    see(255);
    expect([see(257), see(271)]).toEqual([0, 0]);
    expect(see(272)).toBe(16 * MIB);
    expect(see(256)).toBe(0);
    expect(told).toEqual([expect.objectContaining({ freeBytes: 255 * MIB }), null]);
  });

  it('counts what is free within the store, down to a quarter of the minimum on the disk for its log', () => {
    const { see, told } = setup(256 * MIB);
    expect([see(200, 0, 100), see(64, 0, 300)]).toEqual([44 * MIB, 108 * MIB]);
    expect(see(63, 0, 300)).toBe(0);
    expect(see(67, 0, 300)).toBe(0);
    expect(see(68, 0, 300)).toBe(112 * MIB);
    expect(told).toHaveLength(2);
  });

  it('leaves the disk to itself with a minimum of 0', () => {
    const { see, told } = setup(0);
    expect([see(0, 1_000), see(1)]).toEqual([Infinity, Infinity]);
    expect(told).toEqual([]);
  });

  it('has nothing to say of a store on no disk, or on one that does not tell any more', () => {
    const { space, see, told } = setup(256 * MIB);
    space.see(null, 5);
    expect([space.room, space.roomBytes]).toEqual([null, Infinity]);
    see(1);
    space.see(null, 5);
    expect([space.roomBytes, told.length]).toEqual([Infinity, 2]);
  });
});

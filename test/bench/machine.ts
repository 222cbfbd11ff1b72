import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { sampleOf } from './in-flight.js';

/** Where the figures come from. */
export interface MachineFacts {
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  readonly memoryGib: number;
  readonly os: string;
  readonly node: string;
  /** Until 4 KiB at the end of a file are on the disk that the stores lie on: half and 99 of 100 took at most so long. */
  readonly fsyncP50Ms: number;
  readonly fsyncP99Ms: number;
  /** Processes that wanted to run in the minute before, on average: above 0.5 others work here, too. */
  readonly loadBefore: number;
}

const SYNCS = 200;
const BLOCK = Buffer.alloc(4_096, 'x');

/** @param folder Where stores will lie */
export function machineFacts(folder: string): MachineFacts {
  const { p50Ms, p99Ms } = measureSync(join(folder, 'fsync'));
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    os: `${type()} ${release()} ${process.arch}`,
    node: process.version,
    fsyncP50Ms: p50Ms ?? NaN,
    fsyncP99Ms: p99Ms ?? NaN,
    loadBefore: loadavg()[0] ?? NaN,
  };
}

function measureSync(path: string) {
  const file = openSync(path, 'w');
  try {
    const tookMs = Array.from({ length: SYNCS }, () => {
      const startMs = performance.now();
      writeSync(file, BLOCK);
      fdatasyncSync(file);
      return performance.now() - startMs;
    });
    return sampleOf(tookMs, 1);
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

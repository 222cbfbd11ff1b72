import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect } from 'vitest';
import { createHandlers, type Context } from './examples.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Fresh handlers over a fresh root directory with an `outside` beside it; both are gone after the test. */
export async function setup() {
  const base = realpathSync(mkdtempSync(join(tmpdir(), 'remuda-examples-')));
  cleanups.push(() => rmSync(base, { recursive: true, force: true }));
  const root = join(base, 'root');
  const outside = join(base, 'outside');
  mkdirSync(root);
  mkdirSync(outside);

  let nowMs = 0;
  let tickMs = 0;
  const clock = () => (nowMs += tickMs);
  const handlers = createHandlers({ env: { REMUDA_EXAMPLES_ROOT: root }, nowMs: clock });
  await handlers.setup();
  // Runs before the directories go: whatever a test does, no handler may leave a file open.
  cleanups.push(async () => {
    await handlers.teardown();
    expect(openFilesBelow(base)).toEqual([]);
  });

  return {
    base,
    root,
    outside,
    handlers,
    gzip: handlers['file.gzip'].run,
    /** Makes the handlers' clock advance by this much at each look. */
    tickPerLook(ms: number) {
      tickMs = ms;
    },
    write(path: string, content: string | Uint8Array) {
      const absolute = join(root, path);
      mkdirSync(dirname(absolute), { recursive: true });
      writeFileSync(absolute, content);
      return absolute;
    },
  };
}

/** A task's context that records what the handler says. `onProgress` runs inside each report. */
export function createContext(
  options: { attempt?: number; onProgress?: (report: Progress) => void } = {},
): TestContext {
  const controller = new AbortController();
  const reports: Progress[] = [];
  const warnings: string[] = [];
  const ctx: Context = {
    taskId: '0198c5d2-7c1e-7abc-8def-0123456789ab',
    attempt: options.attempt ?? 1,
    metadata: {},
    signal: controller.signal,
    draining: false,
    progress(value: unknown) {
      const report = value as Progress;
      reports.push(report);
      options.onProgress?.(report);
    },
    logger: {
      info: () => undefined,
      warn: (_fields: object, message: string) => void warnings.push(message),
      error: () => undefined,
    },
  };
  return { ctx, controller, reports, warnings };
}

export interface TestContext {
  readonly ctx: Context;
  readonly controller: AbortController;
  readonly reports: readonly Progress[];
  readonly warnings: readonly string[];
}

export interface Progress {
  bytes: number;
  total: number;
}

/** What a handler throws, for `toMatchObject`: the reason, and that another attempt cannot help. */
export const refusal = (reason: string, message: RegExp) => ({
  reason,
  retryable: false,
  message: expect.stringMatching(message) as string,
});

/** The rejection of a promise, so that a test can look at all its parts. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const nothing = Symbol('nothing thrown');
  const error = await promise.then(
    () => nothing,
    (reason: unknown) => reason,
  );
  expect(error).not.toBe(nothing);
  return error;
}

/** The paths below a directory that this process has open; empty where the system does not tell. */
export function openFilesBelow(directory: string): string[] {
  let names: string[];
  try {
    names = readdirSync('/proc/self/fd');
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${name}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}

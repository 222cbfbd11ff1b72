import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Each scenario boots a machine; fifty workers that start at once take their time on two cores. */
const TEST_TIMEOUT_MS = 120_000;

export default defineConfig({
  root,
  test: {
    include: ['test/systemd/**/*.test.ts'],
    pool: 'forks',
    // One machine at a time: watchdogs of seconds need their processes to get a processor.
    maxWorkers: 1,
    testTimeout: TEST_TIMEOUT_MS,
    setupFiles: ['test/support/leaks.ts'],
    reporters: process.env['CI'] === undefined ? ['default'] : ['dot'],
  },
});

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Also on a slow, busy machine far above what a test takes; a test that waits for something has its own, shorter limit. */
const TEST_TIMEOUT_MS = 60_000;
const HOOK_TIMEOUT_MS = 30_000;

export default defineConfig({
  root,
  test: {
    include: ['test/**/*.test.ts'],
    // test/systemd boots a machine for each test: npm run test:systemd.
    exclude: ['**/node_modules/**', 'dist/**', 'test/systemd/**'],
    // Processes of their own: what a file leaves open is seen, and its signals and exits hurt nobody else.
    pool: 'forks',
    // Tests start programs of their own, and wait for them: three keep two cores busy, and more make all of them slow.
    maxWorkers: 3,
    testTimeout: TEST_TIMEOUT_MS,
    hookTimeout: HOOK_TIMEOUT_MS,
    setupFiles: ['test/support/leaks.ts'],
    // Only what failed is worth lines of its own.
    reporters: process.env['CI'] === undefined ? ['default'] : ['dot'],
  },
});

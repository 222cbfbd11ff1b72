import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

function runLeaky(file: string) {
  const vitest = fileURLToPath(new URL('../../../node_modules/vitest/vitest.mjs', import.meta.url));
  const args = [vitest, 'run', '--config', 'test/unit/leaks/vitest.config.ts', file];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    encoding: 'utf8',
    // Not what the outer vitest tells its own processes.
    env: { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' },
  });
  return { status, output: stdout + stderr };
}

it('should fail a file that leaves a server, connections, a child, a timer and a thread, and name them', () => {
  const { status, output } = runLeaky('leaves-all-open');
  expect(status).toBe(1);
  const [, list = ''] = /this file leaves open: ([^.]+)\./.exec(output) ?? [];
  expect(list.split(', ').sort()).toEqual([
    '1 ProcessWrap',
    '1 TCPServerWrap',
    '1 Timeout',
    '1 WorkerThread',
    '2 TCPSocketWrap',
  ]);
});

it('should pass a file that closes what it opens', () => {
  const { status, output } = runLeaky('leaves-nothing-open');
  expect(output).not.toContain('leaves open');
  expect(status).toBe(0);
});

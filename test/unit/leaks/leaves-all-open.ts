/** Run by leaks.test.ts alone: each test leaves one kind of thing open. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import { it } from 'vitest';

it('should leave a server and a connection', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  await once(connect((server.address() as AddressInfo).port, '127.0.0.1'), 'connect');
});

it('should leave a child process', async () => {
  // It ends by itself, long after the look.
  await once(spawn(process.execPath, ['-e', 'setTimeout(() => {}, 20_000)'], { stdio: 'ignore' }), 'spawn');
});

it('should leave a timer', () => {
  setTimeout(() => undefined, 60_000);
});

it('should leave a worker thread', async () => {
  await once(new Worker('setTimeout(() => {}, 60_000)', { eval: true }), 'online');
});

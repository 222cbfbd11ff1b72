/** Run by leaks.test.ts alone: opens one of each kind, and closes it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';

it('should close all that it opens', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
  server.close();
  clearTimeout(setTimeout(() => undefined, 60_000));
  expect(await once(spawn(process.execPath, ['-e', '']), 'exit')).toEqual([0, null]);
  await once(new Worker('', { eval: true }), 'exit');
});

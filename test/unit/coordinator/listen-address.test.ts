import { createServer } from 'node:net';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  clearStaleSocket,
  formatAddress,
  isLocal,
  parseListenAddress,
  type ListenAddress,
} from '../../../coordinator/listen-address.js';

function parsed(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if (typeof address === 'string') throw new Error(`${text}: ${address}`);
  return address;
}

describe('parseListenAddress', () => {
  it.each([
    ['127.0.0.1:7070', { kind: 'tcp', host: '127.0.0.1', port: 7_070 }],
    ['localhost:0', { kind: 'tcp', host: 'localhost', port: 0 }],
    ['[::1]:65535', { kind: 'tcp', host: '::1', port: 65_535 }],
    ['fleet.example:1', { kind: 'tcp', host: 'fleet.example', port: 1 }],
    ['unix:/run/remuda.sock', { kind: 'unix', path: '/run/remuda.sock' }],
    ['unix:remuda.sock', { kind: 'unix', path: resolve('remuda.sock') }],
  ])('reads %s', (text, expected) => {
    expect(parseListenAddress(text)).toEqual(expected);
  });

  it.each(['[::]:7070', '127.0.0.1:7070', 'localhost:0', 'unix:/run/remuda.sock'])('writes %s as it was', (text) => {
    expect(formatAddress(parsed(text))).toBe(text);
  });

  it.each([
    '',
    '7070',
    ':7070',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '127.0.0.1:70 70',
    '::1:7070',
    '[::1]',
    '[127.0.0.1]:7070',
    '[localhost]:7070',
    'http://localhost:7070',
    'local host:7070',
    ' 127.0.0.1:7070',
  ])('refuses "%s" and names the forms', (text) => {
    expect(parseListenAddress(text)).toMatch(/HOST:PORT, \[IPV6\]:PORT or unix:PATH/);
  });

  it('refuses unix: without a path', () => {
    expect(parseListenAddress('unix:')).toMatch(/names no path/);
  });

  it('takes a socket path of 100 bytes, and refuses one of 101', () => {
    expect(parseListenAddress(`unix:/${'p'.repeat(99)}`)).toMatchObject({ kind: 'unix' });
    expect(parseListenAddress(`unix:/${'p'.repeat(100)}`)).toMatch(/101 bytes.* at most 100/);
    expect(parseListenAddress(`unix:/${'ä'.repeat(50)}`)).toMatch(/101 bytes/);
  });
});

describe('isLocal', () => {
  it.each(['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', '[0:0:0:0:0:0:0:1]:1', 'localhost:1', 'unix:/s'])(
    'takes %s as this machine alone',
    (text) => {
      expect(isLocal(parsed(text))).toBe(true);
    },
  );

  it.each([
    '0.0.0.0:1',
    '[::]:1',
    '10.0.0.1:1',
    '128.0.0.1:1',
    '[fe80::1%eth0]:1',
    '[fe80::1]:1',
    'localhost.example:1',
    'myhost:1',
    '127.0.0.1.example:1',
    '127.1:1',
  ])('takes %s as reachable from elsewhere', (text) => {
    expect(isLocal(parsed(text))).toBe(false);
  });
});

describe('clearStaleSocket', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'listen-'));
    path = join(folder, 's');
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('does nothing where nothing is', async () => {
    await expect(clearStaleSocket(path)).resolves.toBeUndefined();
  });

  it('refuses what is no socket, and leaves it', async () => {
    await writeFile(path, 'precious');
    await expect(clearStaleSocket(path)).rejects.toThrow(/exists and is no socket/);
    expect((await stat(path)).size).toBe(8);
  });

  it('refuses a socket on which somebody listens, and leaves it', async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(path, done));
    try {
      await expect(clearStaleSocket(path)).rejects.toThrow(/another process listens on/);
      expect((await stat(path)).isSocket()).toBe(true);
    } finally {
      await new Promise((done) => server.close(done));
    }
  });
});
